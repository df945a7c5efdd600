"""Layers as matrices, written out by hand and against the layers themselves."""

from fractions import Fraction

import numpy as np
import pytest

from refcrp.conformance.arithmetic import EXACT, ROUNDED
from refcrp.conformance.cases import LayerSpec, RuleSpec
from refcrp.conformance.intervals import Interval
from refcrp.conformance.matrices import as_matrix, centring
from refcrp.conformance.windows import pool_windows
from refcrp.errors import ParameterError, ShapeError

F = Fraction
PLAIN = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


def matrix_of(kind, shape, arrays=None, arithmetic=EXACT, **settings):
    arrays = {name: np.array(values, dtype=float) for name, values in (arrays or {}).items()}
    return as_matrix(LayerSpec(kind, "layer", RuleSpec("zero"), arrays, settings), shape, arithmetic)


def test_dense_by_hand():
    M = matrix_of("dense", (2,), {"weight": [[1, 0], [3, -4]], "bias": [5, 6]})
    assert M.rows == [[(0, 1), (1, 0)], [(0, 3), (1, -4)]]  # a weight of zero is connected all the same
    assert M([F(1), F(2)]) == [6, 1]
    assert M.transpose([F(1), F(2)], 2) == [7, -8]
    assert matrix_of("dense", (2,), {"weight": [[1, 2]]})([F(1), F(1)]) == [3]


def test_conv_by_hand():
    # one row of three pixels, a kernel of two taps, one pixel of padding on both sides
    M = matrix_of("conv2d", (1, 1, 3), {"weight": [[[[10, 1]]]], "bias": [7]}, **PLAIN | {"padding": (0, 1)})
    assert M.rows == [[(0, 1)], [(0, 10), (1, 1)], [(1, 10), (2, 1)], [(2, 10)]]
    assert M.on_padding == [[10], [], [], [1]]
    assert M.shape == (1, 1, 4)
    assert M.bias == [7] * 4


CONVOLUTIONS = [
    {},
    {"stride": (2, 1)},
    {"padding": (1, 2)},
    {"dilation": (2, 1), "padding": (1, 0)},
    {"groups": 2},
    {"stride": (2, 3), "padding": (2, 1), "dilation": (1, 2), "groups": 2},
]


@pytest.mark.parametrize("settings", CONVOLUTIONS, ids=str)
def test_conv_computes_what_the_layer_does(settings, rng):
    settings = PLAIN | settings
    arrays = {
        "weight": rng.integers(-3, 4, (4, 4 // settings["groups"], 3, 2)),
        "bias": rng.integers(-3, 4, 4),
    }
    x = rng.integers(-3, 4, (1, 4, 6, 7)).astype(float)
    M = matrix_of("conv2d", x.shape[1:], arrays, ROUNDED, **settings)
    floats = {name: array.astype(float) for name, array in arrays.items()}
    y = LayerSpec("conv2d", "c", RuleSpec("zero"), floats, settings).layer.forward(x)
    assert M.shape == y.shape[1:]
    assert M(x.ravel().tolist()) == y.ravel().tolist()
    taps = 4 // settings["groups"] * 6
    assert all(len(row) + len(out) == taps for row, out in zip(M.rows, M.on_padding, strict=True))


def test_scale_and_batch_norm_by_hand():
    a = [F(v) for v in (1, 2, 3, 4)]
    assert matrix_of("scale", (2, 1, 2), {"weight": [2, -1], "bias": [1, 0]})(a) == [3, 5, -3, -4]
    assert matrix_of("scale", (2, 1, 2), {"weight": [2, -1]})(a) == [2, 4, -3, -4]
    arrays = {"mean": [1, 2], "variance": [3, 8], "gamma": [4, 3], "beta": [5, 6]}
    M = matrix_of("batch_norm", (2, 1, 2), arrays, epsilon=1.0)
    assert M(a) == [5, 7, 7, 8]  # the roots are 2 and 3: (a - 1) / 2 · 4 + 5 and (a - 2) / 3 · 3 + 6
    plain = matrix_of("batch_norm", (2,), {"mean": [1, 0], "variance": [2, 4]}, epsilon=0.0)
    (_, W), b = plain.rows[0][0], plain.bias[0]
    assert isinstance(W, Interval)
    assert (W.to_float(), b.to_float()) == (0.5**0.5, -(0.5**0.5))
    assert plain([F(1), F(6)])[1] == 3


def test_average_pooling_by_hand():
    window = {"kernel_size": (1, 2), "stride": (1, 2), "padding": (0, 1)}
    a = [F(v) for v in (1, 2, 3)]
    assert matrix_of("avg_pool", (1, 1, 3), **window, count_include_pad=True)(a) == [F(1, 2), F(5, 2)]
    assert matrix_of("avg_pool", (1, 1, 3), **window, count_include_pad=False)(a) == [1, F(5, 2)]
    assert matrix_of("global_avg_pool", (1, 1, 3))(a) == [2]


def test_pooling_windows_leave_padding_out_and_rest_uncovered():
    settings = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (1, 0)}
    rows, shape = pool_windows("max_pool", settings, (1, 2, 3))
    assert (rows, shape) == ([[0, 1], [3, 4]], (1, 2, 1))
    assert pool_windows("global_max_pool", {}, (2, 1, 2)) == ([[0, 1], [2, 3]], (2, 1, 1))
    assert pool_windows("max_pool", {"kernel_size": 2, "stride": None}, (1, 2, 4))[1] == (1, 1, 2)


def test_centring_takes_the_mean_off():
    assert centring(3, EXACT)([F(1), F(2), F(6)]) == [-2, -1, 3]


@pytest.mark.parametrize(
    ("kind", "shape", "arrays", "settings"),
    [
        ("dense", (3,), {"weight": [[1, 2]]}, {}),
        ("dense", (2, 1), {"weight": [[1, 2]]}, {}),
        ("conv2d", (2, 3, 3), {"weight": [[[[1]]]]}, PLAIN),
        ("conv2d", (1, 1, 1), {"weight": [[[[1, 2]]]]}, PLAIN),
        ("scale", (3,), {"weight": [1, 2]}, {}),
        ("avg_pool", (4,), {}, {"kernel_size": (2, 2)}),
        ("avg_pool", (1, 1, 1), {}, {"kernel_size": (2, 2)}),
    ],
)
def test_samples_that_do_not_fit_are_refused(kind, shape, arrays, settings):
    with pytest.raises(ShapeError, match=r"has shape|does not fit"):
        matrix_of(kind, shape, arrays, **settings)


def test_pooling_with_windows_of_nothing_but_padding_is_refused():
    with pytest.raises(ParameterError, match="more than half"):
        pool_windows("avg_pool", {"kernel_size": (2, 2), "padding": (2, 2)}, (1, 4, 4))
