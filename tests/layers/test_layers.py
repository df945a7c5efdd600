"""One table over all layers, and what is special about each."""

import pickle
from dataclasses import FrozenInstanceError
from fractions import Fraction

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ArrayTypeError, ModelError, NonFiniteError, ParameterError, ShapeError

IMAGE = (3, 6, 6)
ALL = {
    "conv": (
        L.Conv2d(np.ones((4, 3, 3, 3)), np.zeros(4), padding=1, activation="relu"),
        IMAGE,
        (4, 6, 6),
        112,
    ),
    "dense": (L.Dense(np.ones((4, 5)), np.zeros(4)), (5,), (4,), 24),
    "maxpool": (L.MaxPool(2), IMAGE, (3, 3, 3), 0),
    "maxpool padded": (L.MaxPool(3, stride=2, padding=1), IMAGE, (3, 3, 3), 0),
    "avgpool": (L.AvgPool((2, 3)), IMAGE, (3, 3, 2), 0),
    "global max": (L.GlobalMaxPool(), IMAGE, (3, 1, 1), 0),
    "global avg": (L.GlobalAvgPool(), IMAGE, (3, 1, 1), 0),
    "flatten": (L.Flatten(), IMAGE, (108,), 0),
    "dropout": (L.Dropout(0.3), IMAGE, IMAGE, 0),
    "relu": (L.ReLU(), IMAGE, IMAGE, 0),
    "leaky": (L.LeakyReLU(0.2), IMAGE, IMAGE, 0),
    "elu": (L.ELU(), IMAGE, IMAGE, 0),
    "gelu": (L.GELU(), IMAGE, IMAGE, 0),
    "silu": (L.SiLU(), IMAGE, IMAGE, 0),
    "tanh": (L.Tanh(), IMAGE, IMAGE, 0),
    "sigmoid": (L.Sigmoid(), IMAGE, IMAGE, 0),
    "softmax": (L.Softmax(), (5,), (5,), 0),
    "scale": (L.Scale(np.ones(3), np.ones(3)), IMAGE, IMAGE, 6),
    "scale rows": (L.Scale(np.ones(6), axis=2), IMAGE, IMAGE, 6),
    "scale pixels": (L.Scale(np.ones((6, 6)), np.ones((6, 6)), axis=-2), IMAGE, IMAGE, 72),
    "batchnorm": (L.BatchNorm(np.zeros(3), np.ones(3), np.ones(3), np.ones(3)), IMAGE, IMAGE, 12),
    "layernorm": (L.LayerNorm(np.ones(6)), IMAGE, IMAGE, 6),
    "layernorm without weight": (L.LayerNorm(shape=(6, 6)), IMAGE, IMAGE, 0),
    "groupnorm": (L.GroupNorm(3, np.ones(3), np.ones(3)), IMAGE, IMAGE, 6),
    "instancenorm": (L.InstanceNorm(), IMAGE, IMAGE, 0),
    "conv transpose": (
        L.ConvTranspose2d(np.ones((3, 4, 3, 3)), np.zeros(4), stride=2, output_padding=1, activation="relu"),
        IMAGE,
        (4, 14, 14),
        112,
    ),
    "conv1d": (L.conv1d(np.ones((4, 3, 3)), np.zeros(4), padding=1), (3, 1, 8), (4, 1, 8), 40),
    "adaptive max": (L.AdaptiveMaxPool(3), IMAGE, (3, 3, 3), 0),
    "adaptive max uneven": (L.AdaptiveMaxPool((4, 7)), IMAGE, (3, 4, 7), 0),
    "adaptive avg": (L.AdaptiveAvgPool((2, 4)), IMAGE, (3, 2, 4), 0),
    "nearest": (L.UpsampleNearest(1.5), IMAGE, (3, 9, 9), 0),
    "bilinear": (L.UpsampleBilinear(size=(9, 4)), IMAGE, (3, 9, 4), 0),
    "zeropad": (L.ZeroPad((0, 1, 2, 3)), IMAGE, (3, 7, 11), 0),
    "identity": (L.Identity(), IMAGE, IMAGE, 0),
    "reshape": (L.Reshape((-1, 4)), IMAGE, (27, 4), 0),
    "permute": (L.Permute((0, 2, 3, 1)), IMAGE, (6, 6, 3), 0),
    "relu6": (L.ReLU6(), IMAGE, IMAGE, 0),
    "hardtanh": (L.HardTanh(-1, 0.5), IMAGE, IMAGE, 0),
    "prelu": (L.PReLU(np.ones(3) / 2), IMAGE, IMAGE, 3),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
def test_forward_shape_and_type(name, dtype, rng):
    layer, shape, expected, parameters = ALL[name]
    if name == "gelu" and dtype is np.longdouble:
        with pytest.raises(ArrayTypeError, match="double precision only"):
            layer.forward(np.zeros((1, *shape), dtype))
        layer = L.GELU(approximate=True)
    x = rng.normal(size=(2, *shape)).astype(dtype)
    y = layer.astype(dtype).forward(x)
    assert y.shape == (2, *expected)
    assert y.dtype == dtype
    assert layer.output_shape(shape) == expected
    assert layer.parameter_count == parameters
    singles = np.concatenate([layer.astype(dtype).forward(x[k : k + 1]) for k in range(2)])
    np.testing.assert_allclose(y, singles, rtol=1e-6)
    assert layer.forward(np.empty((0, *shape))).shape == (0, *expected)


@pytest.mark.parametrize("name", [n for n in ALL if n != "softmax"])
def test_relevance_shape_and_type(name, rng):
    layer, shape, expected, _ = ALL[name]
    rule = rc.LayerNormRule() if isinstance(layer, L.SampleNorm) else rc.ZeroRule()
    for dtype in np.float32, np.float64:
        x = rng.normal(size=(2, *shape)).astype(dtype)
        R = rng.normal(size=(3, 2, *expected)).astype(dtype)
        typed = layer.astype(dtype)
        R_in = typed.relevance(R, x, rule=rule)
        assert R_in.shape == (3, *x.shape)
        assert R_in.dtype == dtype
        np.testing.assert_allclose(R_in[1], typed.relevance(R[1], x, rule=rule), rtol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_layers_are_frozen(name):
    layer = ALL[name][0]
    with pytest.raises(FrozenInstanceError):
        layer.name = "other"
    for array in layer.arrays().values():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize("name", ALL)
def test_bad_inputs(name):
    layer, shape, _, _ = ALL[name]
    with pytest.raises(NonFiniteError):
        layer.forward(np.full((1, *shape), np.nan))
    with pytest.raises(ArrayTypeError):
        layer.forward(np.zeros((1, *shape), np.float16))
    with pytest.raises(ShapeError):
        layer.forward(1.0)


@pytest.mark.parametrize(
    "name", ["conv", "dense", "maxpool", "avgpool", "global max", "global avg", "scale", "layernorm"]
)
def test_wrong_shapes_name_layer_and_expectation(name):
    layer, shape, _, _ = ALL[name]
    wrong = (
        (1, shape[0] + 1, *shape[1:-1], 7)
        if len(shape) == 3 and "ool" not in name and "glob" not in name
        else (1, 2)
    )
    wrong = (1, 9) if name == "dense" else wrong
    with pytest.raises(ShapeError, match=r"expected \("):
        layer.forward(np.zeros(wrong))


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            L.ConvTranspose2d(np.ones((3, 2, 1, 1))),
            (2, 4, 4),
            r"got shape \(2, 4, 4\), expected \(3, \?, \?\)",
        ),
        (L.ConvTranspose2d(np.ones((1, 1, 1, 1)), padding=2), (1, 4, 4), "leaves nothing"),
        (L.AdaptiveAvgPool(2), (4, 4), r"expected \("),
        (L.AdaptiveMaxPool(2), (4, 4), r"expected \("),
        (L.UpsampleNearest(0.25), (1, 4, 3), "nothing is left"),
        (L.UpsampleBilinear(2), (4,), r"expected \("),
        (L.ZeroPad(1), (4, 4), r"expected \("),
        (L.Reshape((2, 3)), (7,), r"\(7,\) has 7 values"),
        (L.Reshape((-1, 3)), (7,), r"\(7,\) has 7 values"),
        (L.Permute((0, 2, 1)), (7,), r"expected \("),
        (L.GroupNorm(2), (3, 4, 4), "do not divide"),
        (L.GroupNorm(2, np.ones(4)), (6, 4, 4), r"expected \(4,\)"),
        (L.InstanceNorm(np.ones(4)), (6, 4, 4), r"expected \(4,\)"),
        (L.PReLU(np.ones(3)), (2, 4), r"expected \(3,\)"),
    ],
)
def test_shapes_that_do_not_fit(layer, shape, message):
    with pytest.raises(ShapeError, match=message):
        layer.output_shape(shape)
    with pytest.raises(ShapeError, match=message):
        layer.forward(np.zeros((2, *shape)))


