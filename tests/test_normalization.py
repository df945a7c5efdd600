from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ParameterError, ShapeError


def test_by_hand():
    n = rc.Normalization(mean=(0.5, 0.25), std=(0.25, 2))
    pixels = np.array([[[[0.0, 1.0]], [[0.25, 0.75]]]])
    np.testing.assert_array_equal(n.normalize(pixels), [[[[-2.0, 2.0]], [[0.0, 0.25]]]])
    np.testing.assert_array_equal(n.pixels(n.normalize(pixels)), pixels)
    np.testing.assert_array_equal(n.normalize(np.array([[1.0, 0.25]])), [[2.0, 0.0]])  # features
    assert n.formula == "(v - (0.5, 0.25)) / (0.25, 2)"


def test_one_number_is_for_all_channels():
    n = rc.Normalization(0.5, [0.5, 1, 0.25])
    assert n == rc.Normalization(mean=(0.5,), std=np.array([0.5, 1, 0.25]))
    assert hash(n) == hash(rc.Normalization((0.5,), (0.5, 1.0, 0.25)))
    np.testing.assert_array_equal(n.normalize(np.ones((2, 3, 1, 1)))[0].ravel(), [1, 0.5, 2])


def test_the_type_is_that_of_the_pixels():
    n = rc.Normalization(0.1, 0.3)
    assert n.normalize(np.ones((1, 1, 2, 2), np.float32)).dtype == np.float32
    exact = rc.Normalization(0.5, 0.25).normalize(rc.exact(np.ones((1, 1, 1, 1))))
    assert exact.item() == Fraction(2)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        (0, 0),
        (0, -1),
        (0, (1, 0)),
        (np.nan, 1),
        (0, np.inf),
        ("0.5", 1),
        ((), 1),
        (0, None),
        (((0, 1),), 1),
        ((0, 1), (1, 2, 3)),
        (0, np.ones(513)),
        (1j, 1),
    ],
)
def test_numbers_that_cannot_be(mean, std):
    with pytest.raises(ParameterError, match="Normalization: "):
        rc.Normalization(mean, std)


def test_as_many_as_channels():
    two = rc.Normalization((0, 1))
    with pytest.raises(ShapeError, match="2 numbers, expected one, or one for each of 3 channels"):
        two.normalize(np.ones((1, 3, 2, 2)))
    with pytest.raises(ShapeError, match="for each of 1 channels"):
        rc.Sequential([L.ReLU()], input_shape=(1, 4, 4)).with_normalization(mean=(0, 1))


def test_every_rewriting_keeps_it(rng):
    model = rc.Sequential(
        [
            L.Conv2d(rng.normal(size=(3, 2, 3, 3)), name="conv"),
            L.BatchNorm(np.zeros(3), np.ones(3)),
            L.Flatten(),
            L.Dense(rng.normal(size=(2, 12)), activation="softmax"),
        ],
        input_shape=(2, 4, 4),
    )
    assert model.normalization is None
    knows = model.with_normalization(mean=(0.5, 0.25), std=2)
    assert model.normalization is None
    expected = rc.Normalization((0.5, 0.25), 2)
    state = {f"{node.name}.{k}": a for node in model.nodes for k, a in node.layer.arrays().items()}
    state = {
        k.replace("mean", "running_mean").replace("variance", "running_var"): a for k, a in state.items()
    }
    for made in [
        knows,
        rc.canonize(knows),
        rc.strip_softmax(knows),
        rc.canonize(rc.strip_softmax(knows)),
        knows.astype(np.float32),
        rc.canonize(knows).astype(object),
        knows.with_layers(list(knows)),
        knows.rewritten({1: None}),
        rc.load_state(knows, state),
    ]:
        assert made.normalization == expected
    assert replace(knows, normalization=None).normalization is None
    assert knows.with_normalization().normalization == rc.Normalization(0, 1)


def test_the_model_takes_input_that_is_normalised_already(small_model, small_input):
    knows = small_model.with_normalization(mean=0.5, std=0.5)
    np.testing.assert_array_equal(knows.forward(small_input), small_model.forward(small_input))


def test_print(small_model):
    text = repr(small_model)
    assert text.endswith("], input_shape=(2, 8, 8))")
    assert (
        repr(small_model.with_normalization(mean=0.5))
        == f"{text}.with_normalization(mean=(0.5,), std=(1.0,))"
    )
