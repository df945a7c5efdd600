"""ONNX models: the file, the graph and its constants; what operators become is in `onnx_operators`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from refcrp.arrays import Array
from refcrp.errors import MissingDependencyError, ModelFormatError, RefcrpError
from refcrp.io.assembly import Assembly, Sample, unsupported
from refcrp.io.onnx_operator import Operator
from refcrp.io.onnx_operators import CONSTANTS, OPERATORS
from refcrp.io.own_layers import OwnLayers, converters
from refcrp.model import INPUT_NAME, Model

__all__ = ["is_onnx", "read_onnx"]

MAX_BYTES = 2**31  # of a file: what its format can hold
MAX_CONSTANT = 10**7  # values that a computed constant may have
OLDEST = 9  # opset
ELEMENT_TYPES = {1: "<f4", 11: "<f8", 7: "<i8", 6: "<i4", 9: "?"}  # numbers of TensorProto.DataType
NUMBER_FIELDS = {1: "float_data", 11: "double_data", 7: "int64_data", 6: "int32_data", 9: "int32_data"}
FIRST_FIELDS = b"\x12\x1a\x22\x28\x32\x3a\x42"  # what may come after the version in a ModelProto


def is_onnx(path: Path) -> bool:
    """Tell whether a file looks like ONNX: a message whose first field is a small version number."""
    with path.open("rb") as file:
        start = file.read(3)
    return len(start) == 3 and start[0] == 8 and 0 < start[1] < 64 and start[2] in FIRST_FIELDS


def read_onnx(path: Path, input_shape: Sample | None = None, layers: OwnLayers | None = None) -> Model:
    """Read a model, believing nothing in the file before it is checked.

    Parameters
    ----------
    path : Path
    input_shape : tuple of int, optional
        Of one sample, for a file that leaves it open.
    layers : mapping, optional
        From an operator's name to a function from an `Operator` to a layer, or several; before refcrp's own.

    Raises
    ------
    ModelFormatError
        If the file is none, or holds an operator that has no layer here; names the node.
    MissingDependencyError
        If the package `onnx` is not installed.
    """
    message = parse(path)
    try:
        return GraphReader(path, message, layers).model(input_shape)
    except ModelFormatError:
        raise
    except RefcrpError as error:
        raise ModelFormatError(f"{path}: not a readable ONNX file: {error}") from error
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, AttributeError, MemoryError) as error:
        # Where damaged settings meet arithmetic, anything can come out.
        raise ModelFormatError(f"{path}: a damaged ONNX file: {error!r}") from error


def parse(path: Path) -> Any:
    """Read the file's bytes as a message; nothing in it has been checked yet."""
    try:
        from onnx import ModelProto  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            f"reading ONNX needs the package onnx: pip install 'refcrp[onnx]' ({error})"
        ) from error
    if path.stat().st_size > MAX_BYTES:
        raise ModelFormatError(f"{path}: more than {MAX_BYTES} bytes, which no ONNX file has")
    message = ModelProto()
    try:
        message.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's own, of which there are several
        raise ModelFormatError(f"{path}: not a readable ONNX file: {error}") from error
    return message


