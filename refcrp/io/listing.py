"""Which operators a file or a PyTorch module has, and whether there are layers for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from refcrp.errors import ModelFormatError, ParameterError
from refcrp.io import Format
from refcrp.io.own_layers import OwnLayers, converters, layer_classes

__all__ = ["Operator", "file_operators", "torch_operators"]


@dataclass(frozen=True)
class Operator:
    """One operator of a network that is not read further: where it is, what it is, whether it is known."""

    name: str
    kind: str
    is_known: bool


def file_operators(path: Path, file_format: Format, layers: OwnLayers | None = None) -> list[Operator]:
    """List the operators of a model file, those that are not known too.

    Raises
    ------
    ModelFormatError
        If the file is damaged.
    """
    readers = {
        Format.REFCRP: refcrp_operators,
        Format.KERAS: keras_operators,
        Format.ONNX: onnx_operators,
    }
    with errors_named(path, file_format.value):
        return [
            Operator(printable(o.name), printable(o.kind), o.is_known)
            for o in readers[file_format](path, layers)
        ]


@contextmanager
def errors_named(path: Path, what: str) -> Iterator[None]:
    """Turn what reading a damaged file may raise into `ModelFormatError`."""
    try:
        yield
    except ModelFormatError:
        raise
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, MemoryError) as error:
        raise ModelFormatError(f"{path}: not a readable {what} file: {error}") from error


def printable(text: str) -> str:
    """Give a name from a file without what could upset a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text[:200])


def refcrp_operators(path: Path, layers: OwnLayers | None) -> Iterator[Operator]:
    """Go through the layer classes of a refcrp file."""
    from refcrp.io.hdf5 import ModelReader  # noqa: PLC0415 - what is not needed is not imported

    with h5py.File(path, "r") as file:
        reader = ModelReader(path, layer_classes(layers))
        reader.attribute(file, "format", str)
        groups = reader.member(file, "layers", h5py.Group)
        for key in sorted(groups):
            group = reader.member(groups, key, h5py.Group)
            kind = reader.attribute(group, "class", str)
            name = reader.attribute(group, "name", str) if "name" in group.attrs else key
            yield Operator(name, kind, kind in reader.classes)


def keras_operators(path: Path, layers: OwnLayers | None) -> Iterator[Operator]:
    """Go through the layers of a Keras file."""
    from refcrp.io.keras import opened  # noqa: PLC0415

    with opened(path, layers) as reader:
        for call in reader.unfolded().calls:
            yield Operator(call.name, call.class_name, call.class_name in reader.table)


def onnx_operators(path: Path, layers: OwnLayers | None) -> Iterator[Operator]:
    """Go through the nodes of an ONNX file."""
    from refcrp.io.onnx import GraphReader, parse  # noqa: PLC0415

    reader = GraphReader(path, parse(path), layers)
    constant = {tensor.name for tensor in reader.graph.initializer}
    depends = {value.name for value in reader.graph.input} - constant  # on the model's input
    for node in reader.graph.node:
        computes = node.op_type != "Shape" and not depends.isdisjoint(node.input)
        if computes:
            depends.update(node.output)
        is_known = reader.is_known(node) and (not computes or node.op_type in reader.operators)
        yield Operator(node.name or (node.output[0] if node.output else "?"), node.op_type, is_known)


def torch_operators(module: Any, example_input: Any, layers: OwnLayers | None = None) -> list[Operator]:
    """List the operators of a PyTorch module, those that are not known too.

    Raises
    ------
    ModelFormatError
        If the module cannot be traced.
    """
    from refcrp.io.torch import as_example, output_of, start  # noqa: PLC0415
    from refcrp.io.torch_trace import needed_torch  # noqa: PLC0415

    torch = needed_torch()
    if example_input is None:
        raise ParameterError(
            "a PyTorch module is checked with an example_input, such as torch.zeros(1, 3, 32, 32)"
        )
    example = as_example(torch, module, example_input)
    run = start(torch, module, len(example), converters(layers))
    found = []
    with torch.no_grad():
        output_of(run.module, example)
        for node in run.operators(torch.cat([example, example])):
            kind, builder, _ = run.look_up(node)
            run.names[node] = node.name
            found.append(
                Operator(node.target if node.op == "call_module" else node.name, kind, builder is not None)
            )
    return found
