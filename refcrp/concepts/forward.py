"""Forward from the middle: what the model computes when some layers' outputs are changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from refcrp.arrays import Array, as_array, check_same_arithmetic
from refcrp.checks import check_finite, check_shape
from refcrp.errors import ParameterError
from refcrp.model import INPUT, Model

__all__ = ["forward_from"]


@np.errstate(all="ignore")  # results are checked instead
def forward_from(
    model: Model, changed: Mapping[int | str, Array], x: Array, outputs: Sequence[Array]
) -> Array:
    """Compute the model's output where some layers give something else, and no more than depends on it.

    Parameters
    ----------
    model : Model
    changed : mapping
        By layer, index or name, what it gives instead: (n, ...).
    x : (n, ...) array
        The input.
    outputs : sequence of arrays
        What every layer gives for `x`, as ``lrp.trace(x).outputs``.

    Returns
    -------
    (n, ...) array

    Raises
    ------
    UnknownLayerError
        If there is no such layer.
    ShapeError, NonFiniteError, ArrayTypeError
        If an output does not fit its layer.
    """
    if len(outputs) != len(model):
        raise ParameterError(
            f"forward_from: got outputs of {len(outputs)} layers, the model has {len(model)}"
        )
    new: dict[int, Array] = {}
    for layer, values in changed.items():
        k = model.index(layer)
        what = f"changed output of layer {model.names[k]!r}"
        new[k] = as_array(values, what, outputs[k].dtype)
        check_same_arithmetic(new[k], outputs[k].dtype, what)
        check_shape(new[k].shape, outputs[k].shape, what)
    for k, node in enumerate(model.nodes):
        if k not in new and any(source in new for source in node.sources):
            old = (x if source == INPUT else outputs[source] for source in node.sources)
            new[k] = node.layer.apply(*(new.get(s, a) for s, a in zip(node.sources, old, strict=True)))
            check_finite(new[k], node.layer)
    return new.get(len(model) - 1, outputs[-1])
