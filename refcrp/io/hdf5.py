"""The native model format: HDF5, documented in docs/hdf5-schema.md so that any language can write it."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from refcrp import layers as refcrp_layers
from refcrp.arrays import Array
from refcrp.building import Sequential
from refcrp.errors import ModelFormatError, RefcrpError, nearest_names
from refcrp.io.hdf5_checked import CheckedReader
from refcrp.layers import Activation, Layer
from refcrp.layers.weighted import ACTIVATIONS
from refcrp.model import INPUT, INPUT_NAME, Graph, Model

__all__ = ["FORMAT", "VERSION", "read_model", "write_model"]

FORMAT = "refcrp-model"
VERSION = 3  # of files with a normalisation, which an older refcrp would not apply
GRAPH_VERSION = 2  # of those without
CHAIN_VERSION = 1  # of those in which each layer, too, reads the one before it, and does not say so
LIBRARY = (
    "v110"  # HDF5 1.10 and later: metadata with checksums, so that damage is noticed instead of believed
)

LAYER_CLASSES: dict[str, type[Layer]] = {
    name: cls
    for name, cls in vars(refcrp_layers).items()
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
        version = file.attrs["version"] = version_of(model)
        if model.input_shape is not None:
            file.attrs["input_shape"] = model.input_shape
        if model.normalization is not None:
            file.attrs["normalization.mean"] = model.normalization.mean
            file.attrs["normalization.std"] = model.normalization.std
        group = file.create_group("layers")
        for k, node in enumerate(model.nodes):
            layer_group = group.create_group(f"{k:04d}")
            write_layer(node.layer, node.name, layer_group)
            if version != CHAIN_VERSION:
                layer_group.attrs["sources"] = node.sources


def version_of(model: Model) -> int:
    """Give the lowest version that holds the model, so that an older refcrp reads what it can."""
    if model.normalization is not None:
        return VERSION
    return CHAIN_VERSION if model.is_chain else GRAPH_VERSION


def write_layer(layer: Layer, name: str, group: h5py.Group) -> None:
    """Write one layer: settings as attributes, parameters as datasets."""
    if LAYER_CLASSES.get(type(layer).__name__, type(layer)) is not type(layer):
        raise ModelFormatError(
            f"{group.file.filename}: {layer!r} is not one of refcrp's own layers, but its class is called so"
        )
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
        elif isinstance(value, str):
            group.attrs[key] = text(value)
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


def read_model(path: Path, layers: Mapping[str, type[Layer]] | None = None) -> Model:
    """Read a model, believing nothing in the file before it is checked.

    Parameters
    ----------
    path : Path
    layers : mapping, optional
        Layer classes of one's own, by name.

    Raises
    ------
    ModelFormatError
        If the file is damaged or none; names file, group, and what was expected.
    """
    try:
        with h5py.File(path, "r") as file:
            return ModelReader(path, layers).model(file)
    except ModelFormatError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        # What h5py raises for truncated and damaged files depends on where the damage is.
        raise ModelFormatError(f"{path}: not a readable HDF5 file: {error}") from error


class ModelReader(CheckedReader):
    """Reads one file, with layer classes of the caller's beside refcrp's."""

    def __init__(self, path: Path, own: Mapping[str, type[Layer]] | None = None) -> None:
        super().__init__(path)
        self.classes = LAYER_CLASSES if own is None else {**LAYER_CLASSES, **own}

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
            raise self.fail("/layers", f"attributes 'sources' need format version {GRAPH_VERSION}")
        try:
            if version == CHAIN_VERSION:
                return Sequential(layers, input_shape=shape)
            names = {INPUT: INPUT_NAME} | {k: layer.name or str(k) for k, layer in enumerate(layers)}
            model = Graph(
                [(names[k], layer, self.sources(groups[k], names)) for k, layer in enumerate(layers)],
                input_shape=shape,
            )
            return self.with_normalization(file, model) if version == VERSION else model
        except RefcrpError as error:
            raise self.fail("/layers", str(error)) from error

    def with_normalization(self, file: h5py.File, model: Model) -> Model:
        """Read how pixels become the input."""
        keys = ("normalization.mean", "normalization.std")
        for key in keys:
            if key not in file.attrs:
                raise self.fail("/", f"attribute {key!r} is missing, of which version {VERSION} has one")
        mean, std = (self.numbers(file, key) for key in keys)
        try:
            return model.with_normalization(mean=mean, std=std)
        except RefcrpError as error:
            raise self.fail("/", str(error)) from error

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
        cls = self.classes.get(name)
        if cls is None:
            own = f"a class of your own is given as layers={{{name!r}: {name}}}"
            near = nearest_names(name, self.classes)
            raise self.fail(group.name, f"unknown layer class {name!r}; {near}; {own}")
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
