"""Concept flipping, against models whose channels are taken out for good."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refcrp as rc
from refcrp import layers as L
from refcrp.concepts.curves import flip_counts
from refcrp.errors import ArrayTypeError, FeatureError, ParameterError, UnknownLayerError


def three_units(dtype=float):
    """h = (1, 2, 2) for x = (1, 2, 2), and y = 3 h0 - h1 + 2 h2 = 5; contributions 3, -2, 4."""
    model = rc.Sequential([L.Dense(np.eye(3), name="h"), L.Dense([[3.0, -1, 2]])])
    return rc.LRP(model.astype(dtype)), np.array([[1.0, 2, 2]])


@pytest.mark.parametrize(
    ("order", "mode", "ranked", "scores", "area", "aopc"),
    [
        ("relevance", "zero", [2, 0, 1], [5, 1, -2, 0], Fraction(9, 2), Fraction(4)),
        ("relevance", "keep", [2, 0, 1], [0, 4, 7, 5], Fraction(9, 2), Fraction(4)),
        ("activation", "zero", [1, 2, 0], [5, 7, 3, 0], Fraction(5, 6), Fraction(5, 4)),
        ([[0, 1, 2]], "zero", [0, 1, 2], [5, 2, 4, 0], Fraction(13, 6), Fraction(9, 4)),
    ],
)
def test_by_hand_on_fractions(order, mode, ranked, scores, area, aopc):
    lrp, x = three_units(object)
    curve = rc.concept_flipping(lrp, rc.exact(x), "h", order=order, mode=mode)
    assert curve.order.tolist() == [ranked]
    assert curve.scores.tolist() == [scores]
    assert curve.steps.tolist() == [0, 1, 2, 3]
    assert (curve.area.tolist(), curve.aopc.tolist()) == ([area], [aopc])
    assert isinstance(curve.area[0], Fraction)
    assert curve.mean.tolist() == scores
    np.testing.assert_array_equal(curve.fractions, [0, 1 / 3, 2 / 3, 1])


def without(model, channels):
    """Take channels of conv2 out by their weights: behind a ReLU, they are zero."""
    conv = model["conv2"]
    weight, bias = conv.weight.copy(), conv.bias.copy()
    weight[list(channels)], bias[list(channels)] = 0, 0
    index = model.index("conv2")
    return model.rewritten({index: replace(conv, weight=weight, bias=bias)})


@pytest.mark.parametrize("order", ["relevance", "activation", "random"])
@pytest.mark.parametrize("mode", ["zero", "keep"])
def test_against_models_without_the_channels(order, mode, small_model, small_input):
    lrp = rc.LRP(small_model, rc.EpsilonPlus())
    target = [0, 2, 1, 1]
    curve = rc.concept_flipping(lrp, small_input, "conv2", target, order=order, mode=mode, seed=3)
    e = lrp(small_input, output=target, record="conv2")
    values = {"relevance": e.relevances, "activation": e.activations}.get(order)
    for i, ranked in enumerate(curve.order.tolist()):
        assert sorted(ranked) == list(range(6))
        if values is not None:
            sums = [values["conv2"][i, c].sum() for c in ranked]
            assert sums == sorted(sums, reverse=True)
        for count in range(7):
            gone = ranked[:count] if mode == "zero" else ranked[count:]
            y = without(small_model, gone).forward(small_input[i : i + 1])[0, target[i]]
            np.testing.assert_allclose(curve.scores[i, count], y, rtol=1e-10, atol=1e-10)
    area = np.trapezoid(curve.scores, np.linspace(0, 1, 7), axis=1) - curve.scores[:, 0]
    np.testing.assert_allclose(curve.area, -area if mode == "zero" else area, rtol=1e-10)
    drop = curve.scores[:, :1] - curve.scores
    np.testing.assert_allclose(curve.aopc, (drop if mode == "zero" else -drop).mean(axis=1), rtol=1e-10)


def test_every_branch_is_recomputed():
    """Of y = conv(x) + relu(conv(x)), two values are lost with each channel."""
    weight = np.array([1.0, 2, 4]).reshape(3, 1, 1, 1)
    model = rc.Sequential(
        [
            L.Conv2d(weight, name="conv"),
            rc.Residual(L.ReLU()),
            L.Flatten(),
            L.Dense(np.ones((1, 12))),
        ]
    )
    x = np.ones((1, 1, 2, 2))
    curve = rc.concept_flipping(rc.LRP(model), x, "conv")
    assert curve.scores.tolist() == [[56, 24, 8, 0]]


def test_equals_come_in_the_order_of_their_index():
    model = rc.Sequential([L.Dense(np.eye(4), name="h"), L.Dense(np.ones((1, 4)))])
    for order in ("relevance", "activation"):
        curve = rc.concept_flipping(rc.LRP(model), np.array([[1.0, 3, 1, 3]]), "h", order=order)
        assert curve.order.tolist() == [[1, 3, 0, 2]]


def test_steps(small_model, small_input):
    lrp = rc.LRP(small_model)
    whole = rc.concept_flipping(lrp, small_input, "conv2")
    for steps, counts in [(6, range(7)), (2, [0, 3, 6]), (4, [0, 1, 3, 4, 6]), ([2, 3], [0, 2, 3])]:
        part = rc.concept_flipping(lrp, small_input, "conv2", steps=steps)
        assert part.steps.tolist() == list(counts)
        np.testing.assert_array_equal(part.scores, whole.scores[:, list(counts)])
    at = part.scores
    np.testing.assert_allclose(
        part.area, ((at[:, 0] - at[:, 1]) / 2 * 2 + (2 * at[:, 0] - at[:, 1] - at[:, 2]) / 2) / 3
    )


@given(st.integers(1, 50), st.data())
def test_counts_are_as_even_as_can_be(parts, data):
    steps = data.draw(st.integers(1, parts))
    counts = flip_counts(steps, parts)
    assert (counts[0], counts[-1], len(counts)) == (0, parts, steps + 1)
    assert set(np.diff(counts)) <= {parts // steps, -(-parts // steps)}


def test_random_orders_are_of_each_sample_and_of_the_seed(small_model, small_input):
    lrp = rc.LRP(small_model)
    a, b, c = (
        rc.concept_flipping(lrp, small_input, "conv2", order="random", seed=seed).order for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    assert len({tuple(row) for row in a.tolist()}) > 1


def test_probability(small_model, small_input):
    lrp = rc.LRP(small_model)
    curve = rc.concept_flipping(lrp, small_input, "conv2", 1, score="probability")
    y = small_model.forward(small_input)
    np.testing.assert_allclose(curve.scores[:, 0], np.exp(y[:, 1]) / np.exp(y).sum(axis=1), rtol=1e-12)
    lrp, x = three_units(object)
    with pytest.raises(ArrayTypeError, match="no exact value"):
        rc.concept_flipping(lrp, rc.exact(x), "h", score="probability")


def test_relevance_finds_what_counts(lenet5, digits):
    x, labels = digits[0][::5], digits[1][::5]
    lrp = rc.LRP(lenet5, rc.EpsilonPlusFlat())
    for mode in ("zero", "keep"):
        area = {
            order: rc.concept_flipping(lrp, x, "conv2", labels, order=order, mode=mode).area.mean()
            for order in ("relevance", "activation", "random")
        }
        assert area["relevance"] > 1.1 * area["activation"] > 1.1**2 * area["random"]


def test_errors(small_model, small_input):
    lrp = rc.LRP(small_model)
    for error, words, options in [
        (UnknownLayerError, "conv1", {"layer": "conv3"}),
        (FeatureError, "no output neuron 3", {"output": 3}),
        (ParameterError, "'zero' or 'keep'", {"mode": "one"}),
        (ParameterError, "'logit' or 'probability'", {"score": "loss"}),
        (ParameterError, "got 'size'", {"order": "size"}),
        (ParameterError, "each once", {"order": np.zeros((4, 6), dtype=int)}),
        (ParameterError, "each once", {"order": [range(6)]}),
        (ParameterError, "only 6 parts", {"steps": 7}),
        (ParameterError, "increase", {"steps": [3, 2]}),
        (ParameterError, "increase", {"steps": [7]}),
        (ParameterError, "increase", {"steps": []}),
        (ParameterError, "steps", {"steps": "all"}),
    ]:
        with pytest.raises(error, match=words):
            rc.concept_flipping(lrp, small_input, **{"layer": "conv2"} | options)
    with pytest.raises(ParameterError, match="LRP analyzer"):
        rc.concept_flipping(small_model, small_input, "conv2")
