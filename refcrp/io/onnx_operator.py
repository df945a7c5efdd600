"""One node of an ONNX graph, as what makes layers of it sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from refcrp.arrays import Array
from refcrp.errors import ModelFormatError
from refcrp.io.assembly import Assembly, Sample
from refcrp.layers import Layer

__all__ = ["Operator"]


@dataclass
class Operator:
    """One node of an ONNX graph.

    Parameters
    ----------
    kind, where : str
        What it is, and which node.
    attributes : dict
    inputs : list
        Of each input the array, if it is constant; the layer's name, if it depends on the model's input; or
        None, if it is left out.
    alone : list of bool
        Whether this node is the only one to read that input.
    assembly : Assembly
        The layers so far.
    opset, batch : int
        Version of the operators; length of the batch that the file was written for, 0 for any.
    """

    kind: str
    where: str
    attributes: dict[str, Any]
    inputs: list[Any]
    alone: list[bool]
    assembly: Assembly
    opset: int
    batch: int
    read_instead: list[str] = field(
        default_factory=list
    )  # what the layer reads, where that is something else

    @property
    def sources(self) -> list[str]:
        """The layers that the node reads."""
        return [i for i in self.inputs if isinstance(i, str)]

    @property
    def shape(self) -> Sample:
        """The shape of one sample of the first of them."""
        return self.assembly.shapes[self.sources[0]]

    def get(self, name: str, default: Any = None) -> Any:
        """Give an attribute."""
        return self.attributes.get(name, default)

    def constant(self, k: int) -> Array | None:
        """Give input `k`, which must be constant; None if it is left out."""
        value = self.inputs[k] if k < len(self.inputs) else None
        if isinstance(value, str):
            raise self.fail(f"its input {k} must not depend on the model's input")
        return value

    def needed(self, k: int) -> Array:
        """Give input `k`, which must be constant, and be there."""
        value = self.constant(k)
        if value is None:
            raise self.fail(f"input {k} is missing")
        return value

    def numbers(self, name: str, k: int) -> list[Any] | None:
        """Give numbers that are an attribute in older versions, and input `k` in later ones."""
        value = self.attributes.get(name)
        if value is None and (array := self.constant(k)) is not None:
            value = array.reshape(-1).tolist()
        return [value] if isinstance(value, (int, float)) else value

    def demand(self, name: str, *accepted: Any) -> None:
        """Raise unless an attribute is one of those with a layer here; the first is the default."""
        if self.get(name, accepted[0]) not in accepted:
            raise self.fail(f"{name}={self.get(name)!r} is not supported, expected {accepted[0]!r}")

    def source_layer(self, name: str) -> tuple[int, Layer | None, tuple[str, ...]]:
        """Give the place of a layer, itself, and what it reads."""
        nodes = self.assembly.nodes
        return next(((k, n[1], n[2]) for k, n in enumerate(nodes) if n[0] == name), (-1, None, ()))

    def fail(self, what: str) -> ModelFormatError:
        """Make the error for something that the operator cannot be here."""
        return ModelFormatError(what)
