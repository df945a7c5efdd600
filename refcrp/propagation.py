"""The one function that applies every rule to every linear layer.

Relevance of an output neuron is divided among its inputs *in proportion to contributions*. What differs
between the rules of LRP is only which contributions count, so a rule is a small table of `Share` and
`Contribution`, and this module does the rest. For an output neuron j and an input neuron i::

    z_j    = Σ_c sign_c · ( Σ_i in_c(a)_i · w_c(W)_ij + b_c(b)_j )             denominators
    R_i   += scale · Σ_c sign_c · in_c(a)_i · Σ_j w_c(W)_ij · R_j / stabilize(z_j)

The work is cut into three steps, so that each is done as seldom as it can be:

======================  ======================  =========================================
``rule.bind(layer)``    modified weights        once per analyzer
``bound.linearize(a)``  output, denominators    once per input
``pull(R_out)``         relevance of the input  once per backward pass, for many at a time
======================  ======================  =========================================

Notation, here and everywhere: a the layer's input, W and b its weight and bias, z a pre-activation or
denominator, s = R/z, R relevance.

References
----------
Bach et al., On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
propagation, PLoS ONE 10(7), 2015, equations 56-60.
Montavon et al., Layer-wise relevance propagation: an overview, in: Explainable AI, LNCS 11700, 2019,
section 10.2.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from refcrp.arrays import Array, like
from refcrp.checks import check_finite, check_shape
from refcrp.modifiers import Condition, Modifier, keep, negative, ones, positive, zero
from refcrp.pull import Losses, Pull, per_sample

__all__ = [
    "BoundRule",
    "Contribution",
    "LinearMap",
    "Share",
]


@dataclass(frozen=True)
class Contribution:
    """One numerator: input i contributes ``in(a)_i · w(W)_ij`` to output j.

    Parameters
    ----------
    input, weight : Modifier
        What stands in place of the input a and of the weight W.
    bias : Modifier
        How the bias enters the denominator; `zero` leaves it out.
    sign : int
        +1, or -1 for a contribution that is subtracted.
    """

    input: Modifier = keep
    weight: Modifier = keep
    bias: Modifier = keep
    sign: int = 1


@dataclass(frozen=True)
class Share:
    """Contributions under one common denominator.

    Parameters
    ----------
    contributions : tuple of Contribution
        Their sum is the denominator.
    scale : float
        What part of the relevance is divided this way: alpha, or -beta.
    where : Condition, optional
        Takes the layer's own pre-activation z and tells which output neurons divide their relevance this way;
        all if None.
    """

    contributions: tuple[Contribution, ...]
    scale: Any = 1
    where: Condition | None = None


class LinearMap(Protocol):
    """x ↦ W x + b with some W and b, prepared for many inputs, and its adjoint."""

    def linear(self, x: Array) -> Array:
        """z_j = Σ_i x_i W_ij + b_j."""

    def redistribute(self, R_out: Array, denominator: Array, a: Array) -> Array:
        """R_i = a_i · Σ_j W_ij · R_j / z_j; denominator and a are of one sample, or of as many as R has."""


class LinearMapping(Protocol):
    """What propagation needs of a layer: its parameters, its map with others, and what makes it an output."""

    @property
    def weight(self) -> Array | None: ...
    @property
    def bias(self) -> Array | None: ...
    @property
    def own_map(self) -> LinearMap: ...
    def linear_map(self, weight: Array | None, bias: Array | None) -> LinearMap: ...
    def join(self, maps: Sequence[LinearMap]) -> Callable[[Array], Sequence[Array]]: ...
    def activate(self, z: Array) -> Array: ...


@dataclass(frozen=True, eq=False)
class BoundRule:
    """A rule bound to one linear layer."""

    layer: LinearMapping
    shares: tuple[BoundShare, ...]
    maps: tuple[LinearMap, ...]  # the layer's own, and those that may be applied to the same input
    linear: Callable[[Array], Sequence[Array]]  # all of these maps at once
    asks_for_sign: bool  # whether a contribution depends on the sign of the input

    @classmethod
    def bind(cls, shares: tuple[Share, ...], layer: LinearMapping, stabilize: Modifier) -> BoundRule:
        """Modify the weights of `layer` for each share."""
        bound = tuple(BoundShare.bind(share, layer, stabilize) for share in shares)
        terms = [t for share in bound for t in share.terms if t.contribution.input in (keep, positive)]
        maps = tuple(dict.fromkeys((layer.own_map, *(term.map for term in terms))))
        modifiers = {term.contribution.input for share in bound for term in share.terms}
        return cls(layer, bound, maps, layer.join(maps), not modifiers.isdisjoint((positive, negative)))

    def linearize(self, a: Array) -> Pull:
        """Compute the output and all denominators for the input `a`, of shape (batch, ...)."""
        seen = self.look_at(a)
        z = seen.z_of[self.layer.own_map]
        pulls = [(bound.share.scale, bound.linearize(seen, z)) for bound in self.shares]

        def pull(R_out: Array) -> Array:
            return weighted_sum([(scale, pull_share(R_out)) for scale, pull_share in pulls])

        def losses(R_out: Array) -> Losses:
            scales, parts = zip(*((scale, share.losses(R_out)) for scale, share in pulls), strict=True)
            to_bias, to_stabilizer, undivided = (
                weighted_sum(list(zip(scales, part, strict=True))) for part in zip(*parts, strict=True)
            )
            # What is left when the scales do not add up to 1 has not been divided either.
            excess = (1 - sum(like(scale, R_out) for scale in scales)) * per_sample(R_out, z)
            return Losses(to_bias, to_stabilizer, undivided + excess)

        return Pull(self.layer.activate(z), pull, losses)

    def look_at(self, a: Array) -> Seen:
        """Apply the maps to `a`: all of them at once, unless some need only its positive part."""
        is_nonnegative = self.asks_for_sign and bool(a.size and a.min() >= 0)
        if len(self.maps) > 1 and (is_nonnegative or not self.asks_for_sign):
            z_of = dict(zip(self.maps, self.linear(a), strict=True))
        else:
            z_of = {self.layer.own_map: self.layer.own_map.linear(a)}
        for z in z_of.values():
            check_finite(z, self.layer)
        return Seen(a, is_nonnegative, z_of)


class Seen(NamedTuple):
    """What all shares of a rule need to know of an input."""

    a: Array
    is_nonnegative: bool  # known to be
    z_of: Mapping[LinearMap, Array]  # what some maps make of it


@dataclass(frozen=True, eq=False)
class BoundShare:
    """A share with the layer's weights modified: once per analyzer."""

    share: Share
    layer: LinearMapping
    terms: tuple[Term, ...]
    stabilize: Modifier
    known: dict[Any, tuple[Inputs, Array]] = field(default_factory=dict)  # constant denominators, by shape

    @classmethod
    def bind(cls, share: Share, layer: LinearMapping, stabilize: Modifier) -> BoundShare:
        """Modify the weight and the bias of `layer` for each contribution."""
        terms = tuple(Term.bind(contribution, layer) for contribution in share.contributions)
        return cls(share, layer, tuple(t for t in terms if not t.vanishes) or terms[:1], stabilize)

    def linearize(self, seen: Seen, z_own: Array) -> SharePull:
        """Compute the denominators for an input, where `z_own` is the layer's own pre-activation."""
        inputs, denominator = self.denominators(seen)
        where = None if self.share.where is None else self.share.where(z_own)
        return SharePull(inputs, denominator, where)

    def denominators(self, seen: Seen) -> tuple[Inputs, Array]:
        """z_j = Σ_c sign_c · ( Σ_i in_c(a)_i · w_c(W)_ij + b_c(b)_j ), stabilized, beside each in_c(a)."""
        a, _, z_of = seen
        key = (a.shape[1:], a.dtype) if self.is_constant else None
        if key in self.known:
            return self.known[key]
        inputs = [(term, x) for term in self.terms if (x := term.input(seen)) is not None]
        inputs = inputs or [(self.terms[0], zero(a))]
        z = weighted_sum(
            [(t.sign, z_of[t.map] if x is a and t.map in z_of else t.map.linear(x)) for t, x in inputs]
        )
        if all(z is not known for known in z_of.values()):  # those have been checked
            check_finite(z, self.layer)
        result = inputs, self.stabilize(z)
        if key is not None:
            self.known[key] = result
        return result

    @cached_property
    def is_constant(self) -> bool:
        """Whether the denominators are the same for all inputs of a shape."""
        return all(term.contribution.input is ones for term in self.terms)


