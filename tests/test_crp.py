from fractions import Fraction

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.arrays import exact
from refcrp.errors import FeatureError, ParameterError, UnknownLayerError
from refcrp.rule import Rule

LAYERS = ["conv1", "maxpool1", "conv2", "flatten1", "dense1"]


@pytest.fixture
def lrp(small_model):
    return rc.LRP(small_model, rc.EpsilonPlus())


def channels(model, layer, x):
    return model.shapes_for(x.shape[1:])[model.index(layer)][0]


def two_layers():
    return rc.Sequential(
        [L.Dense([[1, 3], [4, 2]], [0, 1], activation="relu"), L.Dense([[2, 4], [3, 1]], [1, 2])]
    )


def test_two_layers_by_hand():
    e = rc.CRP(rc.LRP(two_layers()), 0, rc.TopNFeatures(1))([[1, 2]])
    np.testing.assert_allclose(e.relevance, [[16 / 51, 16 / 51]], rtol=1e-8)
    assert e.features.tolist() == [[1]]
    np.testing.assert_allclose(e.feature_relevance, [[36 / 51]], rtol=1e-8)
    np.testing.assert_allclose(e.layer_relevance, [50 / 51], rtol=1e-8)


def test_two_layers_exactly():
    class Unstabilized(Rule):
        def stabilize(self, z):
            return z

    lrp = rc.LRP(two_layers().astype(object), Unstabilized())
    e = rc.CRP(lrp, 0, rc.IndexedFeatures(1, 0))(exact([[1, 2]]))
    assert e.relevance.tolist() == [[Fraction(16, 51)] * 2, [Fraction(2, 51), Fraction(12, 51)]]