class GraphReader:
    """Reads one graph; knows its file for the error messages."""

    def __init__(self, path: Path, message: Any, layers: OwnLayers | None = None) -> None:
        self.path = path
        self.own = converters(layers)
        self.operators = {**OPERATORS, **self.own}
        self.graph = message.graph
        versions = [s.version for s in message.opset_import if s.domain in ("", "ai.onnx")]
        self.opset = max(versions, default=0)
        self.constants: dict[str, Array] = {}
        self.names: dict[str, str] = {}  # of the layer that gives a value
        uses = [
            *(name for node in self.graph.node for name in node.input),
            *(o.name for o in self.graph.output),
        ]
        self.uses = Counter(uses)

    def fail(self, what: str) -> ModelFormatError:
        """Make the error for something wrong in the file."""
        return ModelFormatError(f"{self.path}: {what}")

    def model(self, input_shape: Sample | None) -> Model:
        """Read the whole graph."""
        if self.opset < OLDEST:
            raise self.fail(f"opset {self.opset}, expected {OLDEST} or later")
        self.constants = {t.name: self.tensor(t, f"initializer {t.name!r}") for t in self.graph.initializer}
        inputs = [value for value in self.graph.input if value.name not in self.constants]
        if len(inputs) != 1 or len(self.graph.output) != 1:
            found = f"{len(inputs)} inputs and {len(self.graph.output)} outputs"
            raise self.fail(f"the graph has {found}, expected one of each")
        batch, shape = self.shape(inputs[0])
        assembly = Assembly(str(self.path), shape if input_shape is None else input_shape)
        if 0 in assembly.input_shape or not assembly.input_shape:
            raise self.fail(f"the input {inputs[0].name!r} has no fixed shape; give input_shape to read_onnx")
        self.names[inputs[0].name] = INPUT_NAME
        for node in self.graph.node:
            self.read(assembly, node, batch)
        output = self.graph.output[0].name
        if output not in self.names:
            raise self.fail(f"no operator computes the output {output!r} from the input")
        return assembly.model(self.names[output])

    def shape(self, value: Any) -> tuple[int, Sample]:
        """Give the length of the batch and the shape of a sample, 0 where not known."""
        lengths = [max(0, d.dim_value) for d in value.type.tensor_type.shape.dim]
        return (lengths[0], tuple(lengths[1:])) if lengths else (0, ())

    def read(self, assembly: Assembly, node: Any, batch: int) -> None:
        """Turn one node into layers, or compute it if it is a constant."""
        where = repr(node.name or (node.output[0] if node.output else "?"))
        if not self.is_known(node):
            raise unsupported(str(self.path), node.op_type, where, self.operators)
        op = self.operator(assembly, node, where, batch)
        if not op.sources or node.op_type == "Shape":
            value = CONSTANTS[node.op_type](op) if node.op_type in CONSTANTS else None
            if value is None or value.size > MAX_CONSTANT:
                raise self.fail(f"operator {node.op_type!r} at {where} does not depend on the input")
            self.constants[node.output[0]] = value
            return
        if node.op_type not in self.operators:
            raise unsupported(str(self.path), node.op_type, where, self.operators)
        try:
            part = self.operators[node.op_type](op)
        except RefcrpError as error:
            raise self.fail(f"operator {node.op_type!r} at {where}: {error}") from error
        sources = op.read_instead or op.sources
        self.names[node.output[0]] = assembly.add(part, sources, node.name or node.output[0], where)

    def is_known(self, node: Any) -> bool:
        """Tell whether a node's operator is in a table: of the caller's, or of ONNX's own."""
        is_standard = node.domain in ("", "ai.onnx")
        return node.op_type in self.own or (is_standard and node.op_type in {*OPERATORS, *CONSTANTS})

    def operator(self, assembly: Assembly, node: Any, where: str, batch: int) -> Operator:
        """Collect what is known of a node."""
        attributes = {a.name: self.attribute(a, where) for a in node.attribute}
        inputs: list[Any] = []
        for name in node.input:
            if name and name not in self.names and name not in self.constants:
                raise self.fail(
                    f"operator {node.op_type!r} at {where} reads {name!r}, which nothing before it gives"
                )
            inputs.append(self.names.get(name, self.constants.get(name)))
        if any(self.uses[name] for name in node.output[1:]):
            raise self.fail(f"operator {node.op_type!r} at {where}: a second output is used, expected one")
        alone = [self.uses[name] == 1 for name in node.input]
        return Operator(node.op_type, where, attributes, inputs, alone, assembly, self.opset, batch)

    def attribute(self, attribute: Any, where: str) -> Any:
        """Give an attribute as a number, text, a list of numbers or an array."""
        kinds = {1: "f", 2: "i", 6: "floats", 7: "ints"}  # numbers of AttributeProto.AttributeType
        if attribute.type in kinds:
            value = getattr(attribute, kinds[attribute.type])
            return value if isinstance(value, (int, float)) else list(value)
        if attribute.type == 3:
            return attribute.s.decode(errors="replace")
        if attribute.type == 4:
            return self.tensor(attribute.t, f"{where}: {attribute.name}")
        raise self.fail(f"{where}: attribute {attribute.name!r} is of a kind that no supported operator has")

    def tensor(self, tensor: Any, where: str) -> Array:
        """Read an array, when its type and size are as they should be."""
        if tensor.data_location or tensor.external_data:
            raise self.fail(f"{where}: its data lies in another file; expected it in this one")
        if tensor.data_type not in ELEMENT_TYPES:
            raise self.fail(
                f"{where}: element type {tensor.data_type}, expected float32, float64 or integers"
            )
        dtype = np.dtype(ELEMENT_TYPES[tensor.data_type])
        if tensor.raw_data:
            if len(tensor.raw_data) % dtype.itemsize:
                raise self.fail(f"{where}: {len(tensor.raw_data)} bytes are not whole numbers")
            values = np.frombuffer(tensor.raw_data, dtype)
        else:
            values = np.array(getattr(tensor, NUMBER_FIELDS[tensor.data_type]), dtype)
        shape = tuple(tensor.dims)
        size = 1
        for n in shape:
            size *= n  # Python's own integers do not overflow
        if min(shape, default=0) < 0 or size != values.size:
            raise self.fail(f"{where}: shape {shape}, but {values.size} values")
        if dtype.kind == "f" and not np.isfinite(values).all() and values.size > 1:
            raise self.fail(f"{where}: contains NaN or infinity, expected finite numbers")
        return values.astype(dtype.newbyteorder("=")).reshape(shape)