def test_parameters_are_copied_and_shared_safely():
    weight = np.ones((2, 3))
    layer = L.Dense(weight, [0, 1])
    weight[0, 0] = 100
    assert layer.weight[0, 0] == 1
    assert layer.bias.dtype == np.float64
    assert L.Dense(layer.weight).weight is layer.weight


def test_parameter_types_are_brought_together():
    assert L.Dense(np.ones((2, 2), np.float32), [0, 1]).bias.dtype == np.float32
    mixed = L.Dense(np.ones((2, 2), np.float32), np.zeros(2))
    assert mixed.weight.dtype == mixed.bias.dtype == np.float64
    rational = L.Dense(np.full((1, 1), Fraction(1, 3)), [0.5])
    assert rational.bias[0] == Fraction(1, 2)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: L.Dense(np.ones(3)), ShapeError),
        (lambda: L.Dense(np.ones((2, 3)), np.ones(3)), ShapeError),
        (lambda: L.Dense(np.full((2, 3), np.nan)), NonFiniteError),
        (lambda: L.Dense(np.ones((2, 2), complex)), ArrayTypeError),
        (lambda: L.Dense(np.ones((2, 2)), activation="rely"), ParameterError),
        (lambda: L.Dense(np.ones((2, 2)), name=""), ParameterError),
        (lambda: L.Dense(np.ones((2, 2)), name=3), ParameterError),
        (lambda: L.Conv2d(np.ones((2, 3))), ShapeError),
        (lambda: L.Conv2d(np.ones((0, 3, 1, 1))), ShapeError),
        (lambda: L.Conv2d(np.ones((2, 3, 1, 1)), np.ones(3)), ShapeError),
        (lambda: L.Conv2d(np.ones((3, 1, 1, 1)), groups=2), ShapeError),
        (lambda: L.Conv2d(np.ones((2, 1, 1, 1)), stride=0), ParameterError),
        (lambda: L.Conv2d(np.ones((2, 1, 1, 1)), stride=1.5), ParameterError),
        (lambda: L.Conv2d(np.ones((2, 1, 1, 1)), padding=-1), ParameterError),
        (lambda: L.Conv2d(np.ones((2, 1, 1, 1)), padding=(1, 2, 3)), ParameterError),
        (lambda: L.Conv2d(np.ones((2, 1, 1, 1)), dilation=True), ParameterError),
        (lambda: L.Conv2d(np.ones((2, 1, 1, 1)), groups=0), ParameterError),
        (lambda: L.MaxPool(0), ParameterError),
        (lambda: L.MaxPool(2, padding=2), ParameterError),
        (lambda: L.AvgPool("2"), ParameterError),
        (lambda: L.Dropout(1.5), ParameterError),
        (lambda: L.Dense(None), ParameterError),
        (lambda: L.Dense([[1, 2], [3]]), ShapeError),
        (lambda: L.Dense([[1, None]]), ArrayTypeError),
        (lambda: L.Dense(np.ones((2, 2)), activation=["relu"]), ParameterError),
        (lambda: L.Dense(np.ones((2, 2)), name="a" * 201), ParameterError),
        (lambda: L.Dense(np.ones((2, 2)), name="a\0"), ParameterError),
        (lambda: L.Conv2d(np.ones((2, 1, 1, 1)), stride=10**30), ParameterError),
        (lambda: L.Dense(np.ones((2, 2))).astype(int), ArrayTypeError),
        (lambda: L.Dense(np.ones((2, 2))).astype(bool), ArrayTypeError),
        (lambda: L.Conv2d(np.ones((2, 1, 1, 1)), groups=(2, 2)), ParameterError),
        (lambda: L.Dense(np.ones((0, 3))), ShapeError),
        (lambda: L.AvgPool(2, count_include_pad="false"), ParameterError),
        (lambda: L.GELU(approximate="no"), ParameterError),
        (lambda: L.LeakyReLU(np.nan), ParameterError),
        (lambda: L.ELU("1"), ParameterError),
        (lambda: L.Scale(np.float64(1)), ShapeError),
        (lambda: L.Scale(np.ones((2, 2)), axis=-1), ParameterError),
        (lambda: L.Scale(np.ones(2), axis=0), ParameterError),
        (lambda: L.Scale(np.ones(2), axis="1"), ParameterError),
        (lambda: L.Scale(np.ones(2), np.ones(3)), ShapeError),
        (lambda: L.BatchNorm(np.zeros(2), np.ones(3)), ShapeError),
        (lambda: L.BatchNorm(np.zeros(2), -np.ones(2)), ParameterError),
        (lambda: L.BatchNorm(np.zeros(2), np.ones(2), epsilon=-1), ParameterError),
        (lambda: L.LayerNorm(np.float64(1)), ShapeError),
        (lambda: L.LayerNorm(np.ones(2), np.ones(3)), ShapeError),
        (L.LayerNorm, ParameterError),
        (lambda: L.LayerNorm(shape=()), ShapeError),
        (lambda: L.LayerNorm(shape=(2, 0)), ParameterError),
        (lambda: L.LayerNorm(np.ones(2), shape=(3,)), ShapeError),
        (lambda: L.LayerNorm(np.ones(2), epsilon=-1), ParameterError),
        (lambda: L.GroupNorm(2, np.ones(3)), ShapeError),
        (lambda: L.GroupNorm(0), ParameterError),
        (lambda: L.GroupNorm(1, np.ones(3), np.ones(2)), ShapeError),
        (lambda: L.InstanceNorm(np.ones((3, 1))), ShapeError),
        (lambda: L.ConvTranspose2d(np.ones((2, 3))), ShapeError),
        (lambda: L.ConvTranspose2d(np.ones((2, 3, 1, 1)), np.ones(2)), ShapeError),
        (lambda: L.ConvTranspose2d(np.ones((3, 1, 1, 1)), groups=2), ShapeError),
        (lambda: L.ConvTranspose2d(np.ones((1, 1, 1, 1)), stride=2, output_padding=2), ParameterError),
        (lambda: L.ConvTranspose2d(np.ones((1, 1, 1, 1)), output_padding=-1), ParameterError),
        (lambda: L.conv1d(np.ones((2, 3, 1, 1))), ShapeError),
        (lambda: L.conv1d(np.ones((2, 3, 1)), stride=(1, 2)), ParameterError),
        (lambda: L.depthwise_conv2d(np.ones((2, 3, 1))), ShapeError),
        (lambda: L.separable_conv2d(np.ones((2, 3, 1, 1)), np.ones((4, 5))), ShapeError),
        (lambda: L.separable_conv2d(np.ones((2, 3, 1, 1)), np.ones((4, 6, 3, 3))), ShapeError),
        (lambda: L.AdaptiveAvgPool(0), ParameterError),
        (lambda: L.AdaptiveMaxPool(None), ParameterError),
        (L.UpsampleNearest, ParameterError),
        (lambda: L.UpsampleNearest(2, size=3), ParameterError),
        (lambda: L.UpsampleNearest(0), ParameterError),
        (lambda: L.UpsampleNearest(np.inf), ParameterError),
        (lambda: L.UpsampleBilinear((1.5, 2)), ParameterError),
        (lambda: L.UpsampleBilinear(2, align_corners="yes"), ParameterError),
        (lambda: L.ZeroPad((1, 2)), ParameterError),
        (lambda: L.ZeroPad(-1), ParameterError),
        (lambda: L.Reshape(()), ParameterError),
        (lambda: L.Reshape(4), ParameterError),
        (lambda: L.Reshape((-1, -1)), ParameterError),
        (lambda: L.Reshape((0, 3)), ParameterError),
        (lambda: L.Permute((1, 0)), ParameterError),
        (lambda: L.Permute((0, 2)), ParameterError),
        (lambda: L.Permute(0), ParameterError),
        (lambda: L.HardTanh(1, 0), ParameterError),
        (lambda: L.HardTanh(np.nan), ParameterError),
        (lambda: L.PReLU(0.1), ShapeError),
        (lambda: L.PReLU([]), ShapeError),
    ],
)
def test_bad_settings(make, error):
    with pytest.raises(error):
        make()


