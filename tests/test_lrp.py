import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from fractions import Fraction

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.arrays import exact
from refcrp.errors import (
    ArrayTypeError,
    FeatureError,
    NonFiniteError,
    ParameterError,
    ShapeError,
    SoftmaxError,
    UnknownLayerError,
)

COMPOSITES = {
    "zero": None,
    "plus": rc.EpsilonPlus(),
    "plus-flat": rc.EpsilonPlusFlat(),
    "gamma-box": rc.EpsilonGammaBox(-5, 5),
    "alpha-beta": rc.EpsilonAlpha2Beta1(),
    "alpha-beta-flat": rc.EpsilonAlpha2Beta1Flat(),
}


def layer_by_layer(model, rules, x, seed):
    """LRP as a plain loop over the layers' own methods."""
    inputs = [x]
    for layer in model:
        inputs.append(layer.forward(inputs[-1]))
    R = seed
    for layer, rule, a in reversed(list(zip(model, rules, inputs[:-1], strict=True))):
        R = layer.relevance(R, a, rule=rule)
    return R


@pytest.mark.parametrize("composite", COMPOSITES)
def test_is_the_layers_relevance_one_after_the_other(small_model, small_input, composite):
    lrp = rc.LRP(small_model, COMPOSITES[composite])
    e = lrp(small_input)
    y = small_model.forward(small_input)
    np.testing.assert_array_equal(e.output, y)
    np.testing.assert_array_equal(e.selected, y.argmax(axis=1))
    seed = np.eye(3)[y.argmax(axis=1)]
    np.testing.assert_allclose(
        e.relevance, layer_by_layer(small_model, lrp.rules, small_input, seed), rtol=1e-12
    )


@pytest.mark.parametrize("composite", COMPOSITES)
def test_a_batch_equals_its_samples(small_model, small_input, composite):
    lrp = rc.LRP(small_model, COMPOSITES[composite])
    whole = lrp(small_input).relevance
    for k in range(len(small_input)):
        single = lrp(small_input[k : k + 1]).relevance
        np.testing.assert_allclose(whole[k : k + 1], single, rtol=1e-12, atol=1e-12 * np.abs(single).max())


def test_two_layers_by_hand():
    """Input [1, 2]: z1 = [7, 9], z2 = [51, 32]; output 0 is selected; R1 = [14/51, 36/51]."""
    model = rc.Sequential(
        [L.Dense([[1, 3], [4, 2]], [0, 1], activation="relu"), L.Dense([[2, 4], [3, 1]], [1, 2])]
    )
    e = rc.LRP(model)([[1, 2]], record=[0, "dense2"])
    np.testing.assert_allclose(e.relevances[0], [[14 / 51, 36 / 51]], rtol=1e-8)
    np.testing.assert_allclose(e.relevances["dense2"], [[1, 0]])
    np.testing.assert_allclose(e.relevance, [[14 / 51 / 7 + 16 / 51, 6 * 2 / 51 + 16 / 51]], rtol=1e-8)
    np.testing.assert_array_equal(e.activations["dense1"], [[7, 9]])


def test_conservation_without_biases(rng):
    layers = [
        L.Conv2d(rng.normal(size=(4, 1, 3, 3)), activation="relu"),
        L.MaxPool(2),
        L.Conv2d(rng.normal(size=(3, 4, 2, 2)), activation="relu"),
        L.GlobalAvgPool(),
        L.Flatten(),
        L.Dense(rng.normal(size=(5, 3))),
    ]
    e = rc.LRP(rc.Sequential(layers))(rng.uniform(size=(6, 1, 10, 10)), normalize_output_relevance=False)
    top = e.output[np.arange(6), e.selected]
    np.testing.assert_allclose(e.relevance.sum(axis=(1, 2, 3)), top, rtol=1e-6)  # stabilizers take a little


def test_exact_numbers_through_a_whole_network(small_model, small_input):
    x = exact(np.round(small_input[:1] * 16) / 16)
    rational = rc.LRP(small_model.astype(object), rc.EpsilonPlusFlat())(x).relevance
    assert all(isinstance(value, (Fraction, int)) for value in rational.ravel())
    rounded = rc.LRP(small_model, rc.EpsilonPlusFlat())(x.astype(float)).relevance
    np.testing.assert_allclose(rounded, rational.astype(float), rtol=1e-11, atol=1e-12)


