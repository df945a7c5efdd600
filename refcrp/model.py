"""Models: named layers in the order in which they compute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from refcrp.arrays import Array, as_batch
from refcrp.checks import Shape, as_sample_shape, check_finite, check_shape, show_shape
from refcrp.errors import ModelError, ShapeError, UnknownLayerError, nearest_names
from refcrp.layers import Layer
from refcrp.normalization import Normalization

__all__ = ["INPUT", "INPUT_NAME", "OUTPUT_NAME", "Graph", "Model", "Node"]

INPUT = -1  # the place of the model's input among the nodes
INPUT_NAME = "x"  # what `Graph` calls the model's input
OUTPUT_NAME = "y"  # what conditions call the model's output; no layer may be called so


@dataclass(frozen=True, eq=False)
class Node:
    """A layer in its place: its name in the model, and which nodes it reads."""

    name: str
    layer: Layer
    sources: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Model:
    """Layers in the order in which they compute; build one with `Sequential` or `Graph`.

    Every layer reads the model's input or layers before it, and the last one gives the output.

    ``model[2]`` and ``model["conv2"]`` give a layer, ``len(model)`` counts them, ``iter(model)`` goes through
    them. A model is a value: whatever changes it gives a new one.

    Parameters
    ----------
    nodes : tuple of Node
    input_shape : tuple of int, optional
        Of one sample, (channels, height, width) or (features,). With it the shapes of all layers are checked
        and known from the start.
    normalization : Normalization, optional
        How pixels become the input; see `with_normalization`. The model itself takes normalised input.

    Attributes
    ----------
    dtype : dtype or None
        The type of the parameters; None if there are none.
    shapes : tuple
        The shape of each layer's output, without batch axis, as far as it is known without an input.

    Examples
    --------
    >>> import refcrp as rc
    >>> model = rc.load_model("lenet5")
    >>> len(model), model["conv2"], model.shapes[model.index("conv2")]
    (8, Conv2d(6 => 16, 5x5, relu, name='conv2'), (16, 8, 8))
    """

    nodes: tuple[Node, ...]
    input_shape: tuple[int, ...] | None = None
    normalization: Normalization | None = None
    dtype: np.dtype[Any] | None = field(init=False, repr=False)
    shapes: tuple[Shape | None, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.nodes:
            raise ModelError("a model needs at least one layer")
        names = Counter(node.name for node in self.nodes)
        for name, count in names.items():
            if count > 1:
                raise ModelError(f"{count} layers are called {name!r}; every layer needs a name of its own")
        types = {array.dtype for layer in self for array in layer.arrays().values()}
        if {dtype.kind for dtype in types} == {"f", "O"}:
            raise ModelError("some layers are exact, others are not; give all layers one type with astype()")
        if OUTPUT_NAME in names:
            raise ModelError(
                f"no layer may be called {OUTPUT_NAME!r}: conditions use it for the model's output"
            )
        read = {source for node in self.nodes for source in node.sources}
        for k, node in enumerate(self.nodes):
            if not node.sources or not all(INPUT <= source < k for source in node.sources):
                raise ModelError(f"layer {node.name!r} reads {node.sources}; expected layers before it")
            if k not in read and k < len(self.nodes) - 1:
                raise ModelError(f"no layer reads {node.name!r}, and only the last one gives the output")
        if self.normalization is not None and self.input_shape is not None:
            self.normalization.check_channels(self.input_shape[0])
        object.__setattr__(self, "dtype", np.result_type(*types) if types else None)
        object.__setattr__(self, "shapes", self._infer_shapes())

    # Computing -------------------------------------------------------------------------------------------

    @np.errstate(all="ignore")  # results are checked instead
    def forward(self, x: Array) -> Array:
        """Compute the output for a batch of inputs.

        Parameters
        ----------
        x : (batch, ...) array
            float32 or float64 (or longdouble, or fractions in an object array); integers take the type of
            the weights.

        Raises
        ------
        ShapeError, NonFiniteError, ArrayTypeError
            If the input does not fit the model.
        """
        outputs = {INPUT: self.check_input(x)}
        for k, node in enumerate(self.nodes):
            outputs[k] = node.layer.apply(*(outputs[source] for source in node.sources))
            check_finite(outputs[k], node.layer)
        return outputs[len(self) - 1]

    def check_input(self, x: Array) -> Array:
        """Give `x` as an array that fits the model, or raise what is wrong with it."""
        array = as_batch(x, "input", self.dtype)
        if self.input_shape is None:
            self.shapes_for(array.shape[1:])
        else:
            check_shape(array.shape, (None, *self.input_shape), "input (batch, *input_shape)")
        return array

    # Looking up ------------------------------------------------------------------------------------------

    def index(self, layer: int | str) -> int:
        """Give the 0-based index of a layer, named or counted (-1 is the last).

        Raises
        ------
        UnknownLayerError
            If there is no such layer; names the nearest.
        """
        if isinstance(layer, str):
            for k, node in enumerate(self.nodes):
                if node.name == layer:
                    return k
            raise UnknownLayerError(f"no layer {layer!r}; {nearest_names(layer, self.names)}")
        if isinstance(layer, bool) or not hasattr(layer, "__index__"):
            raise UnknownLayerError(f"a layer is an index or a name, got {layer!r}")
        if not -len(self) <= layer < len(self):
            raise UnknownLayerError(f"no layer {layer}; the model has layers 0 to {len(self) - 1}")
        return int(layer) % len(self)

    def __getitem__(self, layer: int | str) -> Layer:
        return self.nodes[self.index(layer)].layer

    def __len__(self) -> int:
        return len(self.nodes)

    def __iter__(self) -> Iterator[Layer]:
        return (node.layer for node in self.nodes)

    @property
    def names(self) -> tuple[str, ...]:
        """The layers' names, in order."""
        return tuple(node.name for node in self.nodes)

    @property
    def parameter_count(self) -> int:
        """How many numbers the model has learned."""
        return sum(layer.parameter_count for layer in self)

    # New models ------------------------------------------------------------------------------------------

    def astype(self, dtype: Any) -> Model:
        """Give the same model with parameters of another type; ``object`` makes them exact fractions."""
        return self.with_layers(layer.astype(dtype) for layer in self)

    def with_layers(self, layers: Iterable[Layer]) -> Model:
        """Give the same graph with other layers, one for each."""
        return self.rewritten(dict(enumerate(layers)))

    def rewritten(self, layers: Mapping[int, Layer | None]) -> Model:
        """Give the graph with other layers at some places.

        None takes out a layer that reads a single other one, so that its readers read that one instead. Names
        stay.
        """
        nodes: list[Node] = []
        place = {INPUT: INPUT}  # where the output of an old node is found among the new ones
        for k, node in enumerate(self.nodes):
            layer = layers.get(k, node.layer)
            sources = tuple(place[source] for source in node.sources)
            if layer is None:
                (place[k],) = sources
            else:
                place[k] = len(nodes)
                named = layer if layer.name == node.name else replace(layer, name=node.name)
                nodes.append(Node(node.name, named, sources))
        return replace(self, nodes=tuple(nodes))

    def with_normalization(self, *, mean: Any = 0.0, std: Any = 1.0) -> Model:
        """Give the same model, knowing its pixels: (v - mean) / std is its input.

        Files keep it, and models made of this one; not one that this becomes a part of. `forward` and
        analyzers take input that is normalised, as by ``model.normalization.normalize(pixels)``.

        Raises
        ------
        ParameterError, ShapeError
            If `Normalization` does not take the numbers, or there are not as many as channels.
        """
        return replace(self, normalization=Normalization(mean, std))

    def readers(self, k: int) -> list[int]:
        """Give the layers that read layer `k`."""
        return [reader for reader, node in enumerate(self.nodes) if k in node.sources]

    @property
    def is_chain(self) -> bool:
        """Whether each layer reads the one before it, and no other."""
        return all(node.sources == (k - 1,) for k, node in enumerate(self.nodes))

    # Shapes ----------------------------------------------------------------------------------------------

    def shapes_for(self, input_shape: Shape) -> tuple[Shape, ...]:
        """Give the shape of each layer's output, without batch axis, for inputs of `input_shape`.

        Raises
        ------
        ShapeError
            If the input does not fit the first layer, or a layer the one before it; names the layer.
        """
        shapes = self._shapes_from({INPUT: input_shape})
        return tuple(shape for shape in shapes if shape is not None)

    def _infer_shapes(self) -> tuple[Shape | None, ...]:
        """Find out as much of each output's shape as can be known without an input."""
        if self.input_shape is not None:
            return self._shapes_from({INPUT: self.input_shape})
        hints = ((node.sources[0], node.layer.input_hint()) for node in self.nodes)
        first = next(((source, hint) for source, hint in hints if hint is not None), None)
        return self._shapes_from({} if first is None else dict([first]))

    def _shapes_from(self, known: dict[int, Shape]) -> tuple[Shape | None, ...]:
        """Complete the `known` shapes of some outputs by those that follow from them."""
        for k, node in enumerate(self.nodes):
            if all(source in known for source in node.sources):
                try:
                    known[k] = node.layer.output_shape(*(known[source] for source in node.sources))
                except ShapeError as error:
                    raise ShapeError(f"layer {k}, {error}") from None
        return tuple(known.get(k) for k in range(len(self)))

    def __repr__(self) -> str:
        shape = "" if self.input_shape is None else f", input_shape={show_shape(self.input_shape)}"
        n = self.normalization
        tail = f"{shape})" if n is None else f"{shape}).with_normalization(mean={n.mean}, std={n.std})"
        if self.is_chain:
            rows = "\n".join(f"  {layer!r}," for layer in self)
            return f"Sequential([\n{rows}\n]{tail}"
        names = {INPUT: INPUT_NAME} | dict(enumerate(self.names))
        rows = "\n".join(f"  {n.layer!r} <- {', '.join(names[s] for s in n.sources)}" for n in self.nodes)
        return f"Graph([\n{rows}\n]{tail}"


