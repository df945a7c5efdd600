"""Conditions on channels and output neurons, as masks on relevance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from refcrp.arrays import Array
from refcrp.errors import ParameterError, ShapeError
from refcrp.model import OUTPUT_NAME, Model
from refcrp.selection import Indices, as_indices, check_range

Condition = Mapping[int | str, Sequence[int]]
Restriction = Callable[[Array], Array]
Masks = Mapping[int, Array | Restriction]

__all__ = [
    "Condition",
    "Masks",
    "Restriction",
    "as_conditions",
    "condition_masks",
    "condition_neurons",
    "first_of_equal",
    "paths_alone",
]


def as_conditions(conditions: Iterable[Condition], *, output_is_given: bool) -> tuple[Condition, ...]:
    """Give conditions as a tuple of mappings.

    Raises
    ------
    ParameterError
        If there is none, or one is no mapping, or both it and ``output=`` name the output.
    """
    is_list = isinstance(conditions, Iterable) and not isinstance(conditions, (Mapping, str))
    checked = tuple(conditions) if is_list else ()
    if not checked:
        raise ParameterError(f"conditions: expected a list of mappings, one at least, got {conditions!r}")
    for condition in checked:
        if not isinstance(condition, Mapping):
            raise ParameterError(
                f"conditions: expected mappings such as {{'conv2': [3], 'y': [1]}}, got {condition!r}"
            )
        if output_is_given and OUTPUT_NAME in condition:
            raise ParameterError(f"output= and {OUTPUT_NAME!r} in {condition!r}: the output is named twice")
    return tuple(dict(condition) for condition in checked)


def condition_neurons(
    conditions: Sequence[Condition], output: Array, selected: Indices
) -> tuple[Indices, ...]:
    """Give the output neurons of each condition, (n, m): those under ``"y"``, or the `selected` ones (n,).

    Raises
    ------
    FeatureError
        If the output has no such neuron.
    """
    return tuple(neurons_of(condition, output, selected) for condition in conditions)


def first_of_equal(neurons: Sequence[Indices]) -> tuple[list[Indices], Indices]:
    """Give the distinct ones among the neurons of all conditions, and for each condition which it has."""
    places: dict[bytes, int] = {}
    which = [places.setdefault(chosen.tobytes(), len(places)) for chosen in neurons]
    distinct = [neurons[which.index(place)] for place in range(len(places))]
    return distinct, np.asarray(which, dtype=np.intp)


def neurons_of(condition: Condition, output: Array, selected: Indices) -> Indices:
    """Give the output neurons of one condition, (n, m)."""
    if OUTPUT_NAME not in condition:
        return selected[:, None]
    neurons = as_indices(condition[OUTPUT_NAME], f"conditions: {OUTPUT_NAME!r}")
    check_range(neurons, output.shape[1], "output neuron", "the model's output")
    return np.broadcast_to(np.asarray(neurons, dtype=np.intp), (len(output), len(neurons)))


def condition_masks(
    conditions: Sequence[Condition], model: Model, outputs: Sequence[Array]
) -> dict[int, Array]:
    """Give a mask (k, 1, channels, 1, ...) for each conditioned layer, by index.

    Parameters
    ----------
    conditions : sequence of k mappings
        From layers to channels; ``"y"`` is passed over.
    model : Model
    outputs : sequence of (n, channels, ...) arrays
        The outputs of all layers.

    Raises
    ------
    UnknownLayerError, FeatureError, ParameterError
        If there is no such layer or channel, something is not a list of channels, or a condition names a
        layer twice, by name and by index.
    """
    masks: dict[int, Array] = {}
    for row, condition in enumerate(conditions):
        for k, channels in channels_of(condition, model).items():
            shape, where = outputs[k].shape, f"layer {model.names[k]!r}"
            if len(shape) < 2:
                raise ShapeError(f"conditions: {where} has no channels, its output has shape {shape}")
            check_range(channels, shape[1], "channel", where)
            mask = masks.setdefault(k, np.ones((len(conditions), 1, *channel_axis(shape)), dtype=bool))
            mask[row] = np.isin(np.arange(shape[1]), channels).reshape(channel_axis(shape))
    return masks


def paths_alone(conditions: Sequence[Condition], model: Model) -> dict[int, Array]:
    """Tell for each conditioned layer, by index, which conditions name it, (k,)."""
    named = [channels_of(condition, model).keys() for condition in conditions]
    layers = dict.fromkeys(k for keys in named for k in keys)
    return {k: np.array([k in keys for keys in named]) for k in layers}


def channels_of(condition: Condition, model: Model) -> dict[int, tuple[int, ...]]:
    """Give the channels that a condition keeps, by index of the layer."""
    channels: dict[int, tuple[int, ...]] = {}
    for layer, given in condition.items():
        if layer == OUTPUT_NAME:
            continue
        k = model.index(layer)
        if k in channels:
            raise ParameterError(f"conditions: {condition!r} names layer {model.names[k]!r} twice")
        channels[k] = as_indices(given, f"conditions: layer {layer!r}")
    return channels


def channel_axis(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Give the shape in which one value a channel broadcasts over (n, channels, ...), without n."""
    return (shape[1], *[1] * (len(shape) - 2))
