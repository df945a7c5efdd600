"""Which digits of an explanation can be trusted: the same question, asked again in a wider type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from refcrp.arrays import Array
from refcrp.errors import ParameterError
from refcrp.explanation import Explanation

__all__ = ["ErrorEstimate", "error_estimate"]

WIDER: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(np.float32): np.dtype(np.float64),
    np.dtype(np.float64): np.dtype(np.longdouble),
}


@dataclass(frozen=True, eq=False)
class ErrorEstimate:
    """How far rounding has moved an explanation.

    Attributes
    ----------
    relevance : array
        The relevance of the input in the wider type.
    absolute : array
        By how much each value of the explanation differs from it, in units of relevance.
    relative : float
        The largest of these over the largest relevance.
    digits : array
        How many decimal digits of each value are right; infinite where nothing differs, and negative where
        the error exceeds the value.
    dtype, wider : dtype
        What was compared with what. The wider type's own rounding is not in the estimate.

    Examples
    --------
    >>> import refcrp as rc
    >>> lrp = rc.LRP(rc.Sequential([rc.layers.Dense([[1.0, 2.0]])]), dtype="float32")
    >>> rc.error_estimate(lrp([[1.0, 1.0]])).digits.round(1)
    array([[7.5, 7.5]])
    """

    relevance: Array
    absolute: Array
    relative: float
    digits: Array
    dtype: np.dtype[Any]
    wider: np.dtype[Any]

    def __str__(self) -> str:
        worst = float(self.digits.min())
        shares = ", ".join(f"{np.mean(self.digits >= d):.1%} at least {d}" for d in (2, 4, 6))
        of_largest = "all" if self.relative == 0 else f"{-np.log10(self.relative):.1f}"
        return (
            f"{self.dtype} against {self.wider}: {of_largest} digits of the largest relevance are right "
            f"(error {self.relative:.1e} of it); "
            f"of single values the worst has {worst:.1f} right digits; {shares}"
        )


@np.errstate(divide="ignore", invalid="ignore")  # digits of exact values, and of zeros
def error_estimate(explanation: Explanation) -> ErrorEstimate:
    """Estimate the rounding errors of an explanation, by asking the same again in a wider type.

    A float32 explanation is compared with float64, a float64 one with longdouble: the same neurons and
    channels, on the same weights and input. Discrete choices on the way (the winner of a pool, the sign of an
    activation) are made anew, so that where rounding has turned one, the estimate shows it.

    Parameters
    ----------
    explanation : Explanation
        As an analyzer gave it.

    Returns
    -------
    ErrorEstimate

    Raises
    ------
    ParameterError
        If there is no wider type (for longdouble, exact fractions, and float64 where longdouble is the same),
        or the explanation was not made by an analyzer.

    Examples
    --------
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> e = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())(x[:1])
    >>> rc.error_estimate(e).relative < 1e-5
    True
    """
    if not isinstance(explanation, Explanation) or explanation.origin is None:
        raise ParameterError(f"error_estimate: expected what an analyzer gave, got {explanation!r}")
    dtype = explanation.relevance.dtype
    wider = WIDER.get(dtype)
    if wider is None or np.finfo(wider).eps >= np.finfo(dtype).eps:
        raise ParameterError(f"error_estimate: there is no type wider than {dtype} on this machine")
    origin = explanation.origin
    R = origin.analyzer.astype(wider).answer(explanation.input, origin.question).relevance
    absolute = np.abs(explanation.relevance - R)
    largest = np.abs(R).max()
    return ErrorEstimate(
        relevance=R,
        absolute=absolute,
        relative=float(absolute.max() / largest) if largest else 0.0,
        digits=np.where(absolute == 0, np.inf, -np.log10(absolute / np.abs(R))),
        dtype=dtype,
        wider=wider,
    )
