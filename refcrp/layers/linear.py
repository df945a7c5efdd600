"""Layers that are linear maps of their input: what every rule needs of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import check_finite
from refcrp.layers.base import Layer
from refcrp.propagation import BoundRule, LinearMap
from refcrp.rule import Bound, Rule
from refcrp.rules import LayerNormRule

__all__ = ["LinearLayer"]


@dataclass(frozen=True, eq=False, repr=False)
class LinearLayer(Layer):
    """A layer that is a linear map of its input, perhaps with an activation function after it.

    A subclass gives two operations and knows no rule: `linear`, and its adjoint `transpose`.
    There is an example in docs/write-a-layer.md.
    """

    if TYPE_CHECKING:
        # A field with parameters, or a property that gives None.
        @property
        def weight(self) -> Array | None: ...  # noqa: D102
        @property
        def bias(self) -> Array | None: ...  # noqa: D102

    @abstractmethod
    def linear(self, x: Array, weight: Array | None, bias: Array | None) -> Array:
        """Apply the linear map with these parameters in place of the layer's own; x of shape (batch, ...)."""

    @abstractmethod
    def transpose(self, s: Array, weight: Array | None, input_shape: tuple[int, ...]) -> Array:
        """Apply the adjoint, ``<linear(x), s> = <x, transpose(s)>``.

        Parameters
        ----------
        s : (..., batch, output...) array
        weight : array or None
        input_shape : tuple of int
            That of x, batch axis included.

        Returns
        -------
        (..., batch, input...) array
        """

    def linear_map(self, weight: Array | None, bias: Array | None) -> LinearMap:
        """Give the linear map with these parameters in place of the layer's own, prepared for many inputs."""
        return PlainMap(self, weight, bias)

    def join(self, maps: Sequence[LinearMap]) -> Callable[[Array], Sequence[Array]]:
        """Give a function that applies several of the layer's linear maps to one input."""
        return lambda x: [linear_map.linear(x) for linear_map in maps]

    @cached_property
    def own_map(self) -> LinearMap:
        """The linear map with the layer's own parameters."""
        return self.linear_map(self.weight, self.bias)

    def activate(self, z: Array) -> Array:
        """Apply the activation function, if the layer has one."""
        return z

    def apply(self, x: Array) -> Array:
        """Compute the output of an input that has been checked."""
        z = self.own_map.linear(x)
        check_finite(z, self)
        return self.activate(z)

    def bind_checked(self, rule: Rule) -> Bound:
        """Modify the weights as `rule` says."""
        return BoundRule.bind(rule.shares(), self, rule.stabilize)

    def check_dividing_rule(self, rule: Rule) -> None:
        """Refuse rules that need weights where there are none, and those of other layers."""
        if isinstance(rule, LayerNormRule):
            self.refuse(rule, "it is only for LayerNorm, GroupNorm and InstanceNorm")
        if rule.needs_weights and self.weight is None:
            self.refuse(rule, f"it needs a layer with weights; {self.plain_rules()} do not")
        shares = rule.shares()
        if not (shares and all(s.contributions for s in shares)):
            self.refuse(rule, "its shares() hold no contributions")


@dataclass(frozen=True, eq=False)
class PlainMap:
    """The linear map of a layer with some parameters, by the layer's own two operations."""

    layer: LinearLayer
    weight: Array | None
    bias: Array | None

    def linear(self, x: Array) -> Array:
        """z = W x + b."""
        return self.layer.linear(x, self.weight, self.bias)

    def redistribute(self, R_out: Array, denominator: Array, a: Array) -> Array:
        """R_i = a_i · Σ_j W_ij · R_j / z_j."""
        return np.asarray(a * self.layer.transpose(R_out / denominator, self.weight, a.shape))
