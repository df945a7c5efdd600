"""What a Keras HDF5 file holds: a configuration, and arrays by the names of layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import h5py

from refcrp.arrays import Array
from refcrp.errors import ModelFormatError
from refcrp.io.hdf5_checked import CheckedReader
from refcrp.io.keras_config import Call
from refcrp.io.keras_text import text_problem

__all__ = ["MAX_CONFIG_BYTES", "KerasFile"]

MAX_CONFIG_BYTES = 8 * 2**20
MAX_DEPTH = 32  # of groups in groups
MAX_ARRAYS = 20_000
NOT_WEIGHTS = ("seed_generator_state", "count")  # of dropout; of the samples that Normalization has seen


class KerasFile:
    """One HDF5 file, opened.

    Parameters
    ----------
    path : Path
    file : h5py.File
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self.file = path, file
        self.hdf5 = CheckedReader(path)
        self.fail = self.hdf5.fail
        self.arrays: dict[str, dict[tuple[str, ...], h5py.Dataset]] = {}  # by layer: not read yet
        self.has_true_convolutions = cache(self.is_of_theano)

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[KerasFile]:
        """Open a file."""
        with h5py.File(path, "r") as file:
            yield cls(path, file)

    # Texts -----------------------------------------------------------------------------------------------

    def config_text(self) -> str:
        """Read the attribute ``model_config``."""
        if "model_config" not in self.file.attrs:
            raise self.fail(
                "/", "attribute 'model_config' is missing: the file holds weights only; save the whole model"
            )
        return self.text(self.file, "model_config")

    def is_of_theano(self) -> bool:
        """Tell whether Keras computed with Theano, whose convolutions turn their kernels around."""
        groups = [self.file]
        if "model_weights" in self.file:
            groups.append(self.hdf5.member(self.file, "model_weights", h5py.Group))
        return any("backend" in group.attrs and self.text(group, "backend") == "theano" for group in groups)

    def text(self, group: h5py.Group, name: str) -> str:
        """Read an attribute that is text."""
        stored = group.attrs.get_id(name)
        kind = h5py.check_string_dtype(stored.dtype)
        if kind is None or stored.shape != ():
            raise self.fail("/", f"attribute {name!r} is not text")
        if kind.length is None:
            # What the HDF5 library believes of a text of variable length is checked before.
            problem = text_problem(self.path, name, MAX_CONFIG_BYTES)
            if problem is not None:
                raise self.fail("/", f"attribute {name!r}: {problem}")
        elif kind.length > MAX_CONFIG_BYTES:
            raise self.fail("/", f"attribute {name!r} has {kind.length} bytes, more than {MAX_CONFIG_BYTES}")
        value = group.attrs[name]
        try:
            value = value.encode() if isinstance(value, str) else bytes(value)
            text = value.decode()
        except UnicodeError as error:
            raise self.fail("/", f"attribute {name!r} is not UTF-8 text") from error
        if len(value) > MAX_CONFIG_BYTES:
            raise self.fail("/", f"attribute {name!r} has {len(value)} bytes, more than {MAX_CONFIG_BYTES}")
        return text

    # Arrays ----------------------------------------------------------------------------------------------

    def array(
        self, call: Call, names: tuple[str, ...], fail: Callable[[str], ModelFormatError]
    ) -> Array | None:
        """Find an array of a layer by one of the names it may have; each is given once."""
        top = call.path[0]
        if top not in self.arrays:
            self.arrays[top] = dict(self.datasets(self.group(top)))
        for name in names:
            found = self.candidates(call, name)
            if len(found) > 1:
                raise fail(f"several arrays could be {name!r}: {', '.join(map('/'.join, found))}")
            if found:
                dataset = self.arrays[top].pop(found[0])
                return self.hdf5.array(dataset.parent, found[0][-1])
        return None

    def candidates(self, call: Call, name: str) -> list[tuple[str, ...]]:
        """Give the places where the array `name` of a layer may lie, in the group of the outermost model.

        Keras calls arrays ``kernel`` or ``kernel:0``, in groups called as the layer and some of the models it
        is in; all names may have got a number.
        """
        found = [p for p in self.arrays[call.path[0]] if re.fullmatch(rf"{name}(_\d+)?(:\d+)?", p[-1])]
        if len(call.path) == 1:
            return found
        numbered = re.compile(rf"{re.escape(call.path[-1])}_\d+")
        near = [p for p in found if is_within(p[:-1], call.path)] or [
            p for p in found if len(p) > 1 and numbered.fullmatch(p[-2])
        ]
        return [p for p in near if len(p) == max(map(len, near))]

    def group(self, name: str) -> h5py.Group:
        """Give the group of a layer of the outermost model; a slash in its name makes groups in groups."""
        group = self.hdf5.member(self.file, "model_weights", h5py.Group)
        for part in name.split("/"):
            group = self.hdf5.member(group, part, h5py.Group)
        return group

    def datasets(self, group: h5py.Group, depth: int = 0) -> Iterator[tuple[tuple[str, ...], h5py.Dataset]]:
        """Go through all datasets in a group and the groups in it."""
        if depth > MAX_DEPTH:
            raise self.fail(group.name, f"groups nested more than {MAX_DEPTH} deep")
        keys = list(group)
        if len(keys) > MAX_ARRAYS:
            raise self.fail(group.name, f"more than {MAX_ARRAYS} members")
        for key in keys:
            kind = group.get(key, getclass=True, getlink=False) if self.is_here(group, key) else None
            member = self.hdf5.member(
                group, key, kind if kind in (h5py.Group, h5py.Dataset) else h5py.Dataset
            )
            if isinstance(member, h5py.Dataset):
                if key.partition(":")[0] not in NOT_WEIGHTS:
                    yield (key,), member
            else:
                yield from (((key, *path), dataset) for path, dataset in self.datasets(member, depth + 1))

    def is_here(self, group: h5py.Group, key: str) -> bool:
        """Tell whether a member of a group lies in this file and is not a link."""
        return isinstance(group.get(key, getlink=True), h5py.HardLink)

    def check_all_taken(self) -> None:
        """Raise if a layer has arrays that it should not have: it is not what it says."""
        for layer, rest in self.arrays.items():
            if rest:
                arrays = ", ".join("/".join(path) for path in list(rest)[:5])
                raise self.fail(f"layer {layer!r}", f"arrays {arrays} have no place in it")


def is_within(groups: tuple[str, ...], path: tuple[str, ...]) -> bool:
    """Tell whether `groups` end with the layer of `path`, and before it name models it is in, in order."""
    names = iter(path)
    return groups[-1:] == path[-1:] and all(group in names for group in groups)
