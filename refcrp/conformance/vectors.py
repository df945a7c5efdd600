"""Test vectors as files: HDF5 that any language reads (`docs/conformance-schema.md`), and JSON."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from importlib.resources import as_file, files
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from refcrp.arrays import Array
from refcrp.conformance.cases import Case, LayerSpec, RuleSpec
from refcrp.dialects import DIALECTS
from refcrp.errors import ModelFormatError
from refcrp.io.hdf5 import LIBRARY, atomic, text

__all__ = ["FORMAT", "LICENCE", "VERSION", "load_vectors", "vectors_as_json", "write_vectors"]

FORMAT = "refcrp-conformance"
VERSION = 1
LICENCE = "BSD-3-Clause"
GENERATOR = "data/conformance/make_vectors.py"
DESCRIPTION = (
    "Test vectors for implementations of Layer-wise and Concept Relevance Propagation. Inputs are float64 "
    "values; expected relevances are exact, rounded once, one for each dialect that has the layers and rules."
)
YES_OR_NO = {"count_include_pad", "align_corners"}  # stored as 0 and 1, which every language reads alike
ARRAYS = {"input", "relevance_out", "expected", "scale"}
RULE = "rule."  # what the attributes with a rule's parameters begin with
INPUTS = "inputs"


# Writing ----------------------------------------------------------------------------------------------------


def write_vectors(cases: Iterable[Case], path: str | PathLike[str]) -> None:
    """Write test cases into an HDF5 file; a crash leaves the old file as it was.

    Parameters
    ----------
    cases : iterable of Case
        With `expected` and `scale`, and dialects in the order of their names in `expected`.
    path : path

    Raises
    ------
    ModelFormatError
        If two cases have the same id.
    OSError
        If the file cannot be written.
    """
    cases = tuple(cases)
    dialects = dict.fromkeys(name for case in cases for name in case.expected)
    with atomic(Path(path)) as temporary, h5py.File(temporary, "w", libver=LIBRARY) as file:
        header = {
            "format": FORMAT,
            "licence": LICENCE,
            "generator": GENERATOR,
            "description": DESCRIPTION,
            "dialects": " ".join(dialects),
            "derived": derived(dialects),
        }
        for key, value in header.items():
            file.attrs[key] = text(value)
        file.attrs["version"] = VERSION
        group = file.create_group("vectors")
        for case in cases:
            if case.id in group:
                raise ModelFormatError(f"{path}: two vectors have the id {case.id!r}")
            write_case(case, group.create_group(case.id))


def derived(dialects: Iterable[str]) -> str:
    """Give those dialects that were read in a library's source, and not compared with numbers it printed."""
    return " ".join(name for name in dialects if name in DIALECTS and DIALECTS[name].is_derived)


def write_case(case: Case, group: h5py.Group) -> None:
    """Write one case into its group."""
    group.attrs["reason"] = text(case.reason)
    group.attrs["flags"] = text(" ".join(case.flags))
    group.attrs["condition_number"] = case.condition_number
    write_array(group, "input", case.x)
    if case.relevance_out is not None:
        write_array(group, "relevance_out", case.relevance_out)
    if case.output is not None:
        write_array(group, "output", np.asarray(case.output, dtype=np.int64))
    for row, condition in enumerate(case.conditions or ()):
        channels = group.create_group(f"conditions/{row:02d}")
        for layer, kept in condition.items():
            write_array(channels, layer, np.asarray(kept, dtype=np.int64))
    if case.expected:
        write_array(group, "expected", np.stack(list(case.expected.values())))
        group["expected"].attrs["dialects"] = text(" ".join(case.expected))
    if case.scale is not None:
        write_array(group, "scale", case.scale)
    for k, spec in enumerate(case.layers):
        write_layer(spec, group.create_group(f"layers/{k:02d}"))


def write_layer(spec: LayerSpec, group: h5py.Group) -> None:
    """Write one layer: words, settings and rule parameters as attributes, arrays as datasets."""
    for key, value in (("kind", spec.kind), ("name", spec.name), ("rule", spec.rule.name)):
        group.attrs[key] = text(value)
    if spec.inputs is not None:
        group.attrs[INPUTS] = text(" ".join(spec.inputs))
    for key, number in spec.rule.parameters.items():
        group.attrs[RULE + key] = float(number)
    for key, setting in spec.settings.items():
        group.attrs[key] = int(setting) if isinstance(setting, bool) else setting
    for key, array in spec.arrays.items():
        write_array(group, key, array)


