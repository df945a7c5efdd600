"""What the importers of graphs share: layers that are collected one by one, named, and checked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from refcrp import layers as L
from refcrp.checks import show_shape
from refcrp.errors import ModelFormatError, RefcrpError
from refcrp.layers import Layer
from refcrp.model import INPUT_NAME, OUTPUT_NAME, Graph, Model

__all__ = ["Assembly", "Part", "Sample", "reshaped", "unsupported"]

Sample = tuple[int, ...]  # the shape of one sample
Part = Layer | Sequence[Layer]  # what an operator becomes: a layer, or several, one after the other


@dataclass
class Assembly:
    """The layers of a network that is being imported, in the order in which they compute.

    Parameters
    ----------
    source : str
        What is imported, for error messages.
    input_shape : tuple of int
        Of one sample.
    """

    source: str
    input_shape: Sample
    nodes: list[tuple[str, Layer, tuple[str, ...]]] = field(default_factory=list)
    shapes: dict[str, Sample] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shapes[INPUT_NAME] = self.input_shape

    def add(self, part: Part, inputs: Sequence[str], name: str, where: str) -> str:
        """Append what an operator became, and give the name under which others read it.

        Of several layers the one that computes has the operator's name, those around it that move values are
        called after it. Nothing at all is the operator's input.

        Raises
        ------
        ModelFormatError
            If a layer cannot take its inputs.
        """
        layers = [part] if isinstance(part, Layer) else list(part)
        inputs = tuple(inputs)
        computing = [layer for layer in layers if not isinstance(layer, (L.ReshapingLayer, L.ZeroPad))]
        named = (computing or layers)[-1:]
        for layer in layers:
            own_name = self.free_name(name if layer in named else f"{name}.{layer.kind}")
            try:
                shape = layer.output_shape(*(self.shapes[source] for source in inputs))
            except RefcrpError as error:
                raise ModelFormatError(f"{self.source}: {where}: {error}") from error
            self.nodes.append((own_name, layer, inputs))
            self.shapes[own_name] = tuple(n or 0 for n in shape)  # all are known, as the input's is
            inputs = (own_name,)
        return inputs[0]

    def free_name(self, name: str) -> str:
        """Give `name`, with a number if it is taken."""
        taken = {*self.shapes, OUTPUT_NAME}
        name = "".join(c for c in name if c.isprintable())[:180] or "layer"
        numbered = (f"{name}_{k}" for k in itertools.count(1))
        return name if name not in taken else next(n for n in numbered if n not in taken)

    def model(self, output: str) -> Model:
        """Give the model that ends with the layer `output`, without layers that do not lead to it.

        Raises
        ------
        ModelFormatError
            If they make none.
        """
        needed, kept = {output}, []
        for node in reversed(self.nodes):
            if node[0] in needed:
                needed.update(node[2])
                kept.append(node)
        try:
            return Graph(reversed(kept), input_shape=self.input_shape)
        except RefcrpError as error:
            raise ModelFormatError(f"{self.source}: {error}") from error


def reshaped(before: Sample, after: Sample, where: str) -> Part:
    """Give what puts the values of a sample, in their order, into another shape."""
    if before == after:
        return ()
    if math.prod(before) != math.prod(after):
        raise ModelFormatError(f"{where}: {show_shape(before)} does not reshape to {show_shape(after)}")
    return L.Flatten() if len(after) == 1 else L.Reshape(after)


def unsupported(source: str, operator: str, where: str, supported: Iterable[str]) -> ModelFormatError:
    """Make the error for an operator that has no layer here."""
    names = ", ".join(sorted(supported))
    return ModelFormatError(
        f"{source}: operator {operator!r} at {where} is not supported; supported: {names}"
    )
