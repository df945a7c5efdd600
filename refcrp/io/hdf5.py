"""The native model format: HDF5, documented in docs/hdf5-schema.md so that any language can write it."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from refcrp import layers
from refcrp.arrays import Array
from refcrp.building import Sequential
from refcrp.errors import ModelFormatError, RefcrpError, nearest_names
from refcrp.layers import Activation, Layer
from refcrp.layers.activation import ACTIVATIONS
from refcrp.model import INPUT, INPUT_NAME, Graph, Model

__all__ = ["FORMAT", "VERSION", "read_model", "write_model"]

FORMAT = "refcrp-model"
VERSION = 2
CHAIN_VERSION = 1  # of files in which each layer reads the one before it, and does not say so
LIBRARY = (
    "v110"  # HDF5 1.10 and later: metadata with checksums, so that damage is noticed instead of believed
)
MAX_BYTES = 16 * 2**30  # of one array; far more than any network has, far less than a forged shape asks for
MAX_ATTRIBUTE_BYTES = 4096
MAX_TUPLE = 256  # integers in an attribute; a layer may read many others

LAYER_CLASSES: dict[str, type[Layer]] = {
    name: cls
    for name, cls in vars(layers).items()
    if isinstance(cls, type) and issubclass(cls, Layer) and not cls.__abstractmethods__
}


# Writing ----------------------------------------------------------------------------------------------------


def write_model(model: Model, path: Path) -> None:
    """Write `model` beside `path`, then put it in its place in one step."""
    if model.dtype not in (np.float32, np.float64, None):
        raise ModelFormatError(
            f"{path}: cannot store parameters of type {model.dtype}; use model.astype('float64')"
        )
    with atomic(path) as temporary, h5py.File(temporary, "w", libver=LIBRARY) as file:
        file.attrs["format"] = text(FORMAT)
        file.attrs["version"] = CHAIN_VERSION if model.is_chain else VERSION
        if model.input_shape is not None:
            file.attrs["input_shape"] = model.input_shape
        group = file.create_group("layers")
        for k, node in enumerate(model.nodes):
            layer_group = group.create_group(f"{k:04d}")
            write_layer(node.layer, node.name, layer_group)
            if not model.is_chain:
                layer_group.attrs["sources"] = node.sources


def write_layer(layer: Layer, name: str, group: h5py.Group) -> None:
    """Write one layer: settings as attributes, parameters as datasets."""
    if LAYER_CLASSES.get(type(layer).__name__) is not type(layer):
        raise ModelFormatError(f"{group.file.filename}: {layer!r} is not one of refcrp's own layers")
    group.attrs["class"] = text(type(layer).__name__)
    group.attrs["name"] = text(name)
    for key, value in layer.settings().items():
        if isinstance(value, Activation):
            if ACTIVATIONS.get(value.kind) is not type(value):
                raise ModelFormatError(f"{group.file.filename}: {value!r} is not one of refcrp's own layers")
            group.attrs[key] = text(value.kind)
            for setting, number in value.settings().items():
                group.attrs[f"{key}.{setting}"] = number
        elif isinstance(value, (bool, int, float, tuple)):
            group.attrs[key] = value
        elif value is not None:
            raise ModelFormatError(f"{group.file.filename}: {layer!r}: cannot store {key}={value!r}")
    for key, array in layer.arrays().items():
        group.create_dataset(key, data=array, fletcher32=True)  # so that damage is noticed


def text(value: str) -> Array:
    """Give text as HDF5 stores it with a fixed length; see `ModelReader.attribute` for why not otherwise."""
    data = value.encode()
    return np.array(data, dtype=h5py.string_dtype("utf-8", len(data)))


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path; at the end what was written there replaces `path`, or nothing does."""
    path = path.resolve()  # a link stays, and what it leads to is replaced
    if path.exists() and not path.is_file():
        raise ModelFormatError(f"{path}: not a file that could be replaced")
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.parent))
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


# Reading ----------------------------------------------------------------------------------------------------


