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
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from refcrp.arrays import Array, like
from refcrp.checks import check_finite, check_shape
from refcrp.modifiers import Condition, Modifier, keep, zero

__all__ = [
    "BoundRule",
    "Contribution",
    "LinearMap",
    "Pull",
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
    """What propagation needs of a layer: a linear map, its adjoint, and what makes them an output."""

    @property
    def weight(self) -> Array | None: ...  # noqa: D102
    @property
    def bias(self) -> Array | None: ...  # noqa: D102
    def linear(self, x: Array, weight: Array | None, bias: Array | None) -> Array: ...  # noqa: D102
    def redistribute(  # noqa: D102
        self, R_out: Array, denominator: Array, a: Array, weight: Array | None
    ) -> Array: ...
    def activate(self, z: Array) -> Array: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Pull:
    """A layer seen from one input: its output, and how relevance comes back through it.

    Calling it with the relevance of the output, of the output's shape or with one more axis of conditions in
    front, gives the relevance of the input. It may be called any number of times, from any thread.
    """

    output: Array
    function: Callable[[Array], Array]

    def __call__(self, R_out: Array) -> Array:
        """Give the relevance of the input."""
        return self.function(R_out)


@dataclass(frozen=True, eq=False)
class BoundRule:
    """A rule bound to one linear layer."""

    layer: LinearMap
    shares: tuple[BoundShare, ...]

    @classmethod
    def bind(cls, shares: tuple[Share, ...], layer: LinearMap, stabilize: Modifier) -> BoundRule:
        """Modify the weights of `layer` for each share."""
        return cls(layer, tuple(BoundShare.bind(share, layer, stabilize) for share in shares))

    def linearize(self, a: Array) -> Pull:
        """Compute the output and all denominators for the input `a`, of shape (batch, ...)."""
        z = self.layer.linear(a, self.layer.weight, self.layer.bias)
        check_finite(z, self.layer)
        pulls = [(bound.share.scale, bound.linearize(a, z)) for bound in self.shares]

        def pull(R_out: Array) -> Array:
            return weighted_sum((scale, pull_share(R_out)) for scale, pull_share in pulls)

        return Pull(self.layer.activate(z), pull)


@dataclass(frozen=True, eq=False)
class BoundShare:
    """A share with the layer's weights modified: once per analyzer."""

    share: Share
    layer: LinearMap
    weights: tuple[Array | None, ...]  # w_c(W), one a contribution
    biases: tuple[Array | None, ...]  # b_c(b)
    stabilize: Modifier

    @classmethod
    def bind(cls, share: Share, layer: LinearMap, stabilize: Modifier) -> BoundShare:
        """Modify the weight and the bias of `layer` for each contribution; None where the layer has none."""
        W, b, contributions = layer.weight, layer.bias, share.contributions
        weights = (None if W is None else modified(c.weight, W, "weight", layer) for c in contributions)
        biases = (
            None if b is None or c.bias is zero else modified(c.bias, b, "bias", layer) for c in contributions
        )
        return cls(share, layer, tuple(weights), tuple(biases), stabilize)

    def linearize(self, a: Array, z_own: Array) -> Callable[[Array], Array]:
        """z_j = Σ_c sign_c · ( Σ_i in_c(a)_i · w_c(W)_ij + b_c(b)_j ), where `z_own` is the layer's own."""
        contributions = self.share.contributions
        inputs = [modified(c.input, a, "input", self.layer) for c in contributions]
        z = weighted_sum(
            (c.sign, z_own if c == PLAIN else self.layer.linear(x, W, b))
            for c, x, W, b in zip(contributions, inputs, self.weights, self.biases, strict=True)
        )
        if z is not z_own:  # which has been checked
            check_finite(z, self.layer)
        denominator = self.stabilize(z)
        where = None if self.share.where is None else self.share.where(z_own)

        def pull(R_out: Array) -> Array:
            """R_i = Σ_c sign_c · in_c(a)_i · Σ_j w_c(W)_ij · R_j / stabilize(z_j)."""
            R = R_out if where is None else np.where(where, R_out, like(0, R_out))
            return weighted_sum(
                (c.sign, self.layer.redistribute(R, denominator, x, W))
                for c, x, W in zip(contributions, inputs, self.weights, strict=True)
            )

        return pull


def modified(modifier: Modifier, array: Array, what: str, layer: object) -> Array:
    """Apply a modifier, anyone's; raise `ShapeError` unless it keeps the shape."""
    result = modifier(array)
    if result is not array:
        check_shape(np.shape(result), array.shape, layer, f"modified {what}")
        check_finite(result, layer, f"modified {what}")
    return result


PLAIN = Contribution()  # a W + b: what the layer itself computes


def weighted_sum(terms: Iterable[tuple[Any, Array]]) -> Array:
    """Σ factor · term over pairs (factor, term), one at least, in their order."""
    weighted = (term if factor == 1 else like(factor, term) * term for factor, term in terms)
    return np.asarray(functools.reduce(operator.add, weighted))
