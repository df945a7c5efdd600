"""What a `.keras` file holds: a zip file with a configuration, and HDF5 with arrays by number."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import h5py

from refcrp.arrays import Array
from refcrp.errors import ModelFormatError
from refcrp.io.hdf5_checked import MAX_BYTES, CheckedReader
from refcrp.io.keras_config import MODELS, Call
from refcrp.io.keras_file import MAX_CONFIG_BYTES
from refcrp.io.keras_json import Json, parse_json

__all__ = ["KerasZip", "is_zip"]

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
MAX_RATIO = 100  # of bytes before and after compression; Keras does not compress at all

Path_ = tuple[str, ...]


def is_zip(path: Path) -> bool:
    """Tell whether a file is a zip file, by its first bytes."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\3\4"


class KerasZip:
    """One `.keras` file, opened.

    Keras numbers a layer's arrays in the order in which it made them, and here they are taken in that order.

    Parameters
    ----------
    path : Path
    config : str
    file : h5py.File
    """

    def __init__(self, path: Path, config: str, file: h5py.File) -> None:
        self.config, self.file = config, file
        self.hdf5 = CheckedReader(path)
        self.groups = dict(group_names(parse_json(config, self.hdf5.fail)))
        self.taken: Counter[Path_] = Counter()  # how many arrays of each layer

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[KerasZip]:
        """Open a file."""
        with ZipFile(path) as archive:
            config = read_member(path, archive, CONFIG, MAX_CONFIG_BYTES)
            weights = read_member(path, archive, WEIGHTS, MAX_BYTES)
        try:
            text = config.decode()
        except UnicodeError as error:
            raise ModelFormatError(f"{path}: {CONFIG} is not UTF-8 text") from error
        with h5py.File(io.BytesIO(weights), "r") as file:
            yield cls(path, text, file)

    def config_text(self) -> str:
        """Give the configuration."""
        return self.config

    def has_true_convolutions(self) -> bool:
        """Give False: Theano was gone before there were such files."""
        return False

    def array(
        self, call: Call, names: tuple[str, ...], fail: Callable[[str], ModelFormatError]
    ) -> Array | None:
        """Give the next array of a layer, whatever its name; None if there is none left."""
        group = self.group(call.path)
        key = str(self.taken[call.path])
        if key not in group:
            return None
        self.taken[call.path] += 1
        return self.hdf5.array(group, key)

    def group(self, path: Path_) -> h5py.Group:
        """Give the group with a layer's arrays."""
        group = self.file
        for part in (*self.groups[path], "vars"):
            group = self.hdf5.member(group, part, h5py.Group)
        return group

    def check_all_taken(self) -> None:
        """Raise if a layer has arrays that it should not have: it is not what it says."""
        for path, count in self.taken.items():
            kind = self.groups[path][-1]
            # Normalization also counts the samples that it has seen.
            allowed = count + 1 if kind.startswith("normalization") else count
            rest = len(self.group(path)) - allowed
            if rest > 0:
                raise self.hdf5.fail(f"layer {'.'.join(path)!r}", f"{rest} arrays have no place in it")


def read_member(path: Path, archive: ZipFile, name: str, most: int) -> bytes:
    """Read a file in the zip file, if its size is as it should be."""
    found = [member for member in archive.infolist() if member.filename == name]
    if len(found) != 1:
        raise ModelFormatError(
            f"{path}: a zip file with {len(found)} files called {name!r}, expected one as in a .keras file"
        )
    (member,) = found
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED) or member.flag_bits & 1:
        raise ModelFormatError(f"{path}: {name} is encrypted or compressed in an unusual way")
    whole = min(path.stat().st_size, member.compress_size)
    if member.file_size > min(most, MAX_RATIO * whole):
        raise ModelFormatError(
            f"{path}: {name} is said to have {member.file_size} bytes, which is more than {most} or than "
            f"{MAX_RATIO} times what it has in the zip file"
        )
    return archive.read(member)


def group_names(model: Json, path: Path_ = (), groups: Path_ = ()) -> Iterator[tuple[Path_, Path_]]:
    """Say in which groups the arrays of each layer are: Keras counts the layers of each class in a model."""
    config = model.get("config")
    layers = config.get("layers") if isinstance(config, dict) else None
    numbers: Counter[str] = Counter()
    for k, layer in enumerate(layers if isinstance(layers, list) else []):
        if not isinstance(layer, dict) or not isinstance(layer.get("class_name"), str):
            continue  # which is refused later
        kind, own = snake_case(layer["class_name"]), layer.get("config")
        name = layer.get("name", own.get("name") if isinstance(own, dict) else None)
        here = (*path, name if isinstance(name, str) else f"model{k}")
        group = (*groups, "layers", f"{kind}_{numbers[kind]}" if numbers[kind] else kind)
        numbers[kind] += 1
        yield here, group
        if layer["class_name"] in MODELS:
            yield from group_names(layer, here, group)


def snake_case(name: str) -> str:
    """Write a class name as Keras does: SeparableConv2D is separable_conv2d, PReLU is p_re_lu."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