def write_array(group: h5py.Group, key: str, array: Array) -> None:
    """Write a dataset, with a checksum so that damage is noticed."""
    large = array.nbytes > 512  # below, compression costs more than it saves
    packing = {"compression": "gzip", "compression_opts": 9, "shuffle": True} if large else {}
    group.create_dataset(key, data=array, fletcher32=True, chunks=array.shape, **packing)


# Reading ----------------------------------------------------------------------------------------------------


def load_vectors(path: str | PathLike[str] | None = None) -> tuple[Case, ...]:
    """Read test cases, those that ship with refcrp by default, sorted by id.

    Raises
    ------
    ModelFormatError
        If the file is not there, is none of test vectors, or is damaged.

    Examples
    --------
    >>> import refcrp as rc
    >>> {case.id: case for case in rc.conformance.load_vectors()}["zero-bias-hand-1"].reason
    'LRP-0 by hand: contributions 3 and -2 and a bias of 1.'
    """
    if path is None:
        return built_in_vectors()
    if not Path(path).is_file():
        raise ModelFormatError(f"{path}: no such file")
    return read_vectors(Path(path))


@functools.cache
def built_in_vectors() -> tuple[Case, ...]:
    """Read the cases that ship with refcrp, once: they are thousands of small things."""
    with as_file(files("refcrp_data") / "conformance" / "vectors.h5") as path:
        return read_vectors(path)


def read_vectors(path: Path) -> tuple[Case, ...]:
    """Read all cases of a file."""
    where = "/"
    try:
        with h5py.File(path, "r") as file:
            found = attributes(file)
            if (found["format"], found["version"]) != (FORMAT, VERSION):
                given = f"format {found['format']!r}, version {found['version']!r}"
                raise ModelFormatError(f"{path}: {given}; expected {FORMAT!r}, version {VERSION}")
            group, cases = file["vectors"], []
            for where in sorted(group):
                cases.append(read_vector(group[where], where))
            return tuple(cases)
    except ModelFormatError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        # What h5py raises for truncated and damaged files depends on where the damage is.
        what = f"not a readable file of test vectors: {where}: {type(error).__name__}: {error}"
        raise ModelFormatError(f"{path}: {what}") from error


def read_vector(group: h5py.Group, name: str) -> Case:
    """Read one case."""
    words, members = attributes(group), members_of(group)
    arrays = {key: read_array(item) for key, item in members.items() if key in ARRAYS}
    expected = {}
    if "expected" in arrays:
        dialects = attributes(members["expected"])["dialects"].split()
        expected = dict(zip(dialects, arrays["expected"], strict=True))
    rows = members.get("conditions")
    return Case(
        id=name,
        reason=words["reason"],
        layers=tuple(read_layer(layer) for layer in members_of(members["layers"]).values()),
        x=arrays["input"],
        relevance_out=arrays.get("relevance_out"),
        output=read_integers(members["output"]) if "output" in members else None,
        conditions=None if rows is None else tuple(map(read_condition, members_of(rows).values())),
        flags=tuple(words["flags"].split()),
        expected=expected,
        scale=arrays.get("scale"),
    )


def read_condition(group: h5py.Group) -> dict[str, tuple[int, ...]]:
    """Read the channels that a condition keeps, by layer."""
    return {layer: read_integers(channels) for layer, channels in members_of(group).items()}


def read_layer(group: h5py.Group) -> LayerSpec:
    """Read one layer."""
    found = attributes(group)
    kind, name, rule = found.pop("kind"), found.pop("name"), found.pop("rule")
    parameters = {key.removeprefix(RULE): found.pop(key) for key in sorted(found) if key.startswith(RULE)}
    inputs = tuple(found.pop(INPUTS).split()) if INPUTS in found else None
    for key in YES_OR_NO & found.keys():
        found[key] = bool(found[key])
    arrays = {key: read_array(dataset) for key, dataset in members_of(group).items()}
    return LayerSpec(kind, name, RuleSpec(rule, parameters), arrays, found, inputs)


