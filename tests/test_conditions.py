import numpy as np
import pytest

import refcrp as rc
from refcrp.errors import FeatureError, ParameterError, UnknownLayerError


def masked_by_hand(model, rules, x, seed, masks):
    """Layer by layer, with channels set to zero at the outputs of some layers."""
    inputs = [x]
    for layer in model:
        inputs.append(layer.forward(inputs[-1]))
    R = seed
    for k in reversed(range(len(model))):
        if k in masks:
            keep = np.zeros(R.shape[1], bool)
            keep[masks[k]] = True
            R = np.where(keep.reshape(1, -1, *[1] * (R.ndim - 2)), R, 0)
        R = model[k].relevance(R, inputs[k], rule=rules[k])
    return R


def test_conditions(small_model, small_input):
    lrp = rc.LRP(small_model, rc.EpsilonPlus())
    conditions = [
        {"conv2": [3], "y": [1]},
        {"conv2": [0, 5], "conv1": [2], "y": [1]},
        {2: [1], "y": [0, 2]},
        {"dense1": [0, 1, 2]},
        {"y": [2]},
    ]
    e = lrp(small_input, conditions=conditions, record=["conv1", "conv2"])
    assert e.relevance.shape == (20, 2, 8, 8)
    top = np.eye(3)[e.output.argmax(axis=1)]
    rows = np.tile([[0, 1, 0]], (4, 1)), np.tile([[1, 0, 1]], (4, 1)), np.tile([[0, 0, 1]], (4, 1))
    expected = [
        (rows[0], {2: [3]}),
        (rows[0], {2: [0, 5], 0: [2]}),
        (rows[1], {2: [1]}),
        (top, {4: [0, 1, 2]}),
        (rows[2], {}),
    ]
    for k, (seed, masks) in enumerate(expected):
        by_hand = masked_by_hand(small_model, lrp.rules, small_input, seed.astype(float), masks)
        scale = np.abs(by_hand).max()
        np.testing.assert_allclose(e.relevance[4 * k : 4 * k + 4], by_hand, rtol=1e-10, atol=1e-12 * scale)
    assert [s.shape for s in e.selected] == [(4, 1), (4, 1), (4, 2), (4, 1), (4, 1)]
    assert e.selected[2].tolist() == [[0, 2]] * 4
    assert e.conditions[1] == conditions[1]


def test_relevance_recorded_at_a_conditioned_layer_is_not_masked(small_model, small_input):
    lrp = rc.LRP(small_model, rc.EpsilonPlus())
    free = lrp(small_input, output=1, record=["conv1", "conv2"])
    e = lrp(small_input, conditions=[{"conv2": [3], "y": [1]}], record=["conv1", "conv2"])
    np.testing.assert_array_equal(e.relevances["conv2"], free.relevances["conv2"])
    assert not np.allclose(e.relevances["conv1"], free.relevances["conv1"])


def test_an_empty_list_masks_a_layer_out(small_model, small_input):
    e = rc.LRP(small_model)(small_input, conditions=[{"conv2": []}, {"y": []}])
    assert not e.relevance.any()


@pytest.mark.parametrize(
    ("conditions", "error", "message"),
    [
        ([{"conv3": [1]}], UnknownLayerError, "did you mean 'conv2'"),
        ([{"conv2": [6]}], FeatureError, "no channel 6: layer 'conv2' has 6, numbered 0 to 5"),
        ([{"y": [3]}], FeatureError, "no output neuron 3"),
        ([{"conv2": [-1]}], ParameterError, "layer 'conv2': expected an integer >= 0, got -1"),
        ([{"conv2": 3}], ParameterError, "layer 'conv2': expected a list of integers >= 0, got 3"),
        ([["conv2", 3]], ParameterError, "expected mappings such as"),
        ({"conv2": [3]}, ParameterError, "expected a list of mappings"),
        ([{"conv2": [0], 2: [1]}], ParameterError, "names layer 'conv2' twice"),
        (5, ParameterError, "expected a list of mappings"),
        ([], ParameterError, "expected a list of mappings, one at least"),
    ],
)
def test_wrong_conditions(small_model, small_input, conditions, error, message):
    with pytest.raises(error, match=message):
        rc.LRP(small_model)(small_input, conditions=conditions)


def test_the_output_is_named_once(small_model, small_input):
    lrp = rc.LRP(small_model)
    with pytest.raises(ParameterError, match="the output is named twice"):
        lrp(small_input, output=1, conditions=[{"y": [1]}])
    e = lrp(small_input, output=1, conditions=iter([{"conv2": [0]}]))
    np.testing.assert_array_equal(
        e.relevance, lrp(small_input, conditions=[{"conv2": [0], "y": [1]}]).relevance
    )
