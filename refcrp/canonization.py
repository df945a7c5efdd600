"""Rewriting a model into an equal one that is better to explain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from refcrp.folding import fold_into_next, fold_into_previous
from refcrp.layers import (
    Add,
    Concat,
    Dropout,
    Flatten,
    Identity,
    Permute,
    Reshape,
    SampleNorm,
    Softmax,
    WeightedLayer,
)
from refcrp.layers.norm import Affine
from refcrp.model import INPUT, Model, Node

__all__ = ["canonize", "flatten", "remainders", "strip_softmax"]


def strip_softmax(model: Model) -> Model:
    """Take off the softmax at the end of a model, alone or fused into the last layer.

    Relevance is defined on the scores before it. A model without one is given back as it is.

    Raises
    ------
    ModelError
        If nothing is left.

    Examples
    --------
    >>> import refcrp as rc
    >>> rc.strip_softmax(rc.Sequential([rc.layers.Dense([[2, 1], [0, 1]]), rc.layers.Softmax()]))
    Sequential([
      Dense(2 => 2, name='dense1'),
    ])
    """
    end = len(model) - 1
    last = model[end]
    if isinstance(last, Softmax):
        return model.rewritten({end: None})
    if isinstance(last, WeightedLayer) and isinstance(last.nonlinearity, Softmax):
        return model.rewritten({end: last.without_activation()})
    return model


def flatten(model: Model) -> Model:
    """Take out the layers that compute nothing, so that each index is one of a layer that does something.

    These are Identity, Dropout, Add and Concat of a single input, and Flatten, Reshape and Permute that leave
    the shape as it is, where it is known. A model of nothing else keeps its last layer. (Nested models need
    nothing of the kind: `Sequential` gives their layers dotted names in one list.)

    Returns
    -------
    Model
        Computes the same, bit for bit; names stay.

    Examples
    --------
    >>> import refcrp as rc
    >>> rc.flatten(rc.Sequential([rc.layers.Dense([[2.0]]), rc.layers.Dropout(), rc.layers.ReLU()]))
    Sequential([
      Dense(1 => 1, name='dense1'),
      ReLU(name='relu1'),
    ])
    """
    idle = [k for k in range(len(model)) if does_nothing(model, k)]
    removed = idle[:-1] if len(idle) == len(model) else idle
    return model.rewritten(dict.fromkeys(removed))


def does_nothing(model: Model, k: int) -> bool:
    """Say whether the output of layer `k` is what it reads, known from the settings and shapes."""
    layer, sources = model[k], model.nodes[k].sources
    if isinstance(layer, (Add, Concat)):
        return len(sources) == 1
    if isinstance(layer, Permute):
        return layer.axes == tuple(range(len(layer.axes)))
    if isinstance(layer, (Flatten, Reshape)):
        shape = model.input_shape if sources == (INPUT,) else model.shapes[sources[0]]
        return shape is not None and None not in shape and layer.output_shape(shape) == shape
    return isinstance(layer, (Identity, Dropout))


def canonize(model: Model) -> Model:
    """Fold normalisations and scales into the convolution or dense layer beside them, as far as they can be.

    Rules then see one linear layer where the network computes one.

    - `LayerNorm`, `GroupNorm` and `InstanceNorm` are split: the normalisation keeps its name, its affine part
      becomes a `Scale` called ``name.scale``. Under `LayerNormRule` and `ZeroRule` relevance stays the same.
    - `BatchNorm` and `Scale` go into the convolution, transposed convolution or dense layer before them;
      where that has an activation function or other readers, or there is none, into the one after them, if it
      alone reads them. If they shift, that one must neither pad (padding is zero after the shift, not before
      it) nor be transposed.
    - What is left stays as it is; `remainders` says what and why.

    Under `ZeroRule` it makes no difference, but for the stabilizers, whether a scale is folded or not; other
    rules look at the weights, and mean those of the whole linear map. The bounds of `ZBoxRule` are those of
    the folded layer's input.

    Returns
    -------
    Model
        Computes the same, up to rounding; folded layers keep the name of the one they went into.

    Examples
    --------
    >>> import refcrp as rc
    >>> model = rc.Sequential([rc.layers.Dense([[2.0, 1.0]], [1.0], name="dense"), rc.layers.Scale([3.0])])
    >>> canonized = rc.canonize(model)
    >>> len(canonized), canonized["dense"].weight, canonized["dense"].bias
    (1, array([[6., 3.]]), array([3.]))
    """
    canonized: Model | None = split_norms(model)
    while canonized is not None:
        model = canonized
        canonized = next(
            (m for k in range(len(model)) for m in folded(model, k) if isinstance(m, Model)), None
        )
    return model


def remainders(model: Model) -> tuple[tuple[str, str], ...]:
    """Say which layers `canonize` leaves though they are affine, and why.

    Returns
    -------
    tuple of (name, reason)
        Of each `BatchNorm` and `Scale` in the canonized model, in its order.
    """
    model = canonize(model)
    reasons = [list(folded(model, k)) for k in range(len(model))]
    return tuple(
        (name, "; ".join(map(str, why))) for name, why in zip(model.names, reasons, strict=True) if why
    )


def split_norms(model: Model) -> Model:
    """Make the affine part of each normalisation of single samples a layer of its own."""
    nodes: list[Node] = []
    place = {INPUT: INPUT}  # where the output of an old node is found among the new ones
    for k, node in enumerate(model.nodes):
        layer, sources = node.layer, tuple(place[source] for source in node.sources)
        if isinstance(layer, SampleNorm) and layer.scaling is not None:
            nodes.append(Node(node.name, layer.without_scaling(), sources))
            name = free_name(f"{node.name}.scale", model)
            nodes.append(Node(name, replace(layer.scaling, name=name), (len(nodes) - 1,)))
        else:
            nodes.append(Node(node.name, layer, sources))
        place[k] = len(nodes) - 1
    return replace(model, nodes=tuple(nodes))


def free_name(name: str, model: Model) -> str:
    """Give a name that no layer has: this one, or with as many underscores as it takes."""
    while name in model.names:
        name += "_"
    return name


def folded(model: Model, k: int) -> Iterator[Model | str]:
    """Fold layer `k`, if it is affine, into the one before, and into the one after; or say why not."""
    layer = model[k]
    if isinstance(layer, Affine):
        yield folded_before(model, k, layer)
        yield folded_after(model, k, layer)


def folded_before(model: Model, k: int, affine: Affine) -> Model | str:
    """Fold layer `k` into the one before it; or say why that cannot be."""
    (source,) = model.nodes[k].sources
    if source == INPUT:
        return "it reads the model's input"
    if model.readers(source) != [k]:
        return f"others read {model.names[source]} too"
    linear = fold_into_previous(affine, model[source])
    if isinstance(linear, str):
        return f"{model.names[source]} before it {linear}"
    return model.rewritten({source: linear, k: None})


def folded_after(model: Model, k: int, affine: Affine) -> Model | str:
    """Fold layer `k` into the one after it; or say why that cannot be."""
    readers = model.readers(k)
    if len(readers) != 1:
        return f"{len(readers)} layers read it" if readers else "it gives the model's output"
    linear = fold_into_next(affine, model[readers[0]])
    if isinstance(linear, str):
        return f"{model.names[readers[0]]} after it {linear}"
    return model.rewritten({k: None, readers[0]: linear})