def members_of(group: h5py.Group) -> dict[str, Any]:
    """Give what is in a group; unlike `group.items()` it raises where something is damaged."""
    return {key: group[key] for key in group}


def read_array(dataset: h5py.Dataset) -> Array:
    """Read a dataset of float64 numbers."""
    values = np.asarray(dataset[()])
    if values.dtype.newbyteorder("=") != np.float64:
        raise ValueError(f"{dataset.name}: element type {values.dtype}, expected float64")
    values = np.ascontiguousarray(values, dtype=np.float64)
    values.flags.writeable = False  # cases are shared
    return values


def read_integers(dataset: h5py.Dataset) -> tuple[int, ...]:
    """Read a dataset of indices."""
    return tuple(int(number) for number in dataset[()])


def attributes(item: h5py.HLObject) -> dict[str, Any]:
    """Read all attributes: text, numbers, and tuples of numbers.

    With h5py's low-level interface: a file has thousands, and `item.attrs` opens each of them twice.
    """
    found: dict[str, Any] = {}
    for index in range(h5py.h5a.get_num_attrs(item.id)):
        stored = h5py.h5a.open(item.id, index=index)
        key = stored.name.decode()
        # Text of variable length lies in a heap whose damage makes the HDF5 library loop for ever.
        if (dtype := stored.dtype).hasobject:
            raise ValueError(f"{item.name}: attribute {key!r}: expected a number, or text of a fixed length")
        values = np.empty(stored.shape, dtype)
        stored.read(values)
        value = values.tolist()
        found[key] = tuple(value) if isinstance(value, list) else value
        if isinstance(value, bytes):
            found[key] = value.decode()
    return found


# JSON -------------------------------------------------------------------------------------------------------


def vectors_as_json(cases: Iterable[Case]) -> str:
    """Give test cases as JSON, every float as its hexadecimal text (`float.hex`), so that no bit is lost."""
    cases = tuple(cases)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "licence": LICENCE,
        "generator": GENERATOR,
        "description": DESCRIPTION,
        "derived": derived(dict.fromkeys(name for case in cases for name in case.expected)).split(),
        "vectors": [case_as_json(case) for case in cases],
    }
    return json.dumps(document, indent=1, ensure_ascii=False)


def case_as_json(case: Case) -> dict[str, Any]:
    """Give one case as JSON values; what it does not have is absent."""
    item: dict[str, Any] = {
        "id": case.id,
        "reason": case.reason,
        "flags": list(case.flags),
        "condition_number": float(case.condition_number).hex(),
        "layers": [layer_as_json(spec) for spec in case.layers],
        "input": array_as_json(case.x),
        "expected": {dialect: array_as_json(R) for dialect, R in case.expected.items()},
    }
    for key, array in (("relevance_out", case.relevance_out), ("scale", case.scale)):
        if array is not None:
            item[key] = array_as_json(array)
    if case.output is not None:
        item["output"] = list(case.output)
    if case.conditions is not None:
        item["conditions"] = [{layer: list(kept) for layer, kept in row.items()} for row in case.conditions]
    return item


def layer_as_json(spec: LayerSpec) -> dict[str, Any]:
    """Give one layer as JSON values."""
    reads = {} if spec.inputs is None else {"inputs": list(spec.inputs)}
    return {
        "kind": spec.kind,
        "name": spec.name,
        **reads,
        "rule": {"name": spec.rule.name, **numbers_as_json(spec.rule.parameters)},
        "settings": numbers_as_json(spec.settings),
        "arrays": {key: array_as_json(array) for key, array in spec.arrays.items()},
    }


def numbers_as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give settings as JSON values: floats as hexadecimal text, pairs as lists, integers as they are."""
    shown = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    return {key: value.hex() if isinstance(value, float) else value for key, value in shown.items()}


def array_as_json(array: Array) -> dict[str, Any]:
    """Give an array as its shape and its values, in C order."""
    return {"shape": list(array.shape), "values": [float(v).hex() for v in array.ravel()]}
