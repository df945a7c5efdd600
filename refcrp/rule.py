"""What a rule is: the base of the eleven in `refcrp.rules` and `refcrp.input_rules`, and of your own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from refcrp.arrays import Array
from refcrp.modifiers import keep, stabilize
from refcrp.propagation import Contribution, Share
from refcrp.pull import Pull

__all__ = ["BindableLayer", "Bound", "Rule"]


class Bound(Protocol):
    """A rule bound to a layer: what does not depend on the input is done."""

    @property
    def linearize(self) -> Callable[..., Pull]:
        """Do what depends on the input a (or several, of layers that put them together), not on relevance."""


class BindableLayer(Protocol):
    """What a rule needs of a layer."""

    def bind(self, rule: Rule) -> Bound: ...  # noqa: D102


class Rule:
    """A way to divide relevance: the base of all rules, and of your own.

    Override `shares`, and where needed `stabilize`. The base class is the plain ``a W`` of `ZeroRule`.

    Examples
    --------
    >>> import refcrp as rc
    >>> from refcrp.modifiers import positive, square, zero
    >>> class PositiveInputRule(rc.Rule):
    ...     def shares(self):
    ...         return (rc.Share((rc.Contribution(input=positive, weight=square, bias=zero),)),)
    >>> rc.layers.Dense([[1.0, -2.0]], [1.0]).relevance([[3.0]], [[2.0, 1.0]], rule=PositiveInputRule())
    array([[1., 2.]])
    """

    def shares(self) -> tuple[Share, ...]:
        """Say which contributions count."""
        return (Share((Contribution(),)),)

    def stabilize(self, z: Array) -> Array:
        """Make the denominator safe to divide by: z + 1e-9 where z ≥ 0, z - 1e-9 where z < 0."""
        return stabilize(z, 1e-9)

    @property
    def max_pool(self) -> str:
        """How max pooling divides relevance under this rule, a choice of `refcrp.dialects.CHOICES`."""
        return "stabilized"

    @property
    def near_tie(self) -> float:
        """Max pooling's winner is the first value within this, relative, of the maximum."""
        return 0.0

    def bind(self, layer: BindableLayer) -> Bound:
        """Compute what depends on the layer only.

        Raises
        ------
        RuleCompatibilityError
            If the rule is not defined on this layer.
        """
        return layer.bind(self)

    @property
    def needs_weights(self) -> bool:
        """Whether the rule modifies a weight or a bias, and so needs a layer that has them."""
        return any(c.weight is not keep or c.bias is not keep for s in self.shares() for c in s.contributions)

    @property
    def is_plain(self) -> bool:
        """Whether contributions are just ``a W``; other rules need a linear layer."""
        return self.shares() == Rule.shares(self)