@pytest.mark.parametrize("layer", LAYERS)
def test_the_maps_of_all_channels_add_up_to_lrp(lrp, small_input, layer):
    n = channels(lrp.model, layer, small_input)
    for features in rc.IndexedFeatures(*range(n)), rc.TopNFeatures(n):
        e = rc.CRP(lrp, layer, features)(small_input)
        total = e.relevance.reshape(n, *small_input.shape).sum(axis=0)
        whole = lrp(small_input).relevance
        np.testing.assert_allclose(total, whole, rtol=1e-11, atol=1e-12 * np.abs(whole).max())
        np.testing.assert_allclose(e.feature_relevance.sum(axis=0), e.layer_relevance, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layer", LAYERS)
def test_agrees_with_conditions(lrp, small_input, layer):
    e = rc.CRP(lrp, layer, rc.IndexedFeatures(2, 0))(small_input, output=1)
    same = lrp(small_input, conditions=[{layer: [2], "y": [1]}, {layer: [0], "y": [1]}])
    np.testing.assert_allclose(e.relevance, same.relevance, rtol=1e-12, atol=1e-15)


def test_top_features_are_ranked_for_each_sample(lrp, small_input):
    e = rc.CRP(lrp, "conv2", rc.TopNFeatures(4))(small_input)
    R = lrp(small_input, record="conv2").relevances["conv2"].sum(axis=(2, 3))
    for n in range(len(small_input)):
        ranked = sorted(range(6), key=lambda c: (-R[n, c], c))
        assert e.features[:, n].tolist() == ranked[:4]
        np.testing.assert_allclose(e.feature_relevance[:, n], R[n, ranked[:4]], rtol=1e-12)
    assert len({tuple(column) for column in e.features.T}) > 1


def test_results_are_feature_major(lrp, small_input):
    crp = rc.CRP(lrp, 2, rc.TopNFeatures(3))
    whole = crp(small_input)
    assert whole.relevance.shape == (3 * 4, 2, 8, 8)
    for n in range(4):
        single = crp(small_input[n : n + 1])
        np.testing.assert_array_equal(single.features[:, 0], whole.features[:, n])
        expected = single.relevance
        np.testing.assert_allclose(
            whole.relevance[n::4], expected, rtol=1e-11, atol=1e-13 * np.abs(expected).max()
        )


def test_ties_go_to_the_lower_channel():
    model = rc.Sequential([L.Dense(np.ones((4, 2))), L.Dense(np.ones((1, 4)))])
    e = rc.CRP(rc.LRP(model), 0, rc.TopNFeatures(3))(np.ones((1, 2)))
    assert e.features[:, 0].tolist() == [0, 1, 2]


def test_negative_relevance_ranks_last():
    model = rc.Sequential([L.Dense(np.eye(3)), L.Dense([[1.0, -3.0, 4.0]])])
    e = rc.CRP(rc.LRP(model), 0, rc.TopNFeatures(3))(np.ones((1, 3)), normalize_output_relevance=False)
    assert e.features[:, 0].tolist() == [2, 0, 1]


def test_record(lrp, small_input):
    layers = ["conv1", "conv2", "dense1"]
    e = rc.CRP(lrp, "conv2", rc.TopNFeatures(3))(small_input, record=layers)
    free = lrp(small_input, record=layers)
    assert list(e.relevances) == layers
    np.testing.assert_array_equal(e.relevances["dense1"], free.relevances["dense1"])
    np.testing.assert_array_equal(e.relevances["conv2"], free.relevances["conv2"])
    assert e.relevances["conv1"].shape == (12, *free.relevances["conv1"].shape[1:])
    np.testing.assert_array_equal(e.activations["conv2"], free.activations["conv2"])


def test_output_and_seed(lrp, small_input):
    crp = rc.CRP(lrp, "conv2", rc.IndexedFeatures(0))
    e = crp(small_input, output=[0, 1, 2, 0])
    assert e.selected.tolist() == [0, 1, 2, 0]
    signed = crp(small_input, output=[0, 1, 2, 0], normalize_output_relevance=False)
    values = e.output[range(4), [0, 1, 2, 0]]
    np.testing.assert_allclose(
        signed.feature_relevance[0], e.feature_relevance[0] * values, rtol=1e-9, atol=1e-14
    )


def test_the_last_layer_can_be_the_concepts(lrp, small_input):
    e = rc.CRP(lrp, -1, rc.IndexedFeatures(0, 1, 2))(small_input, output=1)
    assert not e.relevance[:4].any()
    np.testing.assert_array_equal(e.relevance[4:8], lrp(small_input, output=1).relevance)


def test_one_forward_and_one_upper_pass_serve_all_features(rng):
    calls = []

    class Counting(L.Dense):
        def linear(self, x, weight, bias):
            calls.append(("forward", self.name))
            return super().linear(x, weight, bias)

        def transpose(self, s, weight, input_shape):
            calls.append(("back", self.name))
            return super().transpose(s, weight, input_shape)

    names = ["a", "b", "c"]
    model = rc.Sequential([Counting(rng.normal(size=(4, 4)), name=name) for name in names])
    rc.CRP(rc.LRP(model), "b", rc.TopNFeatures(4))(rng.normal(size=(2, 4)))
    assert sorted(calls) == sorted([("forward", n) for n in names] + [("back", n) for n in names])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda lrp: rc.CRP(lrp, "conv3", rc.TopNFeatures(1)), UnknownLayerError, "did you mean"),
        (lambda lrp: rc.CRP(lrp, 6, rc.TopNFeatures(1)), UnknownLayerError, "layers 0 to 5"),
        (lambda lrp: rc.CRP(lrp.model, 2, rc.TopNFeatures(1)), ParameterError, "must be an LRP analyzer"),
        (lambda lrp: rc.CRP(lrp, 2, 5), ParameterError, "TopNFeatures or IndexedFeatures"),
        (lambda lrp: rc.TopNFeatures(0), ParameterError, "TopNFeatures: n: expected an integer >= 1, got 0"),
        (lambda lrp: rc.TopNFeatures(1.5), ParameterError, "expected an integer"),
        (lambda lrp: rc.IndexedFeatures(), ParameterError, "at least one"),
        (lambda lrp: rc.IndexedFeatures(-1), ParameterError, "expected an integer"),
        (lambda lrp: rc.IndexedFeatures(10**30), ParameterError, "expected an integer"),
        (lambda lrp: rc.IndexedFeatures(np.ones((2, 2), int)), ParameterError, "expected an integer"),
        (lambda lrp: rc.IndexedFeatures("12"), ParameterError, "expected an integer"),
    ],
)
def test_wrong_arguments(lrp, make, error, message):
    with pytest.raises(error, match=message):
        make(lrp)


def test_features_that_are_not_there(lrp, small_input):
    with pytest.raises(FeatureError, match=r"TopNFeatures\(7\): layer 'conv2' has only 6 channels"):
        rc.CRP(lrp, "conv2", rc.TopNFeatures(7))(small_input)
    with pytest.raises(FeatureError, match="no channel 6: layer 'conv2' has 6"):
        rc.CRP(lrp, "conv2", rc.IndexedFeatures(0, 6))(small_input)


def test_an_empty_batch(lrp, small_input):
    e = rc.CRP(lrp, "conv2", rc.TopNFeatures(3))(small_input[:0])
    assert e.relevance.shape == (0, 2, 8, 8)
    assert e.features.shape == (3, 0)
    assert lrp(small_input[:0], conditions=[{"y": [0]}, {}]).relevance.shape == (0, 2, 8, 8)


def test_features_as_a_list():
    assert rc.IndexedFeatures([0, 1, 9]) == rc.IndexedFeatures(0, 1, 9)
    assert len(rc.IndexedFeatures(range(4))) == 4


def test_print(lrp):
    assert repr(rc.CRP(lrp, 2, rc.TopNFeatures(3))).startswith(
        "CRP(layer='conv2', features=TopNFeatures(n=3),\nLRP("
    )
