"""Keras models, in HDF5 or `.keras` files; TensorFlow is not needed, and no file is run."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import h5py

from refcrp.arrays import Array
from refcrp.errors import ModelFormatError, RefcrpError
from refcrp.io.keras_config import Call, Unfolded, unfold
from refcrp.io.keras_file import KerasFile
from refcrp.io.keras_json import parse_json
from refcrp.io.keras_layers import REFUSED, SUPPORTED
from refcrp.io.keras_step import Step
from refcrp.io.keras_tensor import Layout, Tensor
from refcrp.io.keras_zip import KerasZip, is_zip
from refcrp.io.own_layers import OwnLayers, converters
from refcrp.layers import Layer, Multiply, ReshapingLayer
from refcrp.model import INPUT_NAME, Graph, Model

__all__ = ["KerasReader", "is_keras", "opened", "read_keras"]

# What h5py and zipfile raise for truncated and damaged files depends on where the damage is.
DAMAGE = (
    OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError,
    EOFError, OverflowError, BadZipFile, zlib.error,
)  # fmt: skip


def is_keras(path: Path) -> bool:
    """Tell whether a file is HDF5 that Keras wrote, or a zip file, by what is in it."""
    try:
        if is_zip(path):
            return True
        with h5py.File(path, "r") as file:
            return any(key in file.attrs for key in ("model_config", "keras_version", "layer_names"))
    except (OSError, RuntimeError, KeyError, ValueError, TypeError):
        return False


def read_keras(path: Path, layers: OwnLayers | None = None) -> Model:
    """Read a Keras model from a file, believing nothing in the file before it is checked.

    Layers keep their names in Keras; those in a model inside the model are called ``model.layer``. Images are
    (channels, height, width), whatever Keras has, and sequences (channels, 1, length).

    Parameters
    ----------
    path : Path
    layers : mapping, optional
        From a class name in Keras to a function from a `Step` to a layer, or several; before refcrp's own.

    Raises
    ------
    ModelFormatError
        If the file is damaged, or has a layer that refcrp does not have; names file, layer, and what was
        expected.
    """
    with opened(path, layers) as reader:
        return reader.model()


@contextmanager
def opened(path: Path, layers: OwnLayers | None = None) -> Iterator[KerasReader]:
    """Open a file; whatever goes wrong in it is a `ModelFormatError`."""
    try:
        with KerasZip.opened(path) if is_zip(path) else KerasFile.opened(path) as source:
            yield KerasReader(path, source, layers)
    except ModelFormatError:
        raise
    except DAMAGE as error:
        raise ModelFormatError(f"{path}: not a readable Keras file: {error}") from error


class KerasReader:
    """Reads one file."""

    def __init__(self, path: Path, source: KerasFile | KerasZip, layers: OwnLayers | None = None) -> None:
        self.path, self.source = path, source
        self.table = {**SUPPORTED, **converters(layers)}
        self.shared: Counter[tuple[str, ...]] = Counter()  # how often each layer is called
        self.arrays: dict[tuple[tuple[str, ...], str], Array | None] = {}  # of layers that are called again
        self.made: dict[tuple[tuple[str, ...], tuple[Tensor, ...]], list[Layer]] = {}  # likewise

    def fail(self, where: str, what: str) -> ModelFormatError:
        """Make the error for something wrong at a layer, or at another place in the file."""
        return ModelFormatError(f"{self.path}: {where}: {what}")

    def unfolded(self) -> Unfolded:
        """Give the layers that the configuration lists."""
        return unfold(parse_json(self.source.config_text(), self.fail), self.fail)

    def model(self) -> Model:
        """Read the whole file."""
        unfolded = self.unfolded()
        layout = Layout.of(unfolded.calls)
        self.shared.update(call.path for call in unfolded.calls)
        tensors = {INPUT_NAME: layout.tensor(unfolded.input_shape)}
        names = {INPUT_NAME: INPUT_NAME}  # of the layer that gives a call's value
        nodes: list[tuple[str, Layer, list[str]]] = []
        for call in unfolded.calls:
            inputs = tuple(tensors[source] for source in call.sources)
            fail = partial(self.fail_at, call)
            step = Step(
                call, inputs, partial(self.take, call), fail, layout, self.source.has_true_convolutions()
            )
            sources, output = [names[source] for source in call.sources], [x.shape for x in inputs]
            if call.class_name == "Subtract":
                nodes += [(f"{call.name}.multiply", Multiply(-1.0), sources[1:])]
                sources[1:] = [f"{call.name}.multiply"]
            for name, layer in named(self.convert(step), call.name):
                nodes.append((name, layer, sources))
                try:
                    sources, output = [name], [layer.output_shape(*output)]
                except RefcrpError as error:
                    raise step.fail(str(error)) from error
            (names[call.name],), (result,) = sources, output
            tensors[call.name] = step.result(result)
        self.source.check_all_taken()
        if not nodes:
            raise self.fail("model_config", "the model has no layers that compute")
        if tensors[unfolded.output].blocks:
            raise self.fail(
                "model_config", "the model ends with a flattened image; expected a Dense layer after it"
            )
        shape = tensors[INPUT_NAME].shape
        known = tuple(n for n in shape if n is not None)
        try:
            return Graph(nodes, input_shape=known if len(known) == len(shape) else None)
        except RefcrpError as error:
            raise self.fail("model_config", str(error)) from error

    def convert(self, step: Step) -> list[Layer]:
        """Give the layers that one of Keras's becomes, the same for calls of it on inputs of one shape."""
        key = (step.call.path, step.inputs)
        if key in self.made:
            return self.made[key]
        converter = self.table.get(step.call.class_name)
        if converter is None:
            supported = f"this class of layer is not supported; supported: {', '.join(sorted(self.table))}"
            raise step.fail(REFUSED.get(step.call.class_name, supported))
        try:
            layers = converter(step)
        except ModelFormatError:
            raise
        except RefcrpError as error:
            raise step.fail(str(error)) from error
        if self.shared[step.call.path] > 1:
            self.made[key] = layers
        return layers

    def take(self, call: Call, *names: str) -> Array | None:
        """Give an array of a layer by one of the names that it may have."""
        key = (call.path, names[0])
        if key in self.arrays:
            return self.arrays[key]
        array = self.source.array(call, names, partial(self.fail_at, call))
        if self.shared[call.path] > 1:
            self.arrays[key] = array
        return array

    def fail_at(self, call: Call, what: str) -> ModelFormatError:
        """Make the error for a layer."""
        return self.fail(f"layer {call.name!r} ({call.class_name})", what)


def named(layers: list[Layer], name: str) -> Iterator[tuple[str, Layer]]:
    """Name the layers that one of Keras's becomes: the last that computes has its name."""
    computing = [layer for layer in layers if not isinstance(layer, ReshapingLayer)]
    own = (computing or layers)[-1]
    for layer in layers:
        yield (name if layer is own else f"{name}.{layer.kind}"), layer
