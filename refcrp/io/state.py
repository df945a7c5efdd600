"""State dicts: the arrays of a known architecture, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from refcrp.arrays import Array
from refcrp.errors import ModelFormatError, RefcrpError, nearest_names
from refcrp.io.torch_call import as_numpy
from refcrp.layers import BatchNorm, Layer
from refcrp.model import Model

__all__ = ["load_state"]

IGNORED = ".num_batches_tracked"
BATCH_NORM_NAMES = {"mean": "running_mean", "variance": "running_var", "gamma": "weight", "beta": "bias"}


def load_state(model: Model, state: Mapping[str, Any]) -> Model:
    """Give the same model with the arrays of a state dict.

    Parameters
    ----------
    model : Model
        The architecture; its layers are called as the modules are.
    state : mapping
        Tensors or arrays by name: ``conv1.weight``, ``conv1.bias``, ``bn1.running_mean``.

    Raises
    ------
    ModelFormatError
        If an array is missing, left over, or of another shape.

    Examples
    --------
    >>> import numpy as np
    >>> import refcrp as rc
    >>> model = rc.Sequential([rc.layers.Dense(np.zeros((1, 2)), name="fc")])
    >>> rc.load_state(model, {"fc.weight": [[3.0, 2.0]]})["fc"].weight
    array([[3., 2.]])
    """
    left = {key: value for key, value in state.items() if not key.endswith(IGNORED)}
    layers = [with_state(node.layer, node.name, left) for node in model.nodes]
    if left:
        names = [f"{node.name}.{key}" for node in model.nodes for key in state_names(node.layer).values()]
        key = next(iter(left))
        raise ModelFormatError(f"load_state: {key!r} belongs to no layer; {nearest_names(key, names)}")
    return model.with_layers(layers)


def state_names(layer: Layer) -> dict[str, str]:
    """Give the name of each of a layer's arrays in a state dict."""
    if isinstance(layer, BatchNorm):
        return BATCH_NORM_NAMES
    return {name: name for name in ("weight", "bias") if name in layer.arrays()}


def with_state(layer: Layer, name: str, left: dict[str, Any]) -> Layer:
    """Give a layer with its arrays out of `left`, which are taken out."""
    arrays: dict[str, Array] = {}
    for key, old in layer.arrays().items():
        full = f"{name}.{state_names(layer).get(key, key)}"
        if full not in left:
            raise ModelFormatError(f"load_state: {full!r} is missing; {nearest_names(full, left)}")
        arrays[key] = as_numpy(left.pop(full), f"load_state: {full!r}")
        if arrays[key].shape != old.shape:
            raise ModelFormatError(
                f"load_state: {full!r} has shape {arrays[key].shape}, expected {old.shape}"
            )
    try:
        return replace(layer, **arrays)  # type: ignore[arg-type]
    except RefcrpError as error:
        raise ModelFormatError(f"load_state: layer {name!r}: {error}") from error
