"""What a file of test vectors must be, and a linter that says where one is not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import h5py
import numpy as np

from refcrp.arrays import Array
from refcrp.conformance.cases import LAYERS, RULES, Case, LayerSpec
from refcrp.conformance.flags import FLAGS, IMPLIED, has, implied_flags, needs_float64
from refcrp.conformance.vectors import load_vectors
from refcrp.dialects import DIALECTS
from refcrp.errors import ModelFormatError, RefcrpError

__all__ = ["FLAGS", "LAYER_FIELDS", "RULE_PARAMETERS", "lint"]


@dataclass(frozen=True)
class Fields:
    """What a kind of layer is made of: arrays that must be there, that may be, and settings."""

    arrays: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    settings: frozenset[str] = frozenset()


def fields(arrays: str = "", optional: str = "", settings: str = "") -> Fields:
    """Give `Fields` from names in one text each."""
    return Fields(*(frozenset(names.split()) for names in (arrays, optional, settings)))


MERGES = {"add", "concat"}
WINDOW = "kernel_size stride padding"

LAYER_FIELDS: Mapping[str, Fields] = {
    "conv2d": fields("weight", "bias", "stride padding dilation groups"),
    "dense": fields("weight", "bias"),
    "scale": fields("weight", "bias"),
    "batch_norm": fields("mean variance", "gamma beta", "epsilon"),
    "layer_norm": fields("weight", "bias", "epsilon"),
    "max_pool": fields(settings=WINDOW),
    "avg_pool": fields(settings=f"{WINDOW} count_include_pad"),
    "add": Fields(),
    "concat": fields(settings="axis"),
    "conv_transpose2d": fields("weight", "bias", "stride padding dilation groups output_padding"),
    "zero_pad": fields(settings="padding"),
    "adaptive_max_pool": fields(settings="output_size"),
    "adaptive_avg_pool": fields(settings="output_size"),
    "upsample_nearest": fields(settings="size"),
    "upsample_bilinear": fields(settings="size align_corners"),
    "group_norm": fields("", "weight bias", "groups epsilon"),
    "instance_norm": fields("", "weight bias", "epsilon"),
    "multiply": fields(settings="value"),
    "hard_tanh": fields(settings="low high"),
    "leaky_relu": fields(settings="negative_slope"),
    "prelu": fields("weight"),
    "reshape": fields(settings="shape"),
    "permute": fields(settings="axes"),
    "dropout": fields(settings="rate"),
    **{kind: Fields() for kind in ("global_max_pool", "global_avg_pool", "relu", "flatten", "softmax")},
    **{kind: Fields() for kind in ("relu6", "identity")},
}

RULE_PARAMETERS: Mapping[str, frozenset[str]] = {rule: frozenset() for rule in RULES} | {
    "epsilon": frozenset({"epsilon"}),
    "gamma": frozenset({"gamma"}),
    "generalized_gamma": frozenset({"gamma"}),
    "alpha_beta": frozenset({"alpha", "beta"}),
    "zbox": frozenset({"low", "high"}),
}

KEBAB_CASE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
SENTENCE = re.compile(r"[A-Z].{14,}\.", re.DOTALL)
MAX_ID = 100


# The linter -------------------------------------------------------------------------------------------------


def lint(path: str | PathLike[str]) -> list[str]:
    """Check a file of test vectors against its schema (`docs/conformance-schema.md`).

    Returns
    -------
    list of str
        The problems, each with the id of the vector; empty if the file is good.
    """
    try:
        cases = load_vectors(path)
        with h5py.File(path, "r") as file:
            problems = [*storage_problems(file), *condition_number_problems(file, cases)]
    except ModelFormatError as error:
        return [str(error)]
    if not cases:
        problems.append(f"{Path(path)}: no vectors")
    problems += [f"{case.id}: {problem}" for case in cases for problem in case_problems(case)]
    return problems


def storage_problems(file: h5py.File) -> Iterator[str]:
    """Say what is wrong with how things are stored: root attributes, checksums, stored condition numbers."""
    for key in ("generator", "licence", "description", "dialects", "derived"):
        if not file.attrs.get(key):
            yield f"/: attribute {key!r} is missing or empty"
    datasets: list[h5py.Dataset] = []
    file.visititems(lambda _, item: datasets.append(item) if isinstance(item, h5py.Dataset) else None)
    yield from (f"{d.name}: no checksum (Fletcher-32)" for d in datasets if not d.fletcher32)
    named, found = words(file), {name for d in datasets if "dialects" in d.attrs for name in words(d)}
    if named != found:
        yield f"/: attribute 'dialects' names {show(named)}, the vectors have {show(found)}"
    if unknown := words(file, "derived") - named:
        yield f"/: attribute 'derived' names {show(unknown)}, which 'dialects' does not"


def words(item: h5py.HLObject, key: str = "dialects") -> set[str]:
    """Give the names in an attribute."""
    stored = item.attrs.get(key, b"")
    return set((stored.decode() if isinstance(stored, bytes) else str(stored)).split())


def condition_number_problems(file: h5py.File, cases: Iterable[Case]) -> Iterator[str]:
    """Compare the condition numbers that are stored with those that follow from the arrays."""
    for case in cases:
        stored = file[f"vectors/{case.id}"].attrs.get("condition_number")
        if stored is None or not np.isclose(float(stored), case.condition_number, rtol=1e-12, atol=0):
            yield f"{case.id}: condition_number: {stored}, the arrays say {case.condition_number}"


def case_problems(case: Case) -> Iterator[str]:
    """Say what is wrong with one vector."""
    yield from word_problems(case)
    structural = [problem for spec in case.layers for problem in layer_problems(spec)]
    structural += input_problems(case)
    yield from structural
    if not structural:  # else the network cannot even be built
        yield from network_problems(case)


def word_problems(case: Case) -> Iterator[str]:
    """Check id, reason and flags."""
    if not KEBAB_CASE.fullmatch(case.id) or len(case.id) > MAX_ID:
        yield f"id: expected kebab-case of at most {MAX_ID} characters"
    if not SENTENCE.fullmatch(case.reason):
        yield f"reason: expected a sentence, from a capital letter to a full stop, got {case.reason!r}"
    unknown = sorted(set(case.flags) - FLAGS.keys())
    if unknown:
        yield f"flags: unknown {', '.join(unknown)}"
    if not case.flags or len(set(case.flags)) < len(case.flags):
        yield f"flags: expected at least one and none twice, got {list(case.flags)}"


def layer_problems(spec: LayerSpec) -> Iterator[str]:
    """Check that a layer has the arrays, settings and rule parameters of its kind, and no others."""
    if spec.kind not in LAYERS or spec.rule.name not in RULES:
        yield f"layer {spec.name!r}: unknown kind {spec.kind!r} or rule {spec.rule.name!r}"
        return
    expected = LAYER_FIELDS[spec.kind]
    arrays = set(spec.arrays) - expected.optional
    parts = (
        ("datasets", arrays, expected.arrays),
        ("settings", set(spec.settings), expected.settings),
        (
            f"parameters of rule {spec.rule.name}",
            set(spec.rule.parameters),
            RULE_PARAMETERS[spec.rule.name],
        ),
    )
    for what, found, needed in parts:
        if found != needed:
            yield f"layer {spec.name!r}: {what}: expected {show(needed)}, found {show(found)}"


def input_problems(case: Case) -> Iterator[str]:
    """Check that layers read what comes before them, and several inputs only where they are put together."""
    before = {"x"}
    for spec, names in zip(case.layers, case.inputs, strict=True):
        if spec.inputs is not None and (not names or not before.issuperset(names)):
            yield f"layer {spec.name!r}: inputs: expected 'x' or names of layers before it, got {list(names)}"
        if len(names) > 1 and spec.kind not in MERGES:
            yield f"layer {spec.name!r}: inputs: expected one for {spec.kind}, got {list(names)}"
        before.add(spec.name)


def show(names: Iterable[str]) -> str:
    """Give names in order, or say that there are none."""
    return ", ".join(sorted(names)) or "none"


def network_problems(case: Case) -> Iterator[str]:
    """Check shapes, dialects and numbers, and the flags that follow from them."""
    names = [spec.name for spec in case.layers]
    if not names or len(set(names)) < len(names):
        yield f"layers: expected at least one, and different names, got {names}"
        return
    try:
        output = case.model.forward(case.x)
        for rule, layer in zip(case.rules, case.model, strict=True):
            rule.bind(layer)
    except RefcrpError as error:
        yield f"layers: {error}"
        return
    yield from seed_problems(case, output)
    yield from condition_problems(case)
    if wrong := list(expected_problems(case)):
        yield from wrong
    else:
        yield from flag_problems(case)


def flag_problems(case: Case) -> Iterator[str]:
    """Check the flags that follow from the data."""
    wrong = implied_flags(case) ^ (set(case.flags) & set(IMPLIED))
    if wrong:
        yield f"flags: {show(wrong)}: there, and should not be, or the other way round"
    if needs_float64(case) and "float64-only" not in case.flags:
        yield "flags: 'float64-only' is missing: numbers that are none of float32, or too large a condition"


def seed_problems(case: Case, output: Array) -> Iterator[str]:
    """Check what relevance starts from."""
    if (case.relevance_out is None) == (case.output is None):
        yield "expected either 'relevance_out' or 'output'"
    elif case.output is None:
        assert case.relevance_out is not None
        if case.relevance_out.shape != output.shape:
            yield f"relevance_out: shape {case.relevance_out.shape}, the output has {output.shape}"
    elif output.ndim != 2 or len(case.output) != len(case.x):
        yield f"output: {len(case.output)} neurons for an output of shape {output.shape}"
    elif not all(0 <= neuron < output.shape[1] for neuron in case.output):
        yield f"output: {case.output}, but there are {output.shape[1]} neurons"


def condition_problems(case: Case) -> Iterator[str]:
    """Check that conditions name layers and channels that are there."""
    if case.conditions is None:
        return
    channels = {name: value.shape[1] for name, value in zip(case.model.names, case.outputs(), strict=True)}
    if not case.conditions or case.output is None:
        yield "conditions: expected one at least, and 'output'"
    for condition in case.conditions:
        for name, kept in condition.items():
            if name not in channels or not kept or not all(0 <= c < channels[name] for c in kept):
                yield f"conditions: {name!r}: {list(kept)}: no such layer, or not channels that it has"


def expected_problems(case: Case) -> Iterator[str]:
    """Check dialects, shapes and condition number of what is expected."""
    needed = [name for name, dialect in DIALECTS.items() if has(dialect, case)]
    if list(case.expected) != needed:
        yield f"expected: for dialects {', '.join(needed)} in this order, got {', '.join(case.expected)}"
    shape = (len(case.conditions or (1,)) * len(case.x), *case.x.shape[1:])
    for what, values in (*case.expected.items(), ("scale", case.scale)):
        if values is None or values.shape != shape or not np.isfinite(values).all():
            yield f"{what}: expected finite numbers of shape {shape}"
    if case.scale is not None and (case.scale < 0).any():
        yield "scale: expected numbers that are not negative"