def test_float32_is_near_float64(lenet5, digits):
    x = digits[0][::9]
    double = lenet5.astype(np.float64)
    for composite in rc.EpsilonPlus(), rc.EpsilonPlusFlat():
        single = rc.LRP(lenet5, composite)(x).relevance
        assert single.dtype == np.float32
        expected = rc.LRP(double, composite)(x.astype(float)).relevance
        np.testing.assert_allclose(single, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


# Output -----------------------------------------------------------------------------------------------------


def test_output_selection(small_model, small_input):
    lrp = rc.LRP(small_model)
    e = lrp(small_input, output=2)
    assert e.selected.tolist() == [2, 2, 2, 2]
    each = lrp(small_input, output=[0, 1, 2, 1])
    assert each.selected.tolist() == [0, 1, 2, 1]
    np.testing.assert_allclose(each.relevance[2], e.relevance[2], rtol=1e-12)
    np.testing.assert_array_equal(lrp(small_input, output=rc.IndexSelector(2)).relevance, e.relevance)
    np.testing.assert_array_equal(
        lrp(small_input, rc.MaxActivationSelector()).relevance, lrp(small_input).relevance
    )
    np.testing.assert_array_equal(lrp(small_input, output=np.int64(2)).relevance, e.relevance)
    np.testing.assert_array_equal(lrp(small_input, output=np.full(4, 2)).relevance, e.relevance)
    np.testing.assert_array_equal(lrp(small_input, output=(2 for _ in range(4))).relevance, e.relevance)


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        (3, FeatureError, "no output neuron 3: the model's output has 3, numbered 0 to 2"),
        (-1, ParameterError, "expected an integer >= 0, got -1"),
        ([0, 1], ShapeError, "got 2 indices for 4 samples"),
        (1.0, ParameterError, "expected an integer >= 0, got 1.0"),
        (10**30, ParameterError, "expected an integer >= 0"),
        ([[1, 2], [3]], ParameterError, "expected an integer >= 0"),
        ("cat", ParameterError, "expected an integer >= 0, got 'cat'"),
        ([0, 1, 2, 3], FeatureError, "no output neuron 3"),
    ],
)
def test_wrong_outputs(small_model, small_input, output, error, message):
    with pytest.raises(error, match=message):
        rc.LRP(small_model)(small_input, output=output)


def test_seed_is_one_or_the_output(small_model, small_input):
    one, signed = rc.LRP(small_model), rc.LRP(small_model, normalize_output_relevance=False)
    y = small_model.forward(small_input)[:, 1]
    expected = one(small_input, output=1).relevance * y[:, None, None, None]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(signed(small_input, output=1).relevance, expected, atol=1e-12 * scale)
    called = one(small_input, output=1, normalize_output_relevance=False).relevance
    np.testing.assert_array_equal(called, signed(small_input, output=1).relevance)
    called = signed(small_input, output=1, normalize_output_relevance=True).relevance
    np.testing.assert_array_equal(called, one(small_input, output=1).relevance)


def test_output_that_is_not_a_row_of_neurons(small_input):
    with pytest.raises(ShapeError, match="end the model with Flatten"):
        rc.LRP(rc.Sequential([L.ReLU()]))(small_input)


# Recording --------------------------------------------------------------------------------------------------


def test_record(small_model, small_input):
    lrp = rc.LRP(small_model, rc.EpsilonPlus())
    e = lrp(small_input, record=["conv1", 4])
    assert list(e.relevances) == list(e.activations) == ["conv1", "dense1"]
    np.testing.assert_array_equal(e.activations["conv1"], small_model[0].forward(small_input))
    np.testing.assert_array_equal(e.activations[0], e.activations["conv1"])
    assert e.relevances["conv1"].shape == e.activations["conv1"].shape
    below = small_model[0].relevance(e.relevances["conv1"], small_input, rule=rc.ZPlusRule())
    np.testing.assert_allclose(below, e.relevance, rtol=1e-12)
    assert list(lrp(small_input, record="conv2").relevances) == ["conv2"]
    assert list(lrp(small_input, record=2).relevances) == ["conv2"]
    assert len(lrp(small_input).relevances) == 0
    with pytest.raises(UnknownLayerError, match="was not recorded"):
        _ = e.relevances["conv2"]
    with pytest.raises(UnknownLayerError):
        _ = e.relevances["conv3"]
    with pytest.raises(UnknownLayerError, match="did you mean"):
        lrp(small_input, record=["conv3"])


# What cannot be explained -----------------------------------------------------------------------------------


def test_softmax_is_refused_and_can_be_stripped(small_model, small_input):
    layers = list(small_model)
    for ending in [[*layers, L.Softmax()], [*layers[:-1], L.Dense(layers[-1].weight, activation="softmax")]]:
        model = rc.Sequential(ending)
        with pytest.raises(SoftmaxError, match=r"strip_softmax\(model\)"):
            rc.LRP(model)
        stripped = rc.strip_softmax(model)
        assert rc.LRP(stripped)(small_input).relevance.shape == small_input.shape
        powers = np.exp(stripped.forward(small_input))
        np.testing.assert_allclose(
            model.forward(small_input), powers / powers.sum(axis=1, keepdims=True), rtol=1e-9
        )


def test_numbers_that_overflow():
    model = rc.Sequential(
        [L.Dense(np.full((2, 2), 1e30, np.float32)), L.Dense(np.full((2, 2), 1e30, np.float32))]
    )
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(NonFiniteError, match=r"Dense.*dense2.*inf"),
    ):
        rc.LRP(model)(np.ones((1, 2), np.float32))