def test_kernel_larger_than_the_image():
    with pytest.raises(ShapeError, match="does not fit into an image of 2 x 6"):
        L.Conv2d(np.ones((1, 1, 3, 3))).forward(np.zeros((1, 1, 2, 6)))
    with pytest.raises(ShapeError, match="does not fit"):
        L.MaxPool(4).forward(np.zeros((1, 1, 3, 3)))


def test_error_messages_show_the_layer():
    layer = L.Conv2d(np.ones((4, 3, 5, 5)), stride=2, groups=1, activation="relu", name="conv7")
    with pytest.raises(ShapeError) as error:
        layer.forward(np.zeros((1, 2, 9, 9)))
    assert str(error.value) == (
        "Conv2d(3 => 4, 5x5, stride 2, relu, name='conv7'): input, one sample: got shape (2, 9, 9), "
        "expected (3, ?, ?)"
    )


def test_relevance_of_a_wrong_shape():
    layer = L.Dense(np.ones((4, 5)))
    with pytest.raises(ShapeError, match=r"got shape \(2, 5\), expected \(\?, 2, 4\)"):
        layer.relevance(np.ones((2, 5)), np.ones((2, 5)))
    with pytest.raises(NonFiniteError):
        layer.relevance(np.full((2, 4), np.inf), np.ones((2, 5)))


