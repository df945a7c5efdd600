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

The rules of first layers are in `refcrp.input_rules`. The examples of all rules divide the relevance of one
neuron, which is what it computes: R = z = 1·4 - 2·1 + 1 = 3.

References
----------
.. [Bach] Bach et al., On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
   propagation, PLoS ONE 10(7), 2015.
.. [DTD] Montavon et al., Explaining nonlinear classification decisions with deep Taylor decomposition, 2017.
.. [Overview] Montavon et al., Layer-wise relevance propagation: an overview, LNCS 11700, 2019.
.. [Andeol] Andéol et al., Learning domain invariant representations by joint Wasserstein distance, 2023.
.. [Ali] Ali et al., XAI for transformers: better explanations through conservative propagation, ICML 2022.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from refcrp.arrays import Array
from refcrp.checks import check_number
from refcrp.errors import ParameterError
from refcrp.modifiers import (
    AddNegative,
    AddPositive,
    is_negative,
    is_positive,
    negative,
    positive,
    stabilize,
    zero,
)
from refcrp.propagation import Contribution, Share
from refcrp.rule import Rule

__all__ = [
    "AlphaBetaRule",
    "EpsilonRule",
    "GammaRule",
    "GeneralizedGammaRule",
    "LayerNormRule",
    "PassRule",
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

    Examples
    --------
    The bias keeps the rest, 1.

    >>> import refcrp as rc
    >>> neuron = rc.layers.Dense([[1.0, -2.0]], [1.0])
    >>> neuron.relevance([[3.0]], [[4.0, 1.0]], rule=rc.ZeroRule())
    array([[ 4., -2.]])
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

    Examples
    --------
    An ε as large as z takes one half.

    >>> import refcrp as rc
    >>> neuron = rc.layers.Dense([[1.0, -2.0]], [1.0])
    >>> neuron.relevance([[3.0]], [[4.0, 1.0]], rule=rc.EpsilonRule(3.0))
    array([[ 2., -1.]])
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

    Examples
    --------
    Positive weights and biases count twice.

    >>> import refcrp as rc
    >>> neuron = rc.layers.Dense([[1.0, -2.0]], [1.0])
    >>> neuron.relevance([[3.0]], [[4.0, 1.0]], rule=rc.GammaRule(1.0))
    array([[ 3.  , -0.75]])
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

    Examples
    --------
    As `GammaRule` for a ≥ 0 and z > 0; where z = -1, what speaks against the output counts twice.

    >>> import refcrp as rc
    >>> neuron = rc.layers.Dense([[1.0, -2.0]], [1.0])
    >>> neuron.relevance([[3.0]], [[4.0, 1.0]], rule=rc.GeneralizedGammaRule(1.0))
    array([[ 3.  , -0.75]])
    >>> neuron.relevance([[-1.0]], [[2.0, 2.0]], rule=rc.GeneralizedGammaRule(1.0))
    array([[ 0.4, -1.6]])
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

    Examples
    --------
    >>> import refcrp as rc
    >>> neuron = rc.layers.Dense([[1.0, -2.0]], [1.0])
    >>> neuron.relevance([[3.0]], [[4.0, 1.0]], rule=rc.ZPlusRule())
    array([[2.4, 0. ]])
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

    Examples
    --------
    >>> import refcrp as rc
    >>> neuron = rc.layers.Dense([[1.0, -2.0]], [1.0])
    >>> neuron.relevance([[3.0]], [[4.0, 1.0]], rule=rc.AlphaBetaRule(2.0, 1.0))
    array([[ 4.8, -3. ]])
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
class PassRule(Rule):
    """Relevance passes unchanged, reshaped to the input.

    ``R_i = R_j``,  j is the output in the place of input i

    Defined on layers whose output has as many values as their input. Source: [Bach]_, as it is done at
    activation functions.

    Examples
    --------
    >>> import refcrp as rc
    >>> rc.layers.ReLU().relevance([[3.0, -1.0]], [[4.0, 1.0]], rule=rc.PassRule())
    array([[ 3., -1.]])
    """

    def shares(self) -> tuple[Share, ...]:
        """None: nothing is divided."""
        return ()


@dataclass(frozen=True)
class LayerNormRule(Rule):
    """LRP-LN: the variance is taken as a constant, so that the normalisation becomes a linear map.

    ``R_i = Σ_j a_i (δ_ij - 1/N) / (Σ_i a_i (δ_ij - 1/N)) · R_j``,  N normalised values per sample;
    δ_ij = 1 if i = j, else 0

    after the affine part of the layer has been passed by `ZeroRule`. For `LayerNorm`, `GroupNorm` and
    `InstanceNorm`, whose `linearize` is this equation. Source: [Ali]_, the LN-rule.

    Examples
    --------
    The mean of the input is 2.5, and the first output is left with (4 - 4/2, -1/2) / 1.5.

    >>> import refcrp as rc
    >>> norm = rc.layers.LayerNorm([1.0, 1.0], [0.0, 0.0])
    >>> norm.relevance([[3.0, 0.0]], [[4.0, 1.0]], rule=rc.LayerNormRule()).round(6)
    array([[ 4., -1.]])
    """

    def shares(self) -> tuple[Share, ...]:
        """None: the layer owns this rule."""
        return ()


# (a W)⁺ and (a W)⁻, written as matrix products: the sign of a product is known from the signs of its factors.
FOR = (Contribution(positive, positive, positive), Contribution(negative, negative, zero))
AGAINST = (Contribution(positive, negative, negative), Contribution(negative, positive, zero))