def Graph(  # noqa: N802 - it is called as a class would be
    nodes: Iterable[tuple[str, Layer, Sequence[str]]], *, input_shape: tuple[int, ...] | None = None
) -> Model:
    """Build a model from layers that say what they read.

    Parameters
    ----------
    nodes : iterable of (name, layer, inputs)
        In an order in which they can compute; `inputs` are names of layers before, or ``"x"`` for the model's
        input. The last one gives the output.
    input_shape : tuple of int, optional
        Of one sample; with it the shapes of all layers are checked and known from the start.

    Raises
    ------
    ModelError
        If a layer reads what is not there, or two have the same name.
    ShapeError
        If two layers do not fit together.

    Examples
    --------
    >>> import refcrp as rc
    >>> from refcrp import layers as L
    >>> rc.Graph([("act", L.ReLU(), ["x"]), ("sum", L.Add(), ["act", "x"])])
    Graph([
      ReLU(name='act') <- x
      Add(name='sum') <- act, x
    ])
    """
    place: dict[str, int] = {INPUT_NAME: INPUT}
    built: list[Node] = []
    for name, layer, inputs in nodes:
        if not isinstance(layer, Layer):
            raise ModelError(f"layer {name!r} is {layer!r}; expected a layer, as those in refcrp.layers")
        if name == INPUT_NAME:
            raise ModelError(f"no layer may be called {INPUT_NAME!r}: it is the model's input")
        for source in inputs:
            if source not in place:
                raise ModelError(f"layer {name!r} reads {source!r}; {nearest_names(str(source), place)}")
        if name in place:
            raise ModelError(f"several layers are called {name!r}; every layer needs a name of its own")
        place[name] = len(built)
        built.append(Node(name, replace(layer, name=name), tuple(place[source] for source in inputs)))
    return Model(tuple(built), None if input_shape is None else as_sample_shape(input_shape))
