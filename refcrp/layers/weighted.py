"""What dense layers and convolutions share: parameters, and a fused activation function."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

from refcrp.arrays import Array
from refcrp.checks import check_finite, check_shape
from refcrp.errors import ParameterError, ShapeError, SoftmaxError, nearest_names
from refcrp.layers.activation import (
    ELU,
    GELU,
    STRIP_SOFTMAX,
    Activation,
    HardTanh,
    LeakyReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from refcrp.layers.base import array_field
from refcrp.layers.linear import LinearLayer
from refcrp.rule import Rule

__all__ = ["ACTIVATIONS", "WeightedLayer", "activation_from"]


@dataclass(frozen=True, eq=False, repr=False)
class WeightedLayer(LinearLayer):
    """A linear layer with a weight, perhaps a bias, and perhaps a fused activation function; as `Dense`.

    Parameters
    ----------
    weight : array
    bias : array, optional
    activation : str or Activation, optional
        Applied after the linear map; denominators of relevance are always taken before it.
    """

    weight: Array = array_field()
    bias: Array | None = array_field(default=None)
    activation: Activation | str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 in self.weight.shape:
            raise ShapeError(f"{type(self).__name__}: weight of shape {self.weight.shape} is empty")
        self.check_weight()
        if self.bias is not None:
            check_shape(self.bias.shape, (self.out_channels,), f"{type(self).__name__}: bias (out,)")
        resolved = activation_from(self.activation, f"{type(self).__name__}: activation")
        object.__setattr__(self, "activation", resolved)

    def check_weight(self) -> None:
        """Raise unless the weight, and what says how to read it, are as they should be."""

    @property
    def out_channels(self) -> int:
        """How many channels, or neurons, the output has."""
        return len(self.weight)

    @property
    def nonlinearity(self) -> Activation | None:
        """The fused activation function."""
        assert not isinstance(self.activation, str)
        return self.activation

    def activate(self, z: Array) -> Array:
        """Apply the fused activation function, if there is one."""
        if self.nonlinearity is None:
            return z
        y = self.nonlinearity.apply(z)
        if not self.nonlinearity.stays_finite:
            check_finite(y, self)
        return y

    def check_rule(self, rule: Rule) -> None:
        """Refuse every rule behind a softmax."""
        if isinstance(self.nonlinearity, Softmax):
            raise SoftmaxError(f"{self!r}: {STRIP_SOFTMAX}")
        super().check_rule(rule)

    def without_activation(self) -> Self:
        """Give the same layer without the fused activation function."""
        return replace(self, activation=None)

    def activation_summary(self) -> str:
        """Name the fused activation function, for `summary`."""
        return "" if self.nonlinearity is None else f", {self.nonlinearity.kind}"


ACTIVATIONS: dict[str, type[Activation]] = {
    cls.kind: cls for cls in (ReLU, ReLU6, HardTanh, LeakyReLU, ELU, GELU, SiLU, Tanh, Sigmoid, Softmax)
}


def activation_from(value: Any, what: str) -> Activation | None:
    """Give the activation function that a name, an object or None stands for; linear is None."""
    if value is None or value == "linear":
        return None
    if isinstance(value, Activation):
        return value
    if isinstance(value, str) and value in ACTIVATIONS:
        return ACTIVATIONS[value]()
    raise ParameterError(
        f"{what}: no activation function {value!r}; {nearest_names(str(value), ACTIVATIONS)}"
    )
