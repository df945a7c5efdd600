"""Layers of the caller's own, given to an importer beside its table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from refcrp.errors import ModelError, ParameterError, RefcrpError
from refcrp.layers import Layer

__all__ = ["OwnLayers", "as_own_layers", "converters", "layer_classes"]

OwnLayers = Mapping[Any, Callable[..., Any]]  # from an operator to what makes a layer of it

EXAMPLE = "layers={'MyOperator': function}"


def as_own_layers(layers: Any) -> OwnLayers:
    """Give `layers` as a mapping from operators to functions, or raise `ParameterError`."""
    if layers is None:
        return {}
    if not isinstance(layers, Mapping):
        raise ParameterError(f"layers: expected a mapping such as {EXAMPLE}, got {layers!r:.200}")
    for operator, function in layers.items():
        if not callable(function):
            raise ParameterError(
                f"layers[{operator!r}] is {function!r:.200}, expected a function that gives a layer, "
                "or a class of layers"
            )
    return layers


def converters(layers: OwnLayers | None) -> dict[Any, Callable[[Any], list[Layer]]]:
    """Give for each operator a function from what an importer knows of one to a list of layers."""
    return {operator: converter(operator, function) for operator, function in as_own_layers(layers).items()}


def converter(operator: Any, function: Callable[..., Any]) -> Callable[[Any], list[Layer]]:
    """Wrap a caller's function, so that its errors say whose they are."""
    name = f"layers[{getattr(operator, '__name__', operator)!r}]"

    def convert(seen: Any) -> list[Layer]:
        try:
            made = function(seen)
        except RefcrpError:
            raise
        except Exception as error:
            raise ModelError(f"{name} raised {type(error).__name__}: {error}") from error
        several = list(made) if isinstance(made, (list, tuple)) else [made]
        if not all(isinstance(layer, Layer) for layer in several):
            raise ModelError(f"{name} gave {made!r:.200}, expected a layer, or a list of layers")
        return several

    return convert


def layer_classes(layers: OwnLayers | None) -> dict[str, type[Layer]]:
    """Give the classes by name, for files that store layers by their class."""
    own = as_own_layers(layers)
    for name, cls in own.items():
        if not (isinstance(cls, type) and issubclass(cls, Layer)):
            raise ParameterError(
                f"layers[{name!r}] is {cls!r:.200}, expected a class of layers: a refcrp file names classes"
            )
    return {str(name): cls for name, cls in own.items() if isinstance(cls, type)}
