"""Pixel flipping, against loops over samples, regions and pixels."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import FeatureError, ParameterError, ShapeError


def linear(weights, shape):
    """y0 = Σ w·x, y1 = -y0."""
    w = np.asarray(weights, dtype=float).reshape(1, -1)
    return rc.Sequential([L.Flatten(), L.Dense(np.concatenate([w, -w]))], input_shape=shape)


SQUARE = linear([1, 2, 3, 4], (1, 2, 2))
ONES = np.ones((1, 1, 2, 2))


@pytest.mark.parametrize(
    ("order", "ranked", "scores", "area", "aopc"),
    [
        ("most-relevant", [3, 1, 2, 0], [10, 6, 4, 1, 0], Fraction(16, 4), Fraction(29, 5)),
        ("least-relevant", [0, 2, 1, 3], [10, 9, 6, 4, 0], Fraction(16, 4), Fraction(21, 5)),
    ],
)
def test_by_hand(order, ranked, scores, area, aopc):
    """Pixels 1 and 2 are alike: the lower comes first when both directions sort."""
    R = np.array([[[[1.0, 3], [2, 4]]]])
    curve = rc.pixel_flipping(SQUARE, ONES, R, 0, order=order)
    assert curve.order.tolist() == [ranked]
    assert curve.scores.tolist() == [scores]
    drop = [scores[0] - s for s in scores]
    area = sum(a + b for a, b in itertools.pairwise(drop)) / 2 / 4
    assert (curve.area.tolist(), curve.aopc.tolist()) == ([area], [float(aopc)])


def test_equals_come_in_the_order_of_their_index_either_way():
    R = np.array([[[[1.0, 0], [1, 0]]]])
    assert rc.pixel_flipping(SQUARE, ONES, R).order.tolist() == [[0, 2, 1, 3]]
    assert rc.pixel_flipping(SQUARE, ONES, R, order="least-relevant").order.tolist() == [[1, 3, 0, 2]]


def test_relevance_is_ranked_with_its_sign_summed_over_channels_then_regions():
    model = linear(np.ones(16), (2, 2, 4))
    R = np.zeros((1, 2, 2, 4))
    R[0, :, 0, 0] = 9, -9  # of the left region nothing is left
    R[0, 0, 1, 2] = -5  # the right one is against the output
    curve = rc.pixel_flipping(model, np.ones((1, 2, 2, 4)), R, 0, regions=2)
    assert curve.order.tolist() == [[0, 1]]
    np.testing.assert_array_equal(
        rc.pixel_flipping(model, np.ones((1, 2, 2, 4)), R.sum(axis=1), 0).order,
        rc.pixel_flipping(model, np.ones((1, 2, 2, 4)), R, 0).order,
    )


def brute_force(model, x, R, targets, size, sign, values):
    """Give the orders and scores, one sample, region and pixel after the other."""
    n, channels, height, width = x.shape
    corners = [(r, c) for r in range(0, height, size) for c in range(0, width, size)]
    orders, scores = [], []
    for i in range(n):
        sums = []
        for r, c in corners:
            pixels = itertools.product(
                range(channels), range(r, min(r + size, height)), range(c, min(c + size, width))
            )
            sums.append(sum(R[i][p] for p in pixels))
        order = sorted(range(len(corners)), key=lambda k: (-sign * sums[k], k))
        image, row = x[i].copy(), []
        for k in [None, *order]:
            if k is not None:
                r, c = corners[k]
                image[:, r : r + size, c : c + size] = values[i][:, r : r + size, c : c + size]
            row.append(model.forward(image[None])[0, targets[i]])
        orders.append(order)
        scores.append(row)
    return orders, scores


@pytest.mark.parametrize("size", [1, 2, 3, 8, 11])
@pytest.mark.parametrize("order", ["most-relevant", "least-relevant"])
def test_against_loops(size, order, small_model, small_input, rng):
    R = rng.integers(-2, 3, size=small_input.shape).astype(float)  # with many equals
    targets = [2, 0, 1, 1]
    values = rng.normal(size=small_input.shape)
    curve = rc.pixel_flipping(small_model, small_input, R, targets, regions=size, order=order, replace=values)
    orders, scores = brute_force(
        small_model, small_input, R, targets, size, 1 if order == "most-relevant" else -1, values
    )
    assert curve.order.tolist() == orders
    np.testing.assert_allclose(curve.scores, scores, rtol=1e-10, atol=1e-10)
    drop = curve.scores[:, :1] - curve.scores
    np.testing.assert_allclose(curve.aopc, drop.sum(axis=1) / drop.shape[1], rtol=1e-12)


def test_what_is_put_in_place(small_model, small_input):
    R = np.zeros_like(small_input)
    low, high = (f(small_input, axis=(1, 2, 3)) for f in (np.min, np.max))
    means = small_input.mean(axis=(2, 3), keepdims=True)
    for replace, filled in [
        ("zero", np.zeros_like(small_input)),
        ("mean", np.broadcast_to(means, small_input.shape)),
        (0.5, np.full_like(small_input, 0.5)),
        (np.array([[[1.0]], [[2.0]]]), np.ones_like(small_input) * np.array([1, 2]).reshape(2, 1, 1)),
    ]:
        curve = rc.pixel_flipping(small_model, small_input, R, 1, replace=replace, steps=[64])
        np.testing.assert_allclose(curve.scores[:, 1], small_model.forward(filled)[:, 1], rtol=1e-12)
    corner = rc.Sequential([L.Flatten(), L.Dense(np.eye(128))], input_shape=(2, 8, 8))
    drawn = np.array(
        [
            rc.pixel_flipping(corner, small_input, R, k, replace="random", steps=[64]).scores[:, 1]
            for k in range(128)
        ]
    )
    assert (drawn >= low).all()
    assert (drawn <= high).all()
    assert len(np.unique(drawn)) == drawn.size
    np.testing.assert_allclose(drawn.mean(axis=0), (low + high) / 2, atol=0.12 * (high - low).max())


def test_replacements_are_drawn_once(small_model, small_input, rng):
    R = rng.normal(size=small_input.shape)
    whole = rc.pixel_flipping(small_model, small_input, R, 0, replace="random", seed=5)
    part = rc.pixel_flipping(small_model, small_input, R, 0, replace="random", seed=5, steps=[10, 64])
    np.testing.assert_array_equal(part.scores, whole.scores[:, [0, 10, 64]])
    other = rc.pixel_flipping(small_model, small_input, R, 0, replace="random", seed=6, steps=[64])
    assert (other.scores[:, 1] != part.scores[:, 2]).all()


def test_random_order(small_model, small_input):
    R = np.zeros_like(small_input)
    orders = [
        rc.pixel_flipping(small_model, small_input, R, order="random", seed=s, steps=[1]).order
        for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0] != orders[2]).any()
    np.testing.assert_array_equal(np.sort(orders[0], axis=1), np.tile(np.arange(64), (4, 1)))


def test_vectors_have_features():
    model = rc.Sequential([L.Dense([[1.0, 2, 4]])])
    x = np.array([[1.0, 1, 1], [3, 0, 0]])
    curve = rc.pixel_flipping(model, x, x * [1, 2, 4], replace="mean")
    assert curve.order.tolist() == [[2, 1, 0], [0, 1, 2]]
    assert curve.scores.tolist() == [[7, 7, 7, 7], [3, 1, 3, 7]]
    assert curve.parts == "features"


def test_an_analyzer_stands_for_its_model_and_type(small_model, small_input):
    x = small_input.astype(np.float32)
    curve = rc.pixel_flipping(rc.LRP(small_model, dtype="longdouble"), x, x, steps=[1])
    assert curve.scores.dtype == np.longdouble


def test_any_model_that_computes_can_be_flipped(small_model, small_input):
    with_softmax = rc.Sequential([*small_model, L.Softmax()], input_shape=(2, 8, 8))
    R = small_input
    curve = rc.pixel_flipping(with_softmax, small_input, R, 0, steps=4)
    same = rc.pixel_flipping(small_model, small_input, R, 0, steps=4, score="probability")
    np.testing.assert_allclose(curve.scores, same.scores, rtol=1e-12)


def test_fractions_stay_exact():
    model = SQUARE.astype(object)
    curve = rc.pixel_flipping(model, rc.exact(ONES), rc.exact(ONES), 0, replace="mean")
    assert curve.scores.tolist() == [[10] * 5]
    curve = rc.pixel_flipping(model, rc.exact(ONES), rc.exact(ONES), 0, replace=0.5)
    assert curve.scores.tolist() == [[10, Fraction(19, 2), Fraction(17, 2), 7, 5]]


def test_the_most_relevant_pixels_count_most(lenet5, digits):
    x, labels = digits
    lrp = rc.LRP(lenet5, rc.EpsilonPlusFlat())
    x, labels = x[::10], labels[::10]
    R = lrp(x, output=labels).relevance
    aopc = [
        rc.pixel_flipping(lrp, x, R, labels, regions=4, order=order).aopc.mean()
        for order in ("most-relevant", "random", "least-relevant")
    ]
    assert aopc[0] > 1.2 * aopc[1]
    assert aopc[1] > 2 * aopc[2]


def test_errors(small_model, small_input):
    R = np.ones_like(small_input)
    for error, words, options in [
        (ShapeError, r"relevance of shape \(8, 2, 8, 8\)", {"relevance": np.ones((8, 2, 8, 8))}),
        (FeatureError, "no output neuron 3", {"output": 3}),
        (ParameterError, "regions", {"regions": 0}),
        (ParameterError, "'most-relevant'", {"order": "relevance"}),
        (ParameterError, "'most-relevant'", {"order": np.arange(64)}),
        (ParameterError, "'logit' or 'probability'", {"score": "loss"}),
        (ParameterError, "'zero', 'mean', 'random'", {"replace": "blur"}),
        (ParameterError, "replace", {"replace": np.inf}),
        (ShapeError, "broadcast", {"replace": np.ones((3, 8, 8))}),
        (ParameterError, "only 64 parts", {"steps": 65}),
    ]:
        with pytest.raises(error, match=words):
            rc.pixel_flipping(small_model, small_input, **{"relevance": R} | options)
    with pytest.raises(ParameterError, match="a model or an LRP analyzer"):
        rc.pixel_flipping("lenet5", small_input, R)
    with pytest.raises(ParameterError, match="regions=2"):
        rc.pixel_flipping(rc.Sequential([L.Dense([[1.0, 2]])]), [[1.0, 2]], [[1.0, 2]], regions=2)
    images = rc.Sequential([L.ReLU()])
    with pytest.raises(ShapeError, match="the model's output"):
        rc.pixel_flipping(images, small_input, R)
    with pytest.raises(ShapeError, match="expected"):
        rc.pixel_flipping(images, np.ones((2, 3, 4)), np.ones((2, 3, 4)))
