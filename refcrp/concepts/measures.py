"""Measures of an explanation alone: sparseness, complexity, conservation.

References
----------
Chalasani et al., Concise explanations of neural networks using adversarial training, ICML 2020.
Bhatt et al., Evaluating and aggregating feature-based model explanations, IJCAI 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refcrp.arrays import Array
from refcrp.concepts.pooling import Pooling, flat, pool, refuse_zeros
from refcrp.errors import ParameterError
from refcrp.explanation import Explanation

__all__ = ["Conservation", "complexity", "conservation", "sparseness"]


def sparseness(relevance: Array | Explanation, *, pooling: Pooling = "sum") -> Array:
    """Gini index of absolute pooled relevance (Chalasani et al. 2020).

    Relevance is pooled over channels, then its absolute value a is sorted, ascending:
    G = Σ_{i=1..P} (2i - P - 1) a_i / (P Σ_i a_i). All alike give 0; one pixel that has everything 1 - 1/P.

    Parameters
    ----------
    relevance : (n, channels, ...) or (n, features) array, or Explanation
    pooling : "sum", "positive", "absolute" or "squared"
        As for `mass_accuracy`.

    Returns
    -------
    (n,) array

    Raises
    ------
    ParameterError
        If a sample's pooled relevance is 0 everywhere.

    Examples
    --------
    >>> sparseness([[0.0, -3.0, 1.0, 0.0]])
    array([0.625])
    """
    R = pool(relevance, pooling, "sparseness")
    refuse_zeros(R, "sparseness")
    a = np.sort(abs(flat(R)), axis=1)
    P = a.shape[1]
    return np.asarray((a * (2 * np.arange(1, P + 1) - P - 1)).sum(axis=1) / (P * a.sum(axis=1)))


def complexity(relevance: Array | Explanation, *, pooling: Pooling = "sum") -> Array:
    """Entropy of the fractional contributions (Bhatt et al. 2020).

    Relevance is pooled over channels; with ``p_i = |R_i| / Σ_j |R_j|`` it is ``-Σ_i p_i ln p_i``, natural
    logarithm, 0 ln 0 = 0. One pixel that has everything gives 0; P alike ln P.

    Parameters
    ----------
    relevance : (n, channels, ...) or (n, features) array, or Explanation
    pooling : "sum", "positive", "absolute" or "squared"
        As for `mass_accuracy`.

    Returns
    -------
    (n,) array

    Raises
    ------
    ParameterError
        If a sample's pooled relevance is 0 everywhere.

    Examples
    --------
    >>> float(complexity([[2.0, -2.0, 0.0, 0.0]])[0]) == float(np.log(2))
    True
    """
    R = pool(relevance, pooling, "complexity")
    refuse_zeros(R, "complexity")
    a = abs(flat(R))
    p = a / a.sum(axis=1, keepdims=True)
    if p.dtype == object:
        p = p.astype(np.float64)
    return np.asarray(-(p * np.log(np.where(p == 0, 1, p))).sum(axis=1)) + 0.0  # not -0.0


@dataclass(frozen=True, eq=False)
class Conservation:
    """How much of the relevance gets to the input; each array has a number for each row of the explanation.

    Attributes
    ----------
    received : dict
        By layer, from the output down: the relevance that arrives at its output, and is let through by
        conditions.
    lost : dict
        By layer: what of it the layer does not pass on: to biases, to the stabilizer, to nothing.
    kept : (rows,) array
        The relevance of the input, divided by itself plus all that was lost: 1 if nothing was; NaN where both
        are 0.

    Examples
    --------
    >>> import refcrp as rc
    >>> lrp = rc.LRP(rc.Sequential([rc.layers.Dense([[2.0, 1.0]], [1.0], name="dense")]))
    >>> c = rc.conservation(lrp([[1.0, 1.0]]))
    >>> c.received, c.lost, c.kept
    ({'dense': array([1.])}, {'dense': array([0.25])}, array([0.75]))
    """

    received: dict[str, Array]
    lost: dict[str, Array]
    kept: Array


def conservation(explanation: Explanation) -> Conservation:
    """Sum up the ledger: what each layer received and lost, and which share arrives at the input.

    Losses have signs: a bias that takes positive relevance and one that takes negative make up for each other
    in `kept`. What conditions drop is no loss.

    Parameters
    ----------
    explanation : Explanation
        As an analyzer gave it.

    Returns
    -------
    Conservation

    Raises
    ------
    ParameterError
        If it is not an explanation, or not made by an analyzer.

    Examples
    --------
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())
    >>> rc.conservation(lrp(x[:2])).kept.round(3)
    array([0.989, 0.995])
    """
    if not isinstance(explanation, Explanation):
        raise ParameterError(f"conservation: expected an explanation, got {explanation!r}")
    ledger = explanation.ledger
    received = {name: np.asarray(e.received - e.masked) for name, e in ledger.items()}
    lost = {name: np.asarray(e.bias + e.stabilizer + e.dropped) for name, e in ledger.items()}
    arrived = flat(explanation.relevance).sum(axis=1)
    whole = arrived + sum(lost.values())
    nothing = whole == 0
    return Conservation(received, lost, np.where(nothing, np.nan, arrived / np.where(nothing, 1, whole)))
