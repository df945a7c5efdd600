"""Localisation inside a mask, against loops over pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import refcrp as rc
from refcrp.errors import ParameterError, ShapeError

MAPS = hnp.arrays(np.float64, (3, 2, 3, 4), elements=st.integers(-3, 3))  # with many equals
MASKS = hnp.arrays(np.bool_, (3, 3, 4))


def pooled_by_loops(R, pooling):
    channels, height, width = R.shape
    P = np.zeros((height, width))
    for r in range(height):
        for c in range(width):
            values = [R[k, r, c] for k in range(channels)]
            P[r, c] = {
                "sum": sum(values),
                "positive": max(0, sum(values)),
                "absolute": abs(sum(values)),
                "squared": sum(v * v for v in values),
            }[pooling]
    return P


def with_something(R, masks, pooling):
    """Keep the samples on which everything is defined."""
    keep = [i for i in range(len(R)) if masks[i].any() and pooled_by_loops(R[i], pooling).sum() != 0]
    return R[keep], masks[keep]


@given(MAPS, MASKS, st.sampled_from(["sum", "positive", "absolute", "squared"]))
def test_against_loops(R, masks, pooling):
    R, masks = with_something(R, masks, pooling)
    mass = rc.mass_accuracy(R, masks, pooling=pooling)
    ranks = rc.rank_accuracy(R, masks, pooling=pooling)
    hits = {t: rc.pointing_game(R, masks, pooling=pooling, tolerance=t) for t in (0, 1, 1.5)}
    for i in range(len(R)):
        P = pooled_by_loops(R[i], pooling)
        inside = {(r, c) for r in range(3) for c in range(4) if masks[i, r, c]}
        ranked = sorted(np.ndindex(3, 4), key=lambda p: (-P[p], p))
        assert mass[i] == pytest.approx(sum(P[p] for p in inside) / P.sum())
        assert ranks[i] == len(inside & set(ranked[: len(inside)])) / len(inside)
        nearest = min(np.hypot(p[0] - ranked[0][0], p[1] - ranked[0][1]) for p in inside)
        for tolerance, hit in hits.items():
            assert hit[i] == (nearest <= tolerance)


def test_by_hand():
    """Channels sum to 4, -1, 2, -1: of the positive 6 the mask has 4; of all 4 it has 3."""
    R = np.array([[[[5.0, -2], [1, 0]], [[-1, 1], [1, -1]]]])
    mask = np.array([[True, True], [False, False]])
    assert rc.mass_accuracy(R, mask).tolist() == [4 / 6]
    assert rc.mass_accuracy(R, mask, pooling="sum").tolist() == [3 / 4]
    assert rc.mass_accuracy(R, mask, pooling="absolute").tolist() == [5 / 8]
    assert rc.mass_accuracy(R, mask, pooling="squared").tolist() == [31 / 34]
    assert rc.rank_accuracy(R, mask).tolist() == [1 / 2]
    assert rc.pointing_game(R, mask).tolist() == [True]
    assert rc.pointing_game(R, ~mask).tolist() == [False]


def test_one_mask_for_all_samples_and_explanations(lenet5, digits):
    x, labels = digits
    e = rc.LRP(lenet5, rc.EpsilonPlusFlat())(x[:5], output=labels[:5])
    mask = np.zeros((28, 28), dtype=bool)
    mask[7:21, 7:21] = True
    each = np.stack([mask] * 5)
    for measure in (rc.mass_accuracy, rc.rank_accuracy, rc.pointing_game):
        np.testing.assert_array_equal(measure(e, mask), measure(e.relevance, each))
    assert (rc.mass_accuracy(e, mask) > 0.25).all()  # the quarter of the image with the digit


def test_vectors():
    assert rc.mass_accuracy([[1.0, -1, 3]], [[True, True, False]]).tolist() == [0.25]
    assert rc.pointing_game([[1.0, -1, 3]], [[False, True, False]], tolerance=1).tolist() == [True]
    exact = rc.mass_accuracy(rc.exact([[1, -1, 2]]), [True, False, False])
    assert exact[0] == rc.exact(1) / 3


def test_float32_is_summed_in_float64():
    R = np.ones((1, 1, 5000), dtype=np.float32)
    R[0, 0, 0] = 2**24
    assert rc.mass_accuracy(R, np.arange(5000) > 0).tolist() == [4999 / (2**24 + 4999)]


@pytest.mark.parametrize("measure", [rc.mass_accuracy, rc.rank_accuracy, rc.pointing_game])
def test_errors(measure):
    R, mask = np.ones((2, 1, 2, 2)), np.ones((2, 2), dtype=bool)
    zero = R * np.array([1, 0]).reshape(2, 1, 1, 1)
    for error, words, arguments in [
        (ParameterError, "sample 1 .1 of 2 samples.: the mask is empty", (R, np.stack([mask, ~mask]))),
        (ParameterError, "sample 1 .1 of 2 samples.: pooled relevance", (zero, mask)),
        (ParameterError, "mask of int64, expected bool", (R, mask.astype(np.int64))),
        (ShapeError, "mask of shape", (R, mask[None])),
        (ShapeError, "relevance of shape", (np.ones(3), mask)),
    ]:
        with pytest.raises(error, match=words):
            measure(*arguments)
    with pytest.raises(ParameterError, match="pooling='max'"):
        measure(R, mask, pooling="max")


def test_nothing_positive():
    with pytest.raises(ParameterError, match="has the sum 0"):
        rc.mass_accuracy(-np.ones((1, 1, 2, 2)), np.ones((2, 2), dtype=bool))
    assert rc.rank_accuracy(-np.ones((1, 1, 2, 2)), np.ones((2, 2), dtype=bool)).tolist() == [1]
    with pytest.raises(ParameterError, match="tolerance"):
        rc.pointing_game(np.ones((1, 1, 2, 2)), np.ones((2, 2), dtype=bool), tolerance=-1)
