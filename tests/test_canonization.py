import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ModelError


def batch_norm(rng, channels, dtype=float):
    parts = (
        rng.normal(size=channels),
        rng.uniform(0.5, 2, channels),
        rng.normal(size=channels),
        rng.normal(size=channels),
    )
    return L.BatchNorm(*(p.astype(dtype) for p in parts))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_canonize_folds_batch_norm_and_computes_the_same(rng, dtype, tolerance):
    def normal(*shape):
        return rng.normal(size=shape).astype(dtype)

    model = rc.Sequential(
        [
            L.Conv2d(normal(4, 2, 3, 3), name="conv"),
            batch_norm(rng, 4, dtype),
            L.ReLU(),
            L.Conv2d(normal(6, 2, 3, 3), normal(6), groups=2, padding=1),
            batch_norm(rng, 6, dtype),
            L.Scale(normal(6)),
            L.Flatten(),
            L.Dense(normal(5, 6 * 16)),
            L.Scale(normal(5), normal(5)),
        ],
        input_shape=(2, 6, 6),
    )
    small = rc.canonize(model)
    assert [type(layer).__name__ for layer in small] == ["Conv2d", "ReLU", "Conv2d", "Flatten", "Dense"]
    assert small.names[0] == "conv"
    assert small.input_shape == (2, 6, 6)
    assert small.dtype == dtype
    assert len(model) == 9
    x = normal(3, 2, 6, 6)
    y = model.forward(x)
    np.testing.assert_allclose(small.forward(x), y, rtol=0, atol=tolerance * np.abs(y).max())


def test_canonize_leaves_what_it_cannot_fold(rng):
    model = rc.Sequential(
        [
            batch_norm(rng, 2),
            L.Conv2d(np.ones((2, 2, 1, 1)), padding=1, activation="relu"),
            batch_norm(rng, 2),
        ]
    )
    assert list(map(type, rc.canonize(model))) == list(map(type, model))


@pytest.mark.parametrize("groups", [1, 2])
def test_canonize_folds_into_the_next_layer_where_that_is_exact(groups, rng):
    model = rc.Sequential(
        [
            batch_norm(rng, 4),
            L.Conv2d(rng.normal(size=(6, 4 // groups, 2, 2)), groups=groups, activation="relu"),
            L.GlobalAvgPool(),
            L.Flatten(),
            L.Scale(rng.normal(size=6), rng.normal(size=6)),
            L.Dense(rng.normal(size=(3, 6)), rng.normal(size=3)),
        ]
    )
    small = rc.canonize(model)
    assert [type(layer).__name__ for layer in small] == ["Conv2d", "GlobalAvgPool", "Flatten", "Dense"]
    x = rng.normal(size=(2, 4, 5, 5))
    np.testing.assert_allclose(small.forward(x), model.forward(x), rtol=1e-12, atol=1e-12)


def test_canonize_on_a_graph_folds_only_what_no_one_else_reads(rng):
    conv, read_twice = (
        L.Conv2d(rng.normal(size=(2, 2, 1, 1))),
        L.Conv2d(rng.normal(size=(2, 2, 3, 3)), padding=1),
    )
    model = rc.Graph(
        [
            ("conv", conv, ["x"]),
            ("norm1", batch_norm(rng, 2), ["conv"]),
            ("twice", read_twice, ["norm1"]),
            ("norm2", batch_norm(rng, 2), ["twice"]),
            ("sum", L.Add(), ["twice", "norm2"]),
        ]
    )
    small = rc.canonize(model)
    assert small.names == ("conv", "twice", "norm2", "sum")
    x = rng.normal(size=(2, 2, 4, 4))
    np.testing.assert_allclose(small.forward(x), model.forward(x), rtol=1e-12, atol=1e-12)


def test_strip_softmax(small_model):
    assert rc.strip_softmax(small_model) is small_model
    assert len(rc.strip_softmax(rc.Sequential([*small_model, L.Softmax()]))) == 6
    with pytest.raises(ModelError, match="at least one layer"):
        rc.strip_softmax(rc.Sequential([L.Softmax()]))


@pytest.mark.parametrize("groups", [1, 2])
def test_canonize_folds_into_a_transposed_convolution(groups, rng):
    weight = rng.normal(size=(4, 6 // groups, 2, 3))
    layer = L.ConvTranspose2d(weight, rng.normal(size=6), stride=2, padding=1, groups=groups)
    model = rc.Sequential([layer, batch_norm(rng, 6), L.ReLU()])
    small = rc.canonize(model)
    assert [type(layer).__name__ for layer in small] == ["ConvTranspose2d", "ReLU"]
    x = rng.normal(size=(2, 4, 5, 5))
    np.testing.assert_allclose(small.forward(x), model.forward(x), rtol=1e-12, atol=1e-12)