def test_exact_and_rounded_numbers_do_not_mix():
    with pytest.raises(ArrayTypeError, match="do not mix"):
        L.Dense(np.eye(2)).forward(np.array([[Fraction(1), Fraction(2)]]))
    rational = L.Dense(np.eye(2)).astype(object)
    with pytest.raises(ArrayTypeError, match="do not mix"):
        rational.forward(np.ones((1, 2)))
    with pytest.raises(ArrayTypeError, match="do not mix"):
        rational.relevance(np.ones((1, 2)), [[1, 2]])
    with pytest.raises(ModelError, match="some layers are exact"):
        rc.Sequential([rational, L.Dense(np.eye(2))])


def test_object_arrays_become_fractions():
    rational = L.Dense(np.eye(2)).astype(object)
    assert rational.forward(np.array([[0.5, 2]], dtype=object)).tolist() == [[Fraction(1, 2), 2]]
    for bad in np.nan, np.inf:
        with pytest.raises(NonFiniteError, match="NaN or an infinity"):
            rational.forward(np.array([[bad, 1]], dtype=object))


@pytest.mark.parametrize("name", ALL)
def test_a_pickled_layer_is_the_same_and_frozen(name):
    layer, shape, _, _ = ALL[name]
    x = np.random.default_rng(0).normal(size=(2, *shape))
    expected = layer.forward(x)
    again = pickle.loads(pickle.dumps(layer))
    assert repr(again) == repr(layer)
    np.testing.assert_array_equal(again.forward(x), expected)
    assert again.arrays().keys() == layer.arrays().keys()
    assert not any(array.flags.writeable for array in again.arrays().values())
