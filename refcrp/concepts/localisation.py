"""Localisation: how much of the relevance lies inside a mask that says where it should be.

References
----------
Arras et al., CLEVR-XAI: a benchmark dataset for the ground truth evaluation of neural network explanations,
Information Fusion 81, 2022.
Zhang et al., Top-down neural attention by excitation backprop, IJCV 126, 2018.
"""

from __future__ import annotations

import numpy as np

from refcrp.arrays import Array, unchecked_array
from refcrp.checks import check_number
from refcrp.concepts.pooling import Pooling, flat, pool, refuse, refuse_zeros
from refcrp.errors import ParameterError, ShapeError
from refcrp.explanation import Explanation

__all__ = ["mass_accuracy", "pointing_game", "rank_accuracy"]


def mass_accuracy(relevance: Array | Explanation, mask: Array, *, pooling: Pooling = "positive") -> Array:
    """Share of the relevance that lies inside the mask: Σ_{p in mask} R_p / Σ_p R_p (Arras et al. 2022).

    Parameters
    ----------
    relevance : (n, channels, ...) or (n, features) array, or Explanation
    mask : (n, ...) or (...) array of bool
        Without channels; one for each sample, or one for all.
    pooling : "positive", "sum", "absolute" or "squared"
        How channels become R_p. Positive: summed, then max(0, ·), so that negative relevance counts neither
        inside nor outside. Sum: summed with sign; the share can leave [0, 1]. Absolute: summed, then ``|·|``.
        Squared: the sum of squares.

    Returns
    -------
    (n,) array
        From 0 to 1, the best, except for ``pooling="sum"``.

    Raises
    ------
    ParameterError
        If a mask is empty, or a sample's pooled relevance has the sum 0: its share is not defined.
    ShapeError
        If the masks do not fit.

    Examples
    --------
    >>> mass_accuracy([[[3.0, -1.0, 1.0]]], [[True, True, False]])
    array([0.75])
    """
    R = pool(relevance, pooling, "mass_accuracy")
    inside = as_mask(mask, R, "mass_accuracy")
    total = flat(R).sum(axis=1)
    refuse(total == 0, "mass_accuracy", f"pooled relevance ({pooling}) has the sum 0")
    return np.asarray(flat(np.where(inside, R, 0)).sum(axis=1) / total)


def rank_accuracy(relevance: Array | Explanation, mask: Array, *, pooling: Pooling = "sum") -> Array:
    """Share of the k most relevant pixels that lie inside the mask of k pixels (Arras et al. 2022).

    Pixels are ranked by pooled relevance, descending, the lower index first among equals.

    Parameters
    ----------
    relevance, mask, pooling
        As for `mass_accuracy`; summed with sign by default, so that negative relevance ranks last.

    Returns
    -------
    (n,) array
        From 0 to 1, the best.

    Raises
    ------
    ParameterError
        If a mask is empty, or a sample's pooled relevance is 0 everywhere.
    ShapeError
        If the masks do not fit.

    Examples
    --------
    >>> rank_accuracy([[[3.0, -1.0, 1.0]]], [[True, True, False]])
    array([0.5])
    """
    R = pool(relevance, pooling, "rank_accuracy")
    inside = flat(as_mask(mask, R, "rank_accuracy"))
    refuse_zeros(R, "rank_accuracy")
    ranked = np.argsort(-flat(R), axis=1, kind="stable")
    k = inside.sum(axis=1)
    is_top = np.arange(inside.shape[1]) < k[:, None]
    return np.asarray((np.take_along_axis(inside, ranked, axis=1) & is_top).sum(axis=1) / k)


def pointing_game(
    relevance: Array | Explanation, mask: Array, *, pooling: Pooling = "sum", tolerance: float = 0
) -> Array:
    """Tell whether the most relevant pixel lies inside the mask (Zhang et al. 2018).

    It is the one with the highest pooled relevance, the one with the lowest index among equals.

    Parameters
    ----------
    relevance, mask, pooling
        As for `mass_accuracy`; summed with sign by default.
    tolerance : float
        Also a hit if a pixel of the mask is no farther from it, in pixels (Euclidean); the paper takes 15.

    Returns
    -------
    (n,) array of bool
        Its mean is the accuracy.

    Raises
    ------
    ParameterError
        If a mask is empty, or a sample's pooled relevance is 0 everywhere.
    ShapeError
        If the masks do not fit.

    Examples
    --------
    >>> pointing_game([[[3.0, -1.0, 1.0]]], [[False, True, False]])
    array([False])
    >>> pointing_game([[[3.0, -1.0, 1.0]]], [[False, True, False]], tolerance=1)
    array([ True])
    """
    check_number("pointing_game: tolerance", tolerance, 0)
    R = pool(relevance, pooling, "pointing_game")
    inside = as_mask(mask, R, "pointing_game")
    refuse_zeros(R, "pointing_game")
    top = np.unravel_index(flat(R).argmax(axis=1), R.shape[1:])
    around = [1] * (R.ndim - 1)
    places: tuple[Array, ...] = np.indices(R.shape[1:], sparse=True)
    squares = [(place - at.reshape(-1, *around)) ** 2 for place, at in zip(places, top, strict=True)]
    is_near = sum(squares) <= tolerance**2
    return np.asarray(flat(inside & is_near).any(axis=1))


def as_mask(mask: Array, R: Array, what: str) -> Array:
    """Give masks for pooled relevance (n, ...), or raise what is wrong with them."""
    given = unchecked_array(mask, f"{what}: mask")
    if given.dtype != bool:
        raise ParameterError(f"{what}: mask of {given.dtype}, expected bool; mask > 0, say")
    if given.shape not in (R.shape, R.shape[1:]):
        raise ShapeError(f"{what}: mask of shape {given.shape}, expected {R.shape} or {R.shape[1:]}")
    inside = np.broadcast_to(given, R.shape)
    refuse(np.asarray(~flat(inside).any(axis=1)), what, "the mask is empty")
    return inside
