"""Building models from layers: one after the other, side by side, around each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from refcrp.checks import as_sample_shape
from refcrp.errors import ModelError
from refcrp.layers import Add, Concat, Layer
from refcrp.model import INPUT, Model, Node

__all__ = ["Parallel", "Residual", "Sequential"]


@dataclass(frozen=True, init=False)
class Parallel:
    """Branches that read the same input, and a layer that puts their outputs together.

    Parameters
    ----------
    *branches : layer, model, Parallel, Residual, or list of these
        None is the input itself. Their layers are called ``name.0``, ``name.1.conv2`` and so on.
    merge : Layer, optional
        Takes the outputs of all branches, and carries the block's name: `Concat` along the channels by
        default, or `Add`.
    name : str, optional

    Examples
    --------
    >>> import refcrp as rc
    >>> rc.Sequential([rc.Parallel(rc.layers.Dense([[2.0]]), None, name="both")]).forward([[3.0]])
    array([[6., 3.]])
    """

    kind: ClassVar[str] = "parallel"

    branches: tuple[Part | None, ...]
    merge: Layer = field(default_factory=Concat)
    name: str | None = None

    def __init__(self, *branches: Part | None, merge: Layer | None = None, name: str | None = None) -> None:
        object.__setattr__(self, "branches", branches)
        object.__setattr__(self, "merge", Concat() if merge is None else merge)
        object.__setattr__(self, "name", name)
        if not branches:
            raise ModelError("Parallel: expected one branch at least")


@dataclass(frozen=True)
class Residual:
    """A body whose output is added to what it read, or to what a shortcut makes of that.

    Parameters
    ----------
    body : layer, model, Parallel, Residual, or list of these
        Its layers are called ``name.body.0``, ``name.body.conv2`` and so on.
    shortcut : the same, optional
        The input itself if None; its layers are called ``name.shortcut...``.
    name : str, optional
        Of the block, and of the `Add` at its end.

    Examples
    --------
    >>> import refcrp as rc
    >>> rc.Sequential([rc.Residual(rc.layers.Dense([[2.0]]))]).forward([[3.0]])
    array([[9.]])
    """

    kind: ClassVar[str] = "residual"

    body: Part
    shortcut: Part | None = None
    name: str | None = None


Part = Layer | Model | Parallel | Residual | Sequence["Part"]


def Sequential(layers: Iterable[Part], *, input_shape: tuple[int, ...] | None = None) -> Model:  # noqa: N802
    """Build a model in which each layer, or block of layers, reads the one before it.

    Layers and blocks without a name are called by their kind and how many of it there are so far: ``conv1``,
    ``maxpool1``, ``residual1``; inside blocks, where they have none, by their place: ``residual1.body.0``.

    Parameters
    ----------
    layers : iterable of Layer, Model, `Residual` or `Parallel`
    input_shape : tuple of int, optional
        Of one sample; with it the shapes of all layers are checked and known from the start.

    Raises
    ------
    ModelError
        If there is no layer, something that is none, or two of the same name.
    ShapeError
        If two layers do not fit together.

    Examples
    --------
    >>> import refcrp as rc
    >>> from refcrp import layers as L
    >>> rc.Sequential([rc.Residual([L.ReLU(), L.Tanh(name="act")], name="block"), L.Flatten()])
    Graph([
      ReLU(name='block.body.0') <- x
      Tanh(name='block.body.act') <- block.body.0
      Add(name='block') <- block.body.act, x
      Flatten(name='flatten1') <- block
    ])
    """
    if not isinstance(layers, Iterable) or isinstance(layers, str):
        raise ModelError(f"Sequential: expected a list of layers, got {layers!r}")
    parts = list(layers)
    builder = Builder()
    source = INPUT
    for name, part in zip(top_names(parts), parts, strict=True):
        source = builder.add(part, source, name)
    return Model(tuple(builder.nodes), None if input_shape is None else as_sample_shape(input_shape))


def top_names(parts: Sequence[Part]) -> list[str]:
    """Give each part its own name, or kind1, kind2, ..., the first that is not taken."""
    for k, part in enumerate(parts):
        if not isinstance(part, (Layer, Model, Parallel, Residual)):
            raise ModelError(f"layer {k} is {part!r}; expected a layer, as those in refcrp.layers")
    taken = {name for part in parts if (name := own_name(part)) is not None}
    counts: Counter[str] = Counter()
    names = []
    for part in parts:
        kind = getattr(part, "kind", "model")
        counts[kind] += 1
        number = counts[kind]
        while f"{kind}{number}" in taken:
            number += 1
        name = own_name(part) or f"{kind}{number}"
        taken.add(name)
        names.append(name)
    return names


def own_name(part: Part) -> str | None:
    """Give the name of a part that has one."""
    return getattr(part, "name", None)


class Builder:
    """The nodes of a model that is being built."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def node(self, name: str, layer: Layer, sources: tuple[int, ...]) -> int:
        """Add a layer; gives its place."""
        self.nodes.append(Node(name, layer if layer.name == name else replace(layer, name=name), sources))
        return len(self.nodes) - 1

    def add(self, part: Part | None, source: int, name: str) -> int:
        """Add a part that reads `source`; gives the place of its output. None is the source itself."""
        match part:
            case None:
                return source
            case Layer():
                return self.node(name, part, (source,))
            case Model():
                return self.model(part, source, name)
            case Parallel():
                outputs = [self.add(b, source, f"{name}.{k}") for k, b in enumerate(part.branches)]
                return self.node(name, part.merge, tuple(outputs))
            case Residual():
                body = self.add(part.body, source, f"{name}.body")
                shortcut = self.add(part.shortcut, source, f"{name}.shortcut")
                return self.node(name, Add(), (body, shortcut))
        if not isinstance(part, (list, tuple)) or not part:
            raise ModelError(f"{name}: expected a layer, a block or a list of them, got {part!r}")
        for k, child in enumerate(part):
            source = self.add(child, source, f"{name}.{own_name(child) or k}")
        return source

    def model(self, model: Model, source: int, name: str) -> int:
        """Add the nodes of a model that reads `source`."""
        place = {INPUT: source}
        for k, node in enumerate(model.nodes):
            place[k] = self.node(f"{name}.{node.name}", node.layer, tuple(place[s] for s in node.sources))
        return place[len(model) - 1]
