"""Keras models in HDF5 files, of Keras 2 and 3; TensorFlow is not needed, and no file is run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py

from refcrp.arrays import Array
from refcrp.checks import Shape
from refcrp.errors import ModelFormatError, RefcrpError
from refcrp.io.hdf5 import ModelReader
from refcrp.io.keras_config import Call, parse_json, unfold
from refcrp.io.keras_layers import SUPPORTED
from refcrp.io.keras_step import Step, Tensor, blocks_of
from refcrp.io.keras_text import text_problem
from refcrp.layers import Layer, ReshapingLayer
from refcrp.model import INPUT_NAME, Graph, Model

__all__ = ["is_keras", "read_keras"]

MAX_CONFIG_BYTES = 8 * 2**20
MAX_DEPTH = 32  # of groups in groups
MAX_ARRAYS = 20_000
NOT_WEIGHTS = ("seed_generator_state", "count")  # of dropout; of the samples that Normalization has seen


def is_keras(path: Path) -> bool:
    """Tell whether a file is HDF5 that Keras wrote, by what is in it."""
    try:
        with h5py.File(path, "r") as file:
            return any(key in file.attrs for key in ("model_config", "keras_version", "layer_names"))
    except (OSError, RuntimeError, KeyError, ValueError, TypeError):
        return False


def read_keras(path: Path) -> Model:
    """Read a Keras model from an HDF5 file, believing nothing in the file before it is checked.

    Layers keep their names in Keras; those in a model inside the model are called ``model.layer``. Images are
    (channels, height, width), whatever Keras has.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ModelFormatError
        If the file is damaged, or has a layer that refcrp does not have; names file, layer, and what was
        expected.
    """
    try:
        with h5py.File(path, "r") as file:
            return KerasReader(path, file).model()
    except ModelFormatError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        # What h5py raises for truncated and damaged files depends on where the damage is.
        raise ModelFormatError(f"{path}: not a readable Keras HDF5 file: {error}") from error


class KerasReader:
    """Reads one file."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self.file = path, file
        self.hdf5 = ModelReader(path)
        self.arrays: dict[str, dict[tuple[str, ...], h5py.Dataset]] = {}  # by layer: not read yet

    def fail(self, where: str, what: str) -> ModelFormatError:
        """Make the error for something wrong at a layer, or at another place in the file."""
        return ModelFormatError(f"{self.path}: {where}: {what}")

    def model(self) -> Model:
        """Read the whole file."""
        unfolded = unfold(parse_json(self.config_text(), self.fail), self.fail)
        shape: Shape = unfolded.input_shape
        if len(shape) == 3:
            shape = (shape[2], *shape[:2])
        tensors, names = {INPUT_NAME: Tensor(shape)}, {INPUT_NAME: INPUT_NAME}
        nodes: list[tuple[str, Layer, list[str]]] = []
        for call in unfolded.calls:
            inputs = tuple(tensors[source] for source in call.sources)
            step = Step(call, inputs, self.taker(call), partial(self.fail_at, call))
            sources, output = [names[source] for source in call.sources], [x.shape for x in inputs]
            for name, layer in named(self.convert(step), call.name):
                nodes.append((name, layer, sources))
                try:
                    sources, output = [name], [layer.output_shape(*output)]
                except RefcrpError as error:
                    raise step.fail(str(error)) from error
            (names[call.name],), (result,) = sources, output
            tensors[call.name] = Tensor(result, blocks_of(step, result))
        self.check_all_taken()
        if not nodes:
            raise self.fail("model_config", "the model has no layers that compute")
        if tensors[unfolded.output].blocks:
            raise self.fail(
                "model_config", "the model ends with a flattened image; expected a Dense layer after it"
            )
        known = tuple(n for n in shape if n is not None)
        try:
            return Graph(nodes, input_shape=known if len(known) == len(shape) else None)
        except RefcrpError as error:
            raise self.fail("model_config", str(error)) from error

    def convert(self, step: Step) -> list[Layer]:
        """Give the layers that one of Keras's becomes."""
        converter = SUPPORTED.get(step.call.class_name)
        if converter is None:
            supported = ", ".join(sorted(SUPPORTED))
            raise step.fail(f"this class of layer is not supported; supported: {supported}")
        try:
            return converter(step)
        except ModelFormatError:
            raise
        except RefcrpError as error:
            raise step.fail(str(error)) from error

    def fail_at(self, call: Call, what: str) -> ModelFormatError:
        """Make the error for a layer."""
        return self.fail(f"layer {call.name!r} ({call.class_name})", what)

    # The configuration -----------------------------------------------------------------------------------

    def config_text(self) -> str:
        """Read the attribute ``model_config``."""
        if "model_config" not in self.file.attrs:
            raise self.fail(
                "/", "attribute 'model_config' is missing: the file holds weights only; save the whole model"
            )
        stored = self.file.attrs.get_id("model_config")
        kind = h5py.check_string_dtype(stored.dtype)
        if kind is None or stored.shape != ():
            raise self.fail("/", "attribute 'model_config' is not text")
        if kind.length is None:
            self.check_text()
        elif kind.length > MAX_CONFIG_BYTES:
            raise self.fail(
                "/", f"attribute 'model_config' has {kind.length} bytes, more than {MAX_CONFIG_BYTES}"
            )
        value = self.file.attrs["model_config"]
        try:
            value = value.encode() if isinstance(value, str) else bytes(value)
            text = value.decode()
        except UnicodeError as error:
            raise self.fail("/", "attribute 'model_config' is not UTF-8 text") from error
        if len(value) > MAX_CONFIG_BYTES:
            raise self.fail(
                "/", f"attribute 'model_config' has {len(value)} bytes, more than {MAX_CONFIG_BYTES}"
            )
        return text

    def check_text(self) -> None:
        """Check what the HDF5 library believes of a text of variable length."""
        problem = text_problem(self.path, "model_config", MAX_CONFIG_BYTES)
        if problem is not None:
            raise self.fail("/", f"attribute 'model_config': {problem}")

    # Arrays ----------------------------------------------------------------------------------------------

    def taker(self, call: Call) -> Callable[..., Array | None]:
        """Give the function that finds an array of a layer by one of the names it may have."""

        def take(*names: str) -> Array | None:
            top = call.path[0]
            if top not in self.arrays:
                self.arrays[top] = dict(self.datasets(self.group(top)))
            for name in names:
                found = self.candidates(call, name)
                if len(found) > 1:
                    raise self.fail_at(
                        call, f"several arrays could be {name!r}: {', '.join(map('/'.join, found))}"
                    )
                if found:
                    dataset = self.arrays[top].pop(found[0])
                    return self.hdf5.array(dataset.parent, found[0][-1])
            return None

        return take

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


def named(layers: list[Layer], name: str) -> Iterator[tuple[str, Layer]]:
    """Name the layers that one of Keras's becomes: the last that computes has its name."""
    computing = [layer for layer in layers if not isinstance(layer, ReshapingLayer)]
    own = (computing or layers)[-1]
    for layer in layers:
        yield (name if layer is own else f"{name}.{layer.kind}"), layer
