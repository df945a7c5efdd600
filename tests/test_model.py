import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.arrays import exact
from refcrp.errors import (
    ArrayTypeError,
    ModelError,
    NonFiniteError,
    ParameterError,
    ShapeError,
    UnknownLayerError,
)


def test_lookup(small_model):
    assert len(small_model) == 6
    assert small_model[2] is small_model["conv2"] is small_model[-4]
    assert small_model.names == ("conv1", "maxpool1", "conv2", "flatten1", "dense1", "dense2")
    assert [layer.name for layer in small_model] == list(small_model.names)
    assert small_model.parameter_count == 76 + 102 + 485 + 18


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("conv3", "no layer 'conv3'; did you mean 'conv2' or 'conv1'?"),
        ("xyz", "no layer 'xyz'; there are: conv1, maxpool1, conv2, flatten1, dense1, dense2"),
        (6, "no layer 6; the model has layers 0 to 5"),
        (-7, "no layer -7; the model has layers 0 to 5"),
        (True, "a layer is an index or a name, got True"),
        (1.0, "a layer is an index or a name, got 1.0"),
    ],
)
def test_unknown_layers(small_model, layer, message):
    with pytest.raises(UnknownLayerError) as error:
        small_model[layer]
    assert str(error.value) == message
    assert isinstance(error.value, KeyError)


def test_names():
    dense = np.eye(2)
    model = rc.Sequential([L.Dense(dense), L.Dense(dense, name="dense1"), L.Dense(dense), L.ReLU()])
    assert model.names == ("dense2", "dense1", "dense3", "relu1")
    with pytest.raises(ModelError, match="2 layers are called 'a'"):
        rc.Sequential([L.Dense(dense, name="a"), L.ReLU(name="a")])
    with pytest.raises(ModelError, match="'y'"):
        rc.Sequential([L.Dense(dense, name="y")])


def test_not_a_model():
    with pytest.raises(ModelError, match="expected a list of layers"):
        rc.Sequential(None)
    with pytest.raises(ModelError, match="at least one layer"):
        rc.Sequential([])
    with pytest.raises(ModelError, match="layer 1 is"):
        rc.Sequential([L.ReLU(), lambda x: x])


def test_forward_is_the_layers_one_after_the_other(small_model, small_input):
    x = small_input
    for layer in small_model:
        x = layer.forward(x)
    np.testing.assert_array_equal(small_model.forward(small_input), x)
    assert small_model.forward(small_input[:0]).shape == (0, 3)


def test_shapes_are_checked_when_the_model_is_built():
    layers = [L.Conv2d(np.ones((4, 1, 3, 3))), L.MaxPool(2), L.Flatten(), L.Dense(np.ones((2, 36)))]
    model = rc.Sequential(layers, input_shape=(1, 8, 8))
    assert model.shapes == ((4, 6, 6), (4, 3, 3), (36,), (2,))
    assert rc.Sequential(layers).shapes == ((4, None, None), (4, None, None), (None,), (2,))
    with pytest.raises(ShapeError, match=r"layer 3, Dense.*got shape \(64,\), expected \(36,\)"):
        rc.Sequential(layers, input_shape=(1, 10, 10))
    with pytest.raises(ShapeError, match=r"layer 1, Conv2d.*got shape \(4, \?, \?\), expected \(3, \?, \?\)"):
        rc.Sequential([layers[0], L.Conv2d(np.ones((4, 3, 3, 3)))])
    with pytest.raises(ShapeError, match="layer 1, Dense"):
        rc.Sequential([L.Dense(np.ones((3, 2))), L.Dense(np.ones((2, 2)))])


@pytest.mark.parametrize("shape", [(1.9, 8, 8), (1, 0, 8), (1, -8, 8), ("1", 8, 8)])
def test_bad_input_shapes(shape):
    with pytest.raises(ParameterError, match="input_shape: expected an integer >= 1"):
        rc.Sequential([L.ReLU()], input_shape=shape)


@pytest.mark.parametrize("shape", [4, "12", (), (1,) * 9])
def test_input_shapes_that_are_none(shape):
    with pytest.raises(ParameterError, match="input_shape: expected"):
        rc.Sequential([L.ReLU()], input_shape=shape)


def test_bad_inputs(small_model):
    with pytest.raises(ShapeError, match=r"got shape \(2, 8, 8\), expected \(\?, 2, 8, 8\)"):
        small_model.forward(np.zeros((2, 8, 8)))
    x = np.zeros((1, 2, 8, 8))
    x[0, 1, 2, 3] = np.nan
    with pytest.raises(NonFiniteError, match=r"input: nan at index \(0, 1, 2, 3\)"):
        small_model.forward(x)
    with pytest.raises(ArrayTypeError, match="complex128"):
        small_model.forward(np.zeros((1, 2, 8, 8), complex))


def test_integers_take_the_type_of_the_weights(lenet5, digits):
    ink = digits[0][:1] > 0.5
    assert lenet5.forward(ink).dtype == np.float32
    assert lenet5.forward(ink.astype(np.uint8)).dtype == np.float32
    assert lenet5.forward(ink.astype(np.float64)).dtype == np.float64


def test_astype(small_model, small_input):
    single = small_model.astype(np.float32)
    assert single.dtype == np.float32
    assert single.names == small_model.names
    np.testing.assert_allclose(
        single.forward(small_input.astype("f4")), small_model.forward(small_input), rtol=1e-4
    )
    rational = small_model.astype(object)
    y = rational.forward(exact(small_input[:1]))
    np.testing.assert_allclose(y.astype(float), small_model.forward(small_input[:1]), rtol=1e-12)


def test_print(small_model):
    text = repr(small_model)
    assert "Conv2d(2 => 4, 3x3, relu, name='conv1')," in text
    assert text.endswith("], input_shape=(2, 8, 8))")