def read_model(path: Path) -> Model:
    """Read a model, believing nothing in the file before it is checked."""
    try:
        with h5py.File(path, "r") as file:
            return ModelReader(path).model(file)
    except ModelFormatError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        # What h5py raises for truncated and damaged files depends on where the damage is.
        raise ModelFormatError(f"{path}: not a readable HDF5 file: {error}") from error


class ModelReader:
    """Reads one file; knows its name for the error messages."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, where: str, what: str) -> ModelFormatError:
        """Make the error for something wrong at `where` in the file."""
        return ModelFormatError(f"{self.path}: {where}: {what}")

    def model(self, file: h5py.File) -> Model:
        """Read the whole file."""
        format_name = self.attribute(file, "format", str)
        if format_name != FORMAT:
            raise self.fail("/", f"attribute 'format' is {format_name!r}, expected {FORMAT!r}")
        version = self.attribute(file, "version", int)
        if not CHAIN_VERSION <= version <= VERSION:
            raise self.fail("/", f"format version {version}, this refcrp reads up to {VERSION}")
        shape = None
        if "input_shape" in file.attrs:
            shape = self.attribute(file, "input_shape", tuple)
        group = self.member(file, "layers", h5py.Group)
        if set(file) != {"layers"} or group.attrs.keys():
            found = sorted((set(file) - {"layers"}) | {f"layers: {key}" for key in group.attrs})
            raise self.fail("/", f"expected nothing but the group 'layers', found {', '.join(found)}")
        expected = [f"{k:04d}" for k in range(len(group))]
        if sorted(group) != expected or not expected:
            raise self.fail(
                "/layers", f"expected groups 0000, 0001, ... without gaps, found {sorted(group)[:5]}"
            )
        groups = [self.member(group, key, h5py.Group) for key in expected]
        layers = [self.layer(g) for g in groups]
        if version == CHAIN_VERSION and any("sources" in g.attrs for g in groups):
            raise self.fail("/layers", f"attributes 'sources' need format version {VERSION}")
        try:
            if version == CHAIN_VERSION:
                return Sequential(layers, input_shape=shape)
            names = {INPUT: INPUT_NAME} | {k: layer.name or str(k) for k, layer in enumerate(layers)}
            return Graph(
                [(names[k], layer, self.sources(groups[k], names)) for k, layer in enumerate(layers)],
                input_shape=shape,
            )
        except RefcrpError as error:
            raise self.fail("/layers", str(error)) from error

    def sources(self, group: h5py.Group, names: dict[int, str]) -> list[str]:
        """Read which layers a layer reads."""
        sources = self.attribute(group, "sources", tuple)
        for source in sources:
            if source not in names:
                raise self.fail(group.name, f"attribute 'sources': there is no layer {source}")
        return [names[source] for source in sources]

    def layer(self, group: h5py.Group) -> Layer:
        """Read one layer."""
        name = self.attribute(group, "class", str)
        cls = LAYER_CLASSES.get(name)
        if cls is None:
            raise self.fail(group.name, f"unknown layer class {name!r}; {nearest_names(name, LAYER_CLASSES)}")
        settings = self.settings(group, cls)
        stored = set(group)
        for field in fields(cls):
            is_array = field.metadata.get("array", False)
            if is_array and field.name in stored:
                settings[field.name] = self.array(group, field.name)
            elif field.init and field.default is MISSING and field.name not in settings:
                what = "dataset" if is_array else "attribute"
                raise self.fail(group.name, f"{what} {field.name!r} is missing")
        known = {f.name for f in fields(cls) if f.metadata.get("array")}
        for key in sorted(stored - known):
            raise self.fail(
                group.name, f"unexpected {key!r}; {name} has {', '.join(sorted(known)) or 'no data'}"
            )
        try:
            return cls(**settings)
        except (RefcrpError, TypeError, ValueError) as error:
            raise self.fail(group.name, str(error)) from error

    def settings(self, group: h5py.Group, cls: type[Layer]) -> dict[str, Any]:
        """Read a layer's attributes, as arguments for its constructor."""
        known = {f.name for f in fields(cls) if f.init and not f.metadata.get("array")}
        given = {key: self.attribute(group, key) for key in group.attrs if key not in {"class", "sources"}}
        nested = {key: given.pop(key) for key in list(given) if key.startswith("activation.")}
        for key in given:
            if key not in known:
                raise self.fail(group.name, f"unexpected attribute {key!r}; {nearest_names(key, known)}")
        if "activation" in given or nested:
            arguments = {key.partition(".")[2]: value for key, value in nested.items()}
            given["activation"] = self.activation(group, given.get("activation"), arguments)
        return given

    def activation(self, group: h5py.Group, kind: Any, arguments: dict[str, Any]) -> Activation:
        """Read a fused activation function."""
        if kind not in ACTIVATIONS:
            raise self.fail(
                group.name, f"no activation function {kind!r}; {nearest_names(str(kind), ACTIVATIONS)}"
            )
        try:
            return ACTIVATIONS[kind](**arguments)
        except (RefcrpError, TypeError) as error:
            raise self.fail(group.name, f"activation {kind!r}: {error}") from error

    def attribute(self, group: h5py.Group, key: str, expected: type | None = None) -> Any:
        """Read an attribute as str, bool, int, float or tuple of int."""
        if key not in group.attrs:
            raise self.fail(group.name, f"attribute {key!r} is missing")
        stored = group.attrs.get_id(key)
        string = h5py.check_string_dtype(stored.dtype)
        # Text of variable length lies in a heap whose damage makes the HDF5 library loop for ever.
        if stored.dtype.hasobject or stored.get_storage_size() > MAX_ATTRIBUTE_BYTES:
            raise self.fail(group.name, f"attribute {key!r}: expected a number, or text of a fixed length")
        value = group.attrs[key]
        if string is not None and isinstance(value, bytes):
            value = value.decode()
        elif (
            isinstance(value, np.ndarray)
            and value.ndim == 1
            and value.dtype.kind in "iu"
            and value.size <= MAX_TUPLE
        ):
            value = tuple(int(n) for n in value)
        elif isinstance(value, np.generic) and value.dtype.kind in "iufb":
            value = value.item()
        is_plain = isinstance(value, (str, bool, int, float, tuple))
        if not is_plain or (expected is not None and type(value) is not expected):
            wanted = expected.__name__ if expected else "text, a number, or integers"
            raise self.fail(group.name, f"attribute {key!r} is {value!r}, expected {wanted}")
        return value

    def member(self, group: h5py.Group, key: str, kind: type) -> Any:
        """Get a group or dataset that lies in this file itself."""
        if key not in set(group):
            raise self.fail(group.name, f"{kind.__name__.lower()} {key!r} is missing")
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise self.fail(group.name, f"{key!r} is a link; expected a {kind.__name__.lower()} of this file")
        member = group[key]
        if not isinstance(member, kind):
            raise self.fail(group.name, f"{key!r} is not a {kind.__name__.lower()}")
        return member

    def array(self, group: h5py.Group, key: str) -> Array:
        """Read a dataset, when its type, size and storage are as they should be."""
        dataset = self.member(group, key, h5py.Dataset)
        where = f"{group.name}/{key}"
        if dataset.dtype.newbyteorder("=") not in (np.float32, np.float64):
            raise self.fail(where, f"element type {dataset.dtype}, expected float32 or float64")
        if dataset.external or dataset.is_virtual:
            raise self.fail(where, "its data lies in another file; expected it in this one")
        # Deflate cannot shrink by more than about 1000, so a larger factor is data that is not there.
        if dataset.shape is None or dataset.nbytes > min(MAX_BYTES, 1100 * dataset.id.get_storage_size()):
            raise self.fail(where, f"shape {dataset.shape} is more than the file holds")
        values = np.asarray(dataset[()], dtype=dataset.dtype.newbyteorder("="))
        if not np.isfinite(values).all():
            raise self.fail(where, "contains NaN or infinity, expected finite numbers")
        return values
