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

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from refcrp.arrays import Array, like
from refcrp.modifiers import Condition, Modifier, keep, zero

__all__ = [
    "BoundRule",
    "Contribution",
    "LinearMap",
    "LinearPull",
    "Pull",
    "PullOf",
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


class Pull(Protocol):
    """A layer seen from one input: its output, and how relevance comes back through it.

    Calling it with the relevance of the output, of the output's shape or with one more axis of conditions in
    front, gives the relevance of the input. It may be called any number of times, from any thread.
    """

    @property
    def output(self) -> Array: ...  # noqa: D102
    def __call__(self, R_out: Array) -> Array: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class PullOf:
    """A pull made of an output and any function; for layers that own their relevance method."""

    output: Array
    pull: Callable[[Array], Array]

    def __call__(self, R_out: Array) -> Array:
        """Give the relevance of the input."""
        return self.pull(R_out)


@dataclass(frozen=True, eq=False)
class BoundContribution:
    """A contribution with the layer's weight and bias put in: once per analyzer."""

    input: Modifier
    weight: Array | None
    bias: Array | None
    sign: int
    is_plain: bool  # a·W + b, the layer's own pre-activation

    @classmethod
    def bind(cls, c: Contribution, layer: LinearMap) -> BoundContribution:
        """Modify the weight and the bias of `layer` as `c` says."""
        weight = None if layer.weight is None else c.weight(layer.weight)
        bias = None if layer.bias is None or c.bias is zero else c.bias(layer.bias)
        return cls(c.input, weight, bias, c.sign, is_plain=c == Contribution())


@dataclass(frozen=True, eq=False)
class BoundRule:
    """A rule bound to one linear layer: the modified weights."""

    layer: LinearMap
    shares: tuple[tuple[Share, tuple[BoundContribution, ...]], ...]
    stabilize: Modifier

    @classmethod
    def bind(cls, shares: tuple[Share, ...], layer: LinearMap, stabilize: Modifier) -> BoundRule:
        """Modify the weights of `layer` for every contribution of `shares`."""
        bound = ((s, tuple(BoundContribution.bind(c, layer) for c in s.contributions)) for s in shares)
        return cls(layer, tuple(bound), stabilize)

    def linearize(self, a: Array) -> LinearPull:
        """Compute the output and all denominators for the input `a`, of shape (batch, ...)."""
        layer = self.layer
        z_own = layer.linear(a, layer.weight, layer.bias)
        linearized = []
        for share, contributions in self.shares:
            inputs = [c.input(a) for c in contributions]
            z = sum_signed(
                (c.sign, z_own if c.is_plain else layer.linear(x, c.weight, c.bias))
                for c, x in zip(contributions, inputs, strict=True)
            )
            where = None if share.where is None else share.where(z_own)
            terms = tuple((c.sign, x, c.weight) for c, x in zip(contributions, inputs, strict=True))
            linearized.append(LinearizedShare(share.scale, where, self.stabilize(z), terms))
        return LinearPull(layer, layer.activate(z_own), tuple(linearized))


@dataclass(frozen=True, eq=False)
class LinearizedShare:
    """A share with its denominator: once per input."""

    scale: Any
    where: Array | None
    denominator: Array
    terms: tuple[tuple[int, Array, Array | None], ...]  # sign, in(a), w(W)


@dataclass(frozen=True, eq=False)
class LinearPull:
    """Relevance back through one linear layer, for one input."""

    layer: LinearMap
    output: Array
    shares: tuple[LinearizedShare, ...]

    def __call__(self, R_out: Array) -> Array:
        """R_i = Σ_shares scale · Σ_c sign_c · in_c(a)_i · Σ_j w_c(W)_ij · R_j / stabilize(z_j)."""
        shares = []
        for share in self.shares:
            R = R_out if share.where is None else np.where(share.where, R_out, like(0, R_out))
            R_in = sum_signed(
                (sign, self.layer.redistribute(R, share.denominator, a, weight))
                for sign, a, weight in share.terms
            )
            shares.append((like(share.scale, R_in), R_in))
        return sum_signed(shares)


def sum_signed(terms: Any) -> Array:
    """Σ sign · term over pairs (sign, term), in their order."""
    total = None
    for sign, term in terms:
        signed = term if sign == 1 else sign * term
        total = signed if total is None else total + signed
    if total is None:
        raise ValueError("a rule needs at least one share with one contribution")
    return np.asarray(total)
