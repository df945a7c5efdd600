"""Forward from a layer on, on any graph."""

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.concepts.forward import forward_from
from refcrp.errors import ArrayTypeError, NonFiniteError, ParameterError, ShapeError, UnknownLayerError

W = np.array([[1.0, 2], [3, 4]])


def branches():
    """y = left(mid) + right(mid) + x, with left = W·mid, right = 10·mid, mid = W·x."""
    return rc.Graph(
        [
            ("mid", L.Dense(W), ["x"]),
            ("left", L.Dense(W), ["mid"]),
            ("right", L.Dense(10 * np.eye(2)), ["mid"]),
            ("y1", L.Add(), ["left", "right", "x"]),
        ]
    )


X = np.array([[1.0, 1.0]])  # mid = (3, 7), left = (17, 37), right = (30, 70), y1 = (48, 108)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, [48, 108]),
        ({"mid": [[1, 0]]}, [1 + 10 + 1, 3 + 0 + 1]),
        ({"left": [[0, 0]]}, [31, 71]),
        ({"mid": [[1, 0]], "right": [[5, 5]]}, [1 + 5 + 1, 3 + 5 + 1]),
        ({-1: [[7, 8]]}, [7, 8]),
        ({0: [[0, 0]], "y1": [[7, 8]]}, [7, 8]),
    ],
)
def test_by_hand(changed, expected):
    model = branches()
    outputs = rc.LRP(model).trace(X).outputs
    np.testing.assert_array_equal(forward_from(model, changed, X, outputs), [expected])


def test_only_what_depends_on_the_change_is_computed():
    model = branches()
    outputs = [None, np.array([[100.0, 100.0]]), np.zeros((1, 2)), np.zeros((1, 2))]
    y = forward_from(model, {"right": [[1.0, 2.0]]}, X, outputs)
    np.testing.assert_array_equal(y, [[102, 103]])  # what was given for "left" is taken as it is


def test_unchanged_values_give_the_same_bits(small_model, small_input):
    outputs = rc.LRP(small_model).trace(small_input).outputs
    for k in range(len(small_model)):
        y = forward_from(small_model, {k: outputs[k]}, small_input, outputs)
        np.testing.assert_array_equal(y, small_model.forward(small_input))


def test_errors():
    model = branches()
    outputs = rc.LRP(model).trace(X).outputs
    for error, changed in [
        (UnknownLayerError, {"middle": [[1, 2]]}),
        (ShapeError, {"mid": [[1, 2, 3]]}),
        (ShapeError, {"mid": [[1, 2], [1, 2]]}),
        (NonFiniteError, {"mid": [[np.nan, 2]]}),
        (NonFiniteError, {"mid": [[1e308, 1e308]]}),
        (ArrayTypeError, {"mid": rc.exact([[0.5, 1]])}),
    ]:
        with pytest.raises(error):
            forward_from(model, changed, X, outputs)
    with pytest.raises(ParameterError, match="3 layers, the model has 4"):
        forward_from(model, {}, X, outputs[:3])
