"""Concept relevance inside a mask, against one explanation a concept."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ArrayTypeError, FeatureError, ParameterError, ShapeError, UnknownLayerError

HALF = np.zeros((8, 8), dtype=bool)
HALF[:, :4] = True


def two_channels():
    """Channels a = x and b = 2 x of an image of two pixels; the output is 3 a₀ + 1 a₁ - 1 b₀ + 2 b₁."""
    return rc.Sequential(
        [
            L.Conv2d(np.array([1.0, 2.0]).reshape(2, 1, 1, 1), np.zeros(2), name="ab"),
            L.Flatten(),
            L.Dense(np.array([[3.0, 1, -1, 2]]), np.zeros(1)),
        ],
        input_shape=(1, 1, 2),
    )


def test_by_hand():
    """For x = (1, 2): a speaks by 3 and 2, b by -2 and 8, of 11 in all."""
    lrp = rc.LRP(two_channels(), normalize_output_relevance=False)
    x = np.array([[[[1.0, 2]]]])
    left = rc.local_concepts(lrp, x, "ab", [[True, False]], n=2)
    assert left.channels.tolist() == [[0], [1]]
    assert left.relevance == pytest.approx(np.array([[3], [-2]]))
    assert left.share == pytest.approx(np.array([[3], [-2]]))
    both = rc.local_concepts(lrp, x, "ab", [[True, True]], n=1)
    assert both.channels.tolist() == [[1]]
    assert [float(v.item()) for v in (both.relevance, both.total, both.share)] == pytest.approx(
        [6, 11, 6 / 11]
    )
    assert (both.layer, both.selected.tolist()) == ("ab", [0])


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), layer=st.sampled_from(["conv1", "conv2", "dense1"]))
def test_against_one_explanation_a_channel(seed, layer):
    rng = np.random.default_rng(seed)
    lrp = rc.LRP(random_model(rng), rc.EpsilonPlus())
    x, masks, targets = rng.normal(size=(3, 2, 8, 8)), rng.random((3, 8, 8)) < 0.5, rng.integers(0, 3, 3)
    local = rc.local_concepts(lrp, x, layer, masks, output=targets, n=4)
    for i in range(3):
        sums = []
        for c in range(4):
            e = lrp(x[[i]], conditions=[{layer: [c], "y": [int(targets[i])]}])
            sums.append(sum(e.relevance[0, k][masks[i]].sum() for k in range(2)))
        order = sorted(range(4), key=lambda c: -sums[c])
        np.testing.assert_allclose(local.relevance[:, i], [sums[c] for c in order], atol=1e-12)
        np.testing.assert_allclose(local.total[i], sum(sums), atol=1e-12)
        np.testing.assert_allclose([sums[c] for c in local.channels[:, i]], local.relevance[:, i], atol=1e-12)


def random_model(rng):
    layers = [
        L.Conv2d(rng.normal(size=(4, 2, 3, 3)), rng.normal(size=4), activation="relu", name="conv1"),
        L.MaxPool(2),
        L.Conv2d(rng.normal(size=(4, 4, 2, 2)), rng.normal(size=4), activation="relu", name="conv2"),
        L.Flatten(),
        L.Dense(rng.normal(size=(4, 16)), rng.normal(size=4), activation="relu", name="dense1"),
        L.Dense(rng.normal(size=(3, 4)), rng.normal(size=3)),
    ]
    return rc.Sequential(layers, input_shape=(2, 8, 8))


def test_the_parts_of_all_concepts_are_the_heatmap(small_model, small_input):
    lrp = rc.LRP(small_model, rc.EpsilonPlusFlat())
    local = rc.local_concepts(lrp, small_input, "conv2", HALF, n=6)
    e = lrp(small_input)
    np.testing.assert_allclose(local.total, e.relevance.sum(axis=1)[:, HALF].sum(axis=1))
    np.testing.assert_allclose(local.share.sum(axis=0), 1)
    assert local.selected.tolist() == e.selected.tolist()
    assert (np.sort(local.channels, axis=0) == np.arange(6)[:, None]).all()


def test_given_back_to_crp(small_model, small_input):
    lrp = rc.LRP(small_model, rc.EpsilonPlus())
    local = rc.local_concepts(lrp, small_input, "conv2", HALF, n=2)
    e = rc.CRP(lrp, "conv2", rc.GivenFeatures(local.channels))(small_input)
    inside = e.relevance.sum(axis=1)[:, HALF].sum(axis=1).reshape(2, 4)
    np.testing.assert_allclose(local.relevance, inside)


def test_float32_is_summed_in_float64(small_model, small_input):
    lrp = rc.LRP(small_model.astype(np.float32), rc.EpsilonPlus())
    x = small_input[:1].astype(np.float32)
    local = rc.local_concepts(lrp, x, "conv2", HALF, n=6)
    e = rc.CRP(lrp, "conv2", rc.GivenFeatures(local.channels))(x)
    inside = e.relevance.astype(np.float64).sum(axis=1)[:, HALF].sum(axis=1)
    np.testing.assert_allclose(local.relevance[:, 0], inside, rtol=1e-12)


def test_few_conditions_at_a_time(small_model, small_input, monkeypatch):
    lrp = rc.LRP(small_model, rc.EpsilonPlus())
    at_once = rc.local_concepts(lrp, small_input, "conv2", HALF)
    monkeypatch.setattr("refcrp.batches.MEMORY", 1)
    np.testing.assert_allclose(
        rc.local_concepts(lrp, small_input, "conv2", HALF).relevance, at_once.relevance
    )


def test_among_equals_the_lower_channel_comes_first():
    model = rc.Sequential(
        [L.Conv2d(np.ones((3, 1, 1, 1)), np.zeros(3)), L.Flatten(), L.Dense(np.ones((1, 3)), np.zeros(1))],
        input_shape=(1, 1, 1),
    )
    local = rc.local_concepts(rc.LRP(model), np.ones((1, 1, 1, 1)), 0, [[True]], n=3)
    assert local.channels.tolist() == [[0], [1], [2]]


def test_nothing_inside_has_no_share():
    lrp = rc.LRP(two_channels(), normalize_output_relevance=False)
    local = rc.local_concepts(lrp, np.array([[[[0.0, 1]]]]), "ab", [[True, False]], n=1)
    assert local.relevance.tolist() == [[0]]
    assert np.isnan(local.share).all()


def test_exact_fractions():
    lrp = rc.LRP(two_channels().astype(object), normalize_output_relevance=False)
    x = rc.exact([[[[Fraction(1, 3), 2]]]])
    local = rc.local_concepts(lrp, x, "ab", [[True, False]], n=2)
    a, b = lrp(x, conditions=[{"ab": [0]}, {"ab": [1]}]).relevance[:, 0, 0, 0]
    assert isinstance(a, Fraction)
    assert local.relevance.tolist() == [[a], [b]]
    assert local.share.tolist() == [[a / (a + b)], [b / (a + b)]]
    assert local.total.tolist() == [a + b]


def test_vectors():
    dense = rc.Sequential([L.Dense(np.eye(2), np.zeros(2)), L.Dense(np.array([[1.0, 3]]), np.zeros(1))])
    lrp = rc.LRP(dense, normalize_output_relevance=False)
    local = rc.local_concepts(lrp, [[2.0, 5]], 0, [True, False], n=2)
    assert local.channels.tolist() == [[0], [1]]
    assert local.relevance == pytest.approx(np.array([[2.0], [0]]))


def test_concepts_of_ones_own(small_model, small_input):
    lrp = rc.LRP(small_model, rc.EpsilonPlus())
    as_vectors = rc.SubspaceConcept(np.eye(6)[::-1])
    channels = rc.local_concepts(lrp, small_input, "conv2", HALF)
    directions = rc.local_concepts(lrp, small_input, "conv2", HALF, concept=as_vectors)
    np.testing.assert_array_equal(5 - directions.channels, channels.channels)
    np.testing.assert_allclose(directions.relevance, channels.relevance)


def test_errors(small_model, small_input):
    lrp = rc.LRP(small_model)
    for error, words, arguments, options in [
        (ParameterError, "mask of int64, expected bool", ("conv2", HALF.astype(np.int64)), {}),
        (ParameterError, "the mask is empty", ("conv2", HALF & ~HALF), {}),
        (ShapeError, r"mask of shape \(4,\), expected \(4, 8, 8\) or \(8, 8\)", ("conv2", HALF[0, :4]), {}),
        (UnknownLayerError, "conv3", ("conv3", HALF), {}),
        (FeatureError, "layer 'conv2' has only 6 channels", ("conv2", HALF), {"n": 7}),
        (FeatureError, "output", ("conv2", HALF), {"output": 3}),
        (ParameterError, "n: expected an integer", ("conv2", HALF), {"n": 0}),
    ]:
        with pytest.raises(error, match=words):
            rc.local_concepts(lrp, small_input, *arguments, **options)
    with pytest.raises(ParameterError, match="must be an LRP analyzer"):
        rc.local_concepts(small_model, small_input, "conv2", HALF)
    with pytest.raises(ArrayTypeError):
        rc.local_concepts(lrp, small_input.astype(complex), "conv2", HALF)
