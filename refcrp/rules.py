"""The rules of LRP, each a small table of which contributions count.

A rule of your own is one small class: say in `Rule.shares` what modifies the input, the weight and the bias,
and in `Rule.stabilize` what happens to the denominator::

    @dataclass(frozen=True)
    class PositiveInputRule(Rule):
        def shares(self):
            return (Share((Contribution(input=positive, weight=square, bias=zero),)),)

Notation: a_i the layer's input, W_ij its weight from i to j, b_j its bias, x⁺ = max(0, x), x⁻ = min(0, x),
R_j the relevance of its output, R_i that of its input. Every denominator is moved away from zero by
`Rule.stabilize`, which the equations leave out. Relevance comes in the output's shape (batch, ...), or with
an axis of conditions in front, and goes in the input's. A rule that is not defined on a layer raises
`RuleCompatibilityError` when it is bound.

References
----------
.. [Bach] Bach et al., On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
   propagation, PLoS ONE 10(7), 2015.
.. [DTD] Montavon et al., Explaining nonlinear classification decisions with deep Taylor decomposition, 2017.
.. [Overview] Montavon et al., Layer-wise relevance propagation: an overview, LNCS 11700, 2019.
.. [CleverHans] Lapuschkin et al., Unmasking Clever Hans predictors, Nature Communications 10, 2019.
.. [Andeol] Andéol et al., Learning domain invariant representations by joint Wasserstein distance, 2023.
.. [Ali] Ali et al., XAI for transformers: better explanations through conservative propagation, ICML 2022.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from refcrp.arrays import Array, as_array, freeze
from refcrp.checks import check_number, check_ordered
from refcrp.errors import ParameterError
from refcrp.modifiers import (
    AddNegative,
    AddPositive,
    Constant,
    is_negative,
    is_positive,
    negative,
    ones,
    positive,
    square,
    stabilize,
    zero,
)
from refcrp.propagation import Contribution, Share
from refcrp.rule import Rule

__all__ = [
    "AlphaBetaRule",
    "EpsilonRule",
    "FlatRule",
    "GammaRule",
    "GeneralizedGammaRule",
    "LayerNormRule",
    "PassRule",
    "WSquareRule",
    "ZBoxRule",
    "ZPlusRule",
    "ZeroRule",
]


@dataclass(frozen=True)
class ZeroRule(Rule):
    """LRP-0: in proportion to the contributions as they are.

    ``R_i = Σ_j a_i W_ij / (Σ_i a_i W_ij + b_j) · R_j``

    Defined on every layer but `LayerNorm` and `Softmax`: on a layer without weights W is what its linear map
    is (1/n under average pooling); max pooling gives all to the winner; activation functions, dropout and
    flattening pass relevance on unchanged. Source: [Bach]_ equation 56, [Overview]_ section 10.2.1.
    """


@dataclass(frozen=True)
class EpsilonRule(Rule):
    """LRP-ε: small or contradictory contributions are absorbed by ε.

    ``R_i = Σ_j a_i W_ij / (z_j + ε sign(z_j)) · R_j``,  z_j = Σ_i a_i W_ij + b_j,  sign(0) = 1

    Defined where `ZeroRule` is. Here ε is the stabilizer, not added to it. Source: [Bach]_ equation 58,
    [Overview]_ section 10.2.2.

    Parameters
    ----------
    epsilon : float
        ε > 0, in units of the pre-activation; raises `ParameterError` otherwise.
    """

    epsilon: Any = 1e-6

    def __post_init__(self) -> None:
        check_number("EpsilonRule: epsilon", self.epsilon, 0, includes_low=False)

    def stabilize(self, z: Array) -> Array:
        """z + ε where z ≥ 0, z - ε where z < 0."""
        return stabilize(z, self.epsilon)


@dataclass(frozen=True)
class GammaRule(Rule):
    """LRP-γ: positive weights count 1 + γ times.

    ``R_i = Σ_j a_i (W_ij + γ W_ij⁺) / (Σ_i a_i (W_ij + γ W_ij⁺) + b_j + γ b_j⁺) · R_j``

    Needs weights; meant for inputs a ≥ 0 (see `GeneralizedGammaRule`). Source: [Overview]_ section 10.2.3.

    Parameters
    ----------
    gamma : float
        γ ≥ 0, dimensionless; raises `ParameterError` otherwise.
    """

    gamma: Any = 0.25

    def __post_init__(self) -> None:
        check_number("GammaRule: gamma", self.gamma, 0)

    def shares(self) -> tuple[Share, ...]:
        """a (W + γW⁺), and so the bias."""
        up = AddPositive(self.gamma)
        return (Share((Contribution(weight=up, bias=up),)),)


@dataclass(frozen=True)
class GeneralizedGammaRule(Rule):
    """LRP-γ for inputs and outputs of both signs: contributions of the sign of z count 1 + γ times.

    Where z_j > 0 (z is the layer's own pre-activation)::

        a_i⁺ (W_ij + γ W_ij⁺) + a_i⁻ (W_ij + γ W_ij⁻)   over their sum over i plus b_j + γ b_j⁺

    and where z_j < 0::

        a_i⁺ (W_ij + γ W_ij⁻) + a_i⁻ (W_ij + γ W_ij⁺)   over their sum over i plus b_j + γ b_j⁻

    times R_j, summed over j. Outputs with z_j = 0 pass nothing on. Needs weights. Source: [Andeol]_ appendix.

    Parameters
    ----------
    gamma : float
        γ ≥ 0, dimensionless; raises `ParameterError` otherwise.
    """

    gamma: Any = 0.25

    def __post_init__(self) -> None:
        check_number("GeneralizedGammaRule: gamma", self.gamma, 0)

    def shares(self) -> tuple[Share, ...]:
        """One share for z > 0, one for z < 0."""
        up, down = AddPositive(self.gamma), AddNegative(self.gamma)
        return (
            Share((Contribution(positive, up, up), Contribution(negative, down, zero)), where=is_positive),
            Share((Contribution(positive, down, down), Contribution(negative, up, zero)), where=is_negative),
        )


@dataclass(frozen=True)
class ZPlusRule(Rule):
    """LRP-z⁺: only what speaks for the output counts.

    ``R_i = Σ_j (a_i W_ij)⁺ / (Σ_i (a_i W_ij)⁺ + b_j⁺) · R_j``,  (a W)⁺ = a⁺W⁺ + a⁻W⁻

    The same as ``AlphaBetaRule(1, 0)``. Needs weights. Source: [Bach]_ equation 60, [DTD]_ section 4.2.
    """

    def shares(self) -> tuple[Share, ...]:
        """a⁺W⁺ + a⁻W⁻, and b⁺."""
        return (Share(FOR),)


@dataclass(frozen=True)
class AlphaBetaRule(Rule):
    """LRP-αβ: what speaks for the output counts α times, what speaks against it β times.

    ``R_i = Σ_j [ α (a_i W_ij)⁺ / (Σ_i (a_i W_ij)⁺ + b_j⁺) - β (a_i W_ij)⁻ / (Σ_i (a_i W_ij)⁻ + b_j⁻) ] R_j``

    Needs weights. Source: [Bach]_ equation 60, [Overview]_ section 10.2.

    Parameters
    ----------
    alpha, beta : float
        α, β ≥ 0 with α - β = 1, dimensionless; raises `ParameterError` otherwise.
    """

    alpha: Any = 2.0
    beta: Any = 1.0

    def __post_init__(self) -> None:
        check_number("AlphaBetaRule: alpha", self.alpha, 0)
        check_number("AlphaBetaRule: beta", self.beta, 0)
        if not math.isclose(self.alpha - self.beta, 1, rel_tol=1e-9):
            raise ParameterError(f"AlphaBetaRule: alpha - beta must be 1, got {self.alpha} - {self.beta}")

    def shares(self) -> tuple[Share, ...]:
        """One share for, one against; their scales add up to 1."""
        return (Share(FOR, scale=self.alpha), Share(AGAINST, scale=-self.beta))


@dataclass(frozen=True)
class WSquareRule(Rule):
    """LRP-w²: in proportion to squared weights, whatever the input.

    ``R_i = Σ_j W_ij² / (Σ_i W_ij²) · R_j``,  the sum over inputs inside the image

    For a first layer with unbounded inputs. Needs weights. Source: [DTD]_ section 4.1.
    """

    def shares(self) -> tuple[Share, ...]:
        """W², no bias."""
        return (Share((Contribution(ones, square, zero),)),)


@dataclass(frozen=True)
class FlatRule(Rule):
    """LRP-flat: evenly over the inputs that an output sees.

    ``R_i = Σ_j 1 / n_j · R_j``,  n_j the number of inputs connected to j; padding does not count

    For a first layer. Needs weights, for what is connected. Source: [CleverHans]_, methods.
    """

    def shares(self) -> tuple[Share, ...]:
        """1 for every connected input, no bias."""
        return (Share((Contribution(ones, ones, zero),)),)


@dataclass(frozen=True, eq=False, repr=False)
class ZBoxRule(Rule):
    """LRP-zᴮ: for a first layer whose inputs lie between l and h, as pixels do.

    ``R_i = Σ_j c_ij / (Σ_i c_ij + b_j - b_j⁺ - b_j⁻) · R_j``,  c_ij = a_i W_ij - l_i W_ij⁺ - h_i W_ij⁻

    (The bias cancels, b = b⁺ + b⁻.)

    Needs weights. Source: [DTD]_ section 4.2, [Overview]_ section 10.2.

    Parameters
    ----------
    low, high : float or array
        l ≤ h, in units of the input; arrays broadcast to the input's shape (batch, ...), and `ShapeError`
        is raised when one does not. `ParameterError` if low > high anywhere.
    """

    low: Any
    high: Any

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            bound = as_array(getattr(self, name), f"ZBoxRule: {name}")
            object.__setattr__(self, name, freeze(bound) if bound.ndim else bound[()])
        check_ordered("ZBoxRule", self.low, self.high)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ZBoxRule):
            return NotImplemented
        return np.array_equal(self.low, other.low) and np.array_equal(self.high, other.high)

    def __hash__(self) -> int:
        return hash((ZBoxRule, float(np.min(self.low)), float(np.max(self.high))))

    def __repr__(self) -> str:
        low, high = (f"array {v.shape}" if np.ndim(v) else f"{v}" for v in (self.low, self.high))
        return f"ZBoxRule(low={low}, high={high})"

    def shares(self) -> tuple[Share, ...]:
        """a W - l W⁺ - h W⁻, and so the bias."""
        return (
            Share(
                (
                    Contribution(),
                    Contribution(Constant(self.low), positive, positive, sign=-1),
                    Contribution(Constant(self.high), negative, negative, sign=-1),
                )
            ),
        )


@dataclass(frozen=True)
class PassRule(Rule):
    """Relevance passes unchanged, reshaped to the input.

    ``R_i = R_i``

    Defined on layers whose output has as many values as their input. Source: [Bach]_, as it is done at
    activation functions.
    """

    def shares(self) -> tuple[Share, ...]:
        """None: nothing is divided."""
        return ()


@dataclass(frozen=True)
class LayerNormRule(Rule):
    """LRP-LN: the variance is taken as a constant, so that the normalisation becomes a linear map.

    ``R_i = Σ_j a_i (δ_ij - 1/N) / (Σ_i a_i (δ_ij - 1/N)) · R_j``,  N normalised values per sample

    after the affine part of the layer has been passed by `ZeroRule`. For `LayerNorm`, `GroupNorm` and
    `InstanceNorm`, whose `linearize` is this equation. Source: [Ali]_, the LN-rule.
    """

    def shares(self) -> tuple[Share, ...]:
        """None: the layer owns this rule."""
        return ()


# (a W)⁺ and (a W)⁻, written as matrix products: the sign of a product is known from the signs of its factors.
FOR = (Contribution(positive, positive, positive), Contribution(negative, negative, zero))
AGAINST = (Contribution(positive, negative, negative), Contribution(negative, positive, zero))
