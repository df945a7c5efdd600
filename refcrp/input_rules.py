"""The rules of first layers: what a pixel is worth does not follow from its value alone.

Inputs of a first layer are no activations: they may be negative, have bounds, or a zero that means nothing
(black is a colour, too). Notation, stabilizer and the neuron of the examples are those of `refcrp.rules`.

References
----------
.. [DTD] Montavon et al., Explaining nonlinear classification decisions with deep Taylor decomposition, 2017.
.. [Overview] Montavon et al., Layer-wise relevance propagation: an overview, LNCS 11700, 2019.
.. [CleverHans] Lapuschkin et al., Unmasking Clever Hans predictors, Nature Communications 10, 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refcrp.arrays import as_array, freeze
from refcrp.checks import check_ordered
from refcrp.modifiers import Constant, negative, ones, positive, square, zero
from refcrp.propagation import Contribution, Share
from refcrp.rule import Rule

__all__ = ["FlatRule", "WSquareRule", "ZBoxRule"]


@dataclass(frozen=True)
class WSquareRule(Rule):
    """LRP-w²: in proportion to squared weights, whatever the input.

    ``R_i = Σ_j W_ij² / (Σ_i W_ij²) · R_j``,  the sum over inputs inside the image

    For a first layer with unbounded inputs. Needs weights. Source: [DTD]_ section 4.1.

    Examples
    --------
    >>> import refcrp as rc
    >>> neuron = rc.layers.Dense([[1.0, -2.0]], [1.0])
    >>> neuron.relevance([[3.0]], [[4.0, 1.0]], rule=rc.WSquareRule())
    array([[0.6, 2.4]])
    """

    def shares(self) -> tuple[Share, ...]:
        """W², no bias."""
        return (Share((Contribution(ones, square, zero),)),)


@dataclass(frozen=True)
class FlatRule(Rule):
    """LRP-flat: evenly over the inputs that an output sees.

    ``R_i = Σ_j 1 / n_j · R_j``,  n_j the number of inputs connected to j; padding does not count

    For a first layer. Needs weights, for what is connected. Source: [CleverHans]_, methods.

    Examples
    --------
    >>> import refcrp as rc
    >>> neuron = rc.layers.Dense([[1.0, -2.0]], [1.0])
    >>> neuron.relevance([[3.0]], [[4.0, 1.0]], rule=rc.FlatRule())
    array([[1.5, 1.5]])
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

    Examples
    --------
    With l = 0 and h = 4, c = (4, 6).

    >>> import refcrp as rc
    >>> neuron = rc.layers.Dense([[1.0, -2.0]], [1.0])
    >>> neuron.relevance([[3.0]], [[4.0, 1.0]], rule=rc.ZBoxRule(0.0, 4.0))
    array([[1.2, 1.8]])
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