@dataclass(frozen=True, eq=False)
class SharePull:
    """A share seen from one input."""

    inputs: Inputs
    denominator: Array
    where: Array | None

    def __call__(self, R_out: Array) -> Array:
        """R_i = Σ_c sign_c · in_c(a)_i · Σ_j w_c(W)_ij · R_j / stabilize(z_j)."""
        R = self.divided(R_out)
        return weighted_sum([(t.sign, t.map.redistribute(R, self.denominator, x)) for t, x in self.inputs])

    def divided(self, R_out: Array) -> Array:
        """Give the relevance that this share divides, zero elsewhere."""
        return R_out if self.where is None else np.where(self.where, R_out, like(0, R_out))

    def losses(self, R_out: Array) -> Losses:
        """s_j b_j goes to the bias, s_j (stabilize(z_j) - z_j) to the stabilizer; s = R / stabilize(z)."""
        R = self.divided(R_out)
        s = R / self.denominator
        b = weighted_sum([(t.sign, t.map.linear(zero(x[:1]))) for t, x in self.inputs])
        z = weighted_sum([(t.sign, t.map.linear(x)) for t, x in self.inputs])
        lost = b * s, (self.denominator - z) * s, R_out - R
        return Losses(*(per_sample(part, z) for part in lost))


@dataclass(frozen=True, eq=False)
class Term:
    """A contribution with the layer's weight modified."""

    contribution: Contribution
    layer: LinearMapping
    map: LinearMap  # with w_c(W) and b_c(b)
    has_bias: bool
    vanishes: bool  # whether it contributes nothing to any input

    @classmethod
    def bind(cls, c: Contribution, layer: LinearMapping) -> Term:
        """Modify the weight and the bias of `layer`; None where it has none."""
        W, b = layer.weight, layer.bias
        weight = None if W is None else modified(c.weight, W, "weight", layer)
        bias = None if b is None or c.bias is zero else modified(c.bias, b, "bias", layer)
        is_own = weight is W and bias is b
        linear_map = layer.own_map if is_own else layer.linear_map(weight, bias)
        vanishes = bias is None and weight is not None and not np.any(weight)
        return cls(c, layer, linear_map, bias is not None, vanishes)

    @property
    def sign(self) -> int:
        """Whether it is added or subtracted."""
        return self.contribution.sign

    def input(self, seen: Seen) -> Array | None:
        """in_c(a), or None where that is zero everywhere and contributes nothing.

        Behind a ReLU no input is negative, and the negative contributions need no multiplication. What does
        not depend on the input is the same for all samples, and given for one.
        """
        modifier, a = self.contribution.input, seen.a
        if modifier is ones:
            return ones(np.empty((1, *a.shape[1:]), a.dtype))
        if modifier is positive and seen.is_nonnegative:
            return a
        if modifier is negative and seen.is_nonnegative and not self.has_bias:
            return None
        return modified(modifier, a, "input", self.layer)


Inputs = list[tuple[Term, Array]]


def modified(modifier: Modifier, array: Array, what: str, layer: object) -> Array:
    """Apply a modifier, anyone's; raise `ShapeError` unless it keeps the shape."""
    result = modifier(array)
    if result is not array:
        check_shape(np.shape(result), array.shape, layer, f"modified {what}")
        check_finite(result, layer, f"modified {what}")
    return result


def weighted_sum(terms: Sequence[tuple[Any, Array]]) -> Array:
    """Σ factor · term over pairs (factor, term), one at least, in their order."""
    weighted = [term if factor == 1 else like(factor, term) * term for factor, term in terms]
    return weighted[0] if len(weighted) == 1 else np.asarray(functools.reduce(operator.add, weighted))