def test_an_overflow_that_a_relu_would_hide():
    weight = np.full((2, 2), -1e30, np.float32)
    model = rc.Sequential(
        [L.Dense(-weight), L.Dense(weight, activation="relu"), L.Dense(np.eye(2, dtype="f4"))]
    )
    for compute in model.forward, rc.LRP(model):
        with np.errstate(over="ignore"), pytest.raises(NonFiniteError, match=r"dense2.*-inf"):
            compute(np.ones((1, 2), np.float32))


def test_the_input_may_change_after_the_trace(small_model, small_input):
    lrp = rc.LRP(small_model)
    expected = lrp(small_input)
    x = small_input.copy()
    trace = lrp.trace(x)
    x[:] = 1
    seed = lrp.seed(trace, [expected.selected[:, None]])
    np.testing.assert_array_equal(trace.pull(seed)[0][0], expected.relevance)
    np.testing.assert_array_equal(trace.input, small_input)


def test_bad_inputs(small_model, small_input):
    lrp = rc.LRP(small_model)
    with pytest.raises(NonFiniteError):
        lrp(small_input * np.inf)
    with pytest.raises(ShapeError):
        lrp(small_input[0])
    with pytest.raises(ArrayTypeError):
        lrp(small_input.astype(complex))


# Values, not state ------------------------------------------------------------------------------------------


def test_analyzers_are_frozen(small_model):
    with pytest.raises(ParameterError, match="expected a model, got 'lenet5'"):
        rc.LRP("lenet5")
    lrp = rc.LRP(small_model)
    with pytest.raises(FrozenInstanceError):
        lrp.model = None


def test_several_threads(small_model, rng):
    lrp = rc.LRP(small_model, rc.EpsilonPlus())
    inputs = [rng.normal(size=(3, 2, 8, 8)) for _ in range(16)]
    expected = [lrp(x).relevance for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for together, alone in zip(pool.map(lambda x: lrp(x).relevance, inputs), expected, strict=True):
            np.testing.assert_array_equal(together, alone)


def test_a_trace_can_be_pulled_back_from_any_layer(small_model, small_input):
    lrp = rc.LRP(small_model, rc.EpsilonPlus())
    e = lrp(small_input, record=["conv2"])
    trace = lrp.trace(small_input)
    for _ in range(2):
        for layer in 2, "conv2", -4:
            R_in, recorded = trace.pull(e.relevances["conv2"], at=layer, record=[0])
            np.testing.assert_array_equal(R_in, e.relevance)
            np.testing.assert_array_equal(trace.pull(recorded[0], at="conv1")[0], e.relevance)
    R = np.ones_like(e.relevances["conv2"])
    np.testing.assert_array_equal(trace.pull(R, at=2, down_to="conv2")[0], R)
    with pytest.raises(ParameterError, match="cannot pull from layer 'conv1' to 'conv2'"):
        trace.pull(R, at="conv1", down_to="conv2")
    with pytest.raises(UnknownLayerError):
        trace.pull(R, at="conv3")
    with pytest.raises(ShapeError, match=r"relevance of layer 'conv1': got shape"):
        trace.pull(R, at="conv1")


def test_a_trace_may_end_at_a_layer(small_model, small_input):
    lrp = rc.LRP(small_model, rc.EpsilonPlus())
    k = small_model.index("conv2")
    e = lrp(small_input, output=1, record=["conv1", "conv2"])
    trace = lrp.trace(small_input, down_to=k)
    for layer in "conv1", "conv2":
        np.testing.assert_allclose(
            trace.outputs[small_model.index(layer)], e.activations[layer], rtol=1e-12, atol=1e-12
        )
    seed = lrp.seed(trace, [e.selected[:, None]])[0]
    np.testing.assert_allclose(trace.pull(seed, down_to=k)[0], e.relevances["conv2"], rtol=1e-12, atol=1e-12)
    with pytest.raises(ParameterError, match="this trace ends above it"):
        trace.pull(seed)


@pytest.mark.parametrize("name", COMPOSITES)
def test_a_pickled_analyzer_gives_the_same(small_model, small_input, name):
    lrp = rc.LRP(small_model, COMPOSITES[name], dialect="zennit", threads=1, normalize_output_relevance=False)
    again = pickle.loads(pickle.dumps(lrp))
    np.testing.assert_array_equal(again(small_input).relevance, lrp(small_input).relevance)
    assert repr(again) == repr(lrp)
    assert (again.threads, again.normalize_output_relevance) == (1, False)
    exactly = pickle.loads(pickle.dumps(rc.LRP(small_model, dtype="longdouble")))
    assert exactly(small_input).relevance.dtype == np.longdouble


def test_print(small_model, small_input):
    e = rc.LRP(small_model)(small_input, conditions=[{"y": [0]}, {"y": [1]}], record=["conv1"])
    text = "Explanation(relevance (8, 2, 8, 8) float64; output (4, 3); 2 conditions; recorded conv1)"
    assert repr(e) == text
