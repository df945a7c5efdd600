"""Layers that are not linear in their input, or only move it: they own their relevance method."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from refcrp.arrays import Array
from refcrp.checks import check_finite
from refcrp.layers.base import Layer
from refcrp.pull import Pull
from refcrp.rule import Bound, Rule

__all__ = ["OwnRelevanceLayer"]


@dataclass(frozen=True, eq=False, repr=False)
class OwnRelevanceLayer(Layer):
    """A layer with a relevance method of its own; from the rule it takes the stabilizer.

    There is an example in docs/write-a-layer.md.
    """

    chooses: ClassVar[bool] = False  # whether every output is one of the inputs, and so as finite as they are

    @abstractmethod
    def linearize(self, a: Array, rule: Rule) -> Pull:
        """Give the output for `a`, and how relevance comes back."""

    def bind_checked(self, rule: Rule) -> Bound:
        """Take the stabilizer of `rule`, and what it says of max pooling."""
        return OwnRelevance(self, rule)

    def check_dividing_rule(self, rule: Rule) -> None:
        """Refuse all rules but the plain ones."""
        if not rule.is_plain:
            self.refuse(rule, f"this layer takes only {self.plain_rules()}")


@dataclass(frozen=True, eq=False)
class OwnRelevance:
    """A rule bound to a layer that owns its relevance method."""

    layer: OwnRelevanceLayer
    rule: Rule

    def linearize(self, a: Array) -> Pull:
        """Leave it to the layer."""
        pull = self.layer.linearize(a, self.rule)
        if not self.layer.chooses:
            check_finite(pull.output, self.layer)
        return pull
