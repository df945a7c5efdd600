"""Keras files: sequences, channels first, shared layers, Theano; merging, cutting and moving."""

import h5py
import numpy as np
import pytest
from keras_files import functional, keras_input, layer, one_layer, sequential, shared, write, write_zip

import refcrp as rc

# Computing as Keras does, slowly ----------------------------------------------------------------------------


def pad(x, k, s, d, padding, value=0.0):
    """Pad (n, length, channels) before and after."""
    total = (k - 1) * d
    if padding == "same":
        total = max((-(-x.shape[1] // s) - 1) * s + total + 1 - x.shape[1], 0)
    before = {"valid": 0, "same": total // 2, "causal": total}[padding]
    after = total - before if padding == "same" else 0
    return np.pad(x, [(0, 0), (before, after), (0, 0)], constant_values=value)


def windows(x, k, s, d):
    """Give (n, windows, k, channels)."""
    count = (x.shape[1] - (k - 1) * d - 1) // s + 1
    return np.stack([x[:, q * s : q * s + (k - 1) * d + 1 : d] for q in range(count)], 1)


def conv1d(x, kernel, stride=1, dilation=1, padding="valid"):
    k = len(kernel)
    seen = windows(pad(x, k, stride, dilation, padding), k, stride, dilation)
    return np.einsum("nqkc,kco->nqo", seen, kernel)


def as_ours(x, channels_first=False):
    """Put axes into refcrp's order, and make sequences images."""
    x = x if channels_first or x.ndim == 2 else np.moveaxis(x, -1, 1)
    return x[:, :, None] if x.ndim == 3 else x


def check(path, x, expected, channels_first=False):
    y = rc.load_model(path).forward(as_ours(x, channels_first))
    np.testing.assert_allclose(y, as_ours(expected, channels_first), atol=1e-5)


# Sequences --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
@pytest.mark.parametrize(("k", "stride", "dilation"), [(1, 1, 1), (2, 1, 2), (3, 2, 1), (4, 3, 1), (3, 1, 3)])
def test_convolution_of_sequences(rng, tmp_path, padding, k, stride, dilation):
    w = rng.normal(size=(k, 2, 3))
    settings = {"kernel_size": [k], "strides": [stride], "dilation_rate": [dilation], "padding": padding}
    part = layer("Conv1D", "l", use_bias=False, **settings)
    x = rng.normal(size=(2, 11, 2))
    path = write(tmp_path / "net.h5", *one_layer(part, (11, 2), {"kernel": w}))
    check(path, x, conv1d(x, w, stride, dilation, padding))


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("k", "stride"), [(2, 2), (3, 1), (3, 2), (2, 3)])
def test_pooling_of_sequences(rng, tmp_path, padding, k, stride):
    """Padding neither wins nor counts."""
    x = rng.normal(size=(2, 10, 3)) - 5
    seen = windows(pad(x, k, stride, 1, padding, np.nan), k, stride, 1)
    for kind, function in (("MaxPooling1D", np.nanmax), ("AveragePooling1D", np.nanmean)):
        part = layer(kind, "l", pool_size=[k], strides=[stride], padding=padding)
        path = write(tmp_path / "net.h5", *one_layer(part, (10, 3)))
        check(path, x, function(seen, axis=2))


def test_a_network_of_sequences(rng, tmp_path):
    """Flattened, sequences are in the order of Keras: position by position."""
    w = {
        "dw": rng.normal(size=(3, 2, 2)), "pw": rng.normal(size=(1, 4, 3)), "bias": rng.normal(size=3),
        "alpha": rng.normal(size=(1, 3)), "fc": rng.normal(size=(54 + 3, 2)),
    }  # fmt: skip
    parts = [
        keras_input((6, 2)),
        layer("SeparableConv1D", "sep", "img", kernel_size=[3], depth_multiplier=2),
        layer("ZeroPadding1D", "pad", "sep", padding=[2, 3]),
        layer("UpSampling1D", "up", "pad", size=2),
        layer("PReLU", "prelu", "up", shared_axes=[1]),
        layer("GlobalMaxPooling1D", "gmp", "prelu"),
        layer("Flatten", "flat", "prelu"),
        layer("Concatenate", "cat", "flat", "gmp"),
        layer("Dense", "fc", "cat", use_bias=False),
    ]
    arrays = {
        "sep": {"depthwise_kernel": w["dw"], "pointwise_kernel": w["pw"], "bias": w["bias"]},
        "prelu": {"alpha": w["alpha"]},
        "fc": {"kernel": w["fc"]},
    }
    x = rng.normal(size=(2, 6, 2))
    h = np.concatenate([conv1d(x[..., c : c + 1], w["dw"][:, c : c + 1]) for c in range(2)], -1)
    h = np.pad(h @ w["pw"][0] + w["bias"], [(0, 0), (2, 3), (0, 0)]).repeat(2, 1)
    h = np.where(h < 0, h * w["alpha"], h)
    expected = np.concatenate([h.reshape(2, -1), h.max(axis=1)], 1) @ w["fc"]
    path = write(tmp_path / "net.h5", functional(parts), arrays)
    check(path, x, expected)
    assert rc.load_model(path).input_shape == (2, 1, 6)


# Channels first, and Theano ---------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["channels_last", "channels_first"])
def test_channels_first(rng, tmp_path, order):
    """Flatten puts channels last if it is told that they are first, and otherwise leaves them where they are."""
    mean, w = rng.normal(size=3), rng.normal(size=(36, 2))
    norm = {"moving_mean": mean, "moving_variance": np.ones(3) - 1e-3}
    parts = [
        keras_input((3, 4, 5)),
        layer("MaxPooling2D", "pool", pool_size=2, strides=1, data_format="channels_first"),
        layer("BatchNormalization", "bn", axis=1, scale=False, center=False),
        layer("Flatten", "flat", data_format=order),
        layer("Dense", "fc", use_bias=False),
    ]
    x = rng.normal(size=(2, 3, 4, 5))
    h = np.stack([x[:, :, i : i + 3, j : j + 4] for i in (0, 1) for j in (0, 1)]).max(axis=0)
    h = h - mean[:, None, None]
    h = np.moveaxis(h, 1, -1) if order == "channels_first" else h
    path = write(tmp_path / "net.h5", sequential(parts), {"bn": norm, "fc": {"kernel": w}})
    check(path, x, h.reshape(2, -1) @ w, channels_first=True)


@pytest.mark.parametrize("place", ["/", "model_weights"])
def test_kernels_of_theano_are_turned_around(rng, tmp_path, place):
    w = rng.normal(size=(3, 2, 1))
    part = layer("Conv1D", "l", kernel_size=[3], use_bias=False)
    x = rng.normal(size=(2, 8, 2))
    path = write(tmp_path / "net.h5", *one_layer(part, (8, 2), {"kernel": w}))
    for backend, kernel in (("tensorflow", w), ("theano", w[::-1])):
        with h5py.File(path, "a") as file:
            file[place].attrs["backend"] = backend
        check(path, x, conv1d(x, kernel))


# Transposed convolution, groups, moving ---------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_transposed_convolution_with_same_padding(rng, tmp_path, k, stride):
    """The smaller half of what is too much is cut off before, the larger one after."""
    w = rng.normal(size=(k, k, 3, 2))
    part = layer(
        "Conv2DTranspose", "l", kernel_size=[k, k], strides=[stride, stride], padding="same", use_bias=False
    )
    x = rng.normal(size=(1, 3, 4, 2))
    painted = np.zeros((1, 3 * stride + k, 4 * stride + k, 3))
    for y, q, i, j in np.ndindex(3, 4, k, k):
        painted[:, y * stride + i, q * stride + j] += x[:, y, q] @ w[i, j].T
    cut = max(k - stride, 0) // 2
    expected = painted[:, cut : cut + 3 * stride, cut : cut + 4 * stride]
    check(write(tmp_path / "net.h5", *one_layer(part, (3, 4, 2), {"kernel": w})), x, expected)


@pytest.mark.parametrize(("groups", "size"), [(1, 6), (2, 3), (-1, 1)])
def test_group_normalization(rng, tmp_path, groups, size):
    gamma, beta = rng.normal(size=(2, 6))
    part = layer("GroupNormalization", "l", groups=groups, axis=-1, epsilon=0.01)
    x = rng.normal(size=(2, 4, 5, 6))
    expected = np.zeros_like(x)
    for n, first in np.ndindex(2, 6 // size):
        group = (n, ..., slice(first * size, (first + 1) * size))
        expected[group] = (x[group] - x[group].mean()) / np.sqrt(x[group].var() + 0.01)
    path = write(tmp_path / "net.h5", *one_layer(part, (4, 5, 6), {"gamma": gamma, "beta": beta}))
    check(path, x, expected * gamma + beta)


@pytest.mark.parametrize("dims", [(1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1)])
def test_permute(rng, tmp_path, dims):
    part = layer("Permute", "l", dims=list(dims))
    x = rng.normal(size=(2, 3, 4, 5))
    check(write(tmp_path / "net.h5", *one_layer(part, (3, 4, 5))), x, x.transpose(0, *dims))


@pytest.mark.parametrize("target", [(5, 4, 3), (1, 60, 1), (1, 1, 60), (20, 3), (3, 20)])
def test_reshape_in_the_order_of_keras(rng, tmp_path, target):
    """Two axes are a sequence, as there is a layer for these."""
    kind = "GlobalMaxPooling1D" if len(target) == 2 else "GlobalMaxPooling2D"
    parts = [keras_input((3, 4, 5)), layer("Reshape", "r", target_shape=list(target)), layer(kind, "g")]
    x = rng.normal(size=(2, 3, 4, 5))
    expected = x.reshape(2, *target).max(axis=tuple(range(1, len(target))))
    check(write(tmp_path / "net.h5", sequential(parts), {}), x, expected)


# Graphs -----------------------------------------------------------------------------------------------------


def test_difference_and_mean(rng, tmp_path):
    parts = [
        keras_input((4,)),
        layer("ReLU", "r", "img"),
        layer("Subtract", "s", "img", "r"),
        layer("Average", "a", "s", "r", "r"),
    ]
    x = rng.normal(size=(3, 4))
    relu = np.maximum(x, 0)
    path = write(tmp_path / "net.h5", functional(parts), {})
    check(path, x, (x - relu + relu + relu) / 3)
    assert rc.load_model(path).names == ("r", "s.multiply", "s", "a.add", "a")


@pytest.mark.parametrize("version", [2, 3])
def test_shared_layers(rng, tmp_path, version):
    """A layer on images of two sizes, and a model whose calls Keras 2 counts from 1; `c_1` is another layer."""
    w = {name: rng.normal(size=(2, 2, 2, 2)) / 3 for name in ("c", "c_1", "in")}
    first = 1 if version == 2 else 0
    settings = {"kernel_size": [2, 2], "use_bias": False, "padding": "same"}
    inner = functional([keras_input((4, 4, 2)), layer("Conv2D", "in", "img", **settings)], version, "m")
    inner |= {"sources": [("c", 1)], "more": [("m", first)]}
    parts = [
        keras_input((4, 4, 2)),
        shared("Conv2D", "c", "img", "c_1", "pool", **settings),
        layer("Conv2D", "c_1", "c", **settings),
        inner,
        layer("MaxPooling2D", "pool", ("m", first + 1), pool_size=[2, 2], strides=[2, 2]),
        layer("Add", "sum", ("c", 2), "pool"),
    ]
    config = functional(parts, version)
    arrays = {"c": {"kernel": w["c"]}, "c_1": {"kernel": w["c_1"]}, "m": {"in/kernel": w["in"]}}
    x = rng.normal(size=(2, 4, 4, 2))

    def conv(x, kernel):
        padded = np.pad(x, [(0, 0), (0, 1), (0, 1), (0, 0)])
        h, width = x.shape[1:3]
        return sum(padded[:, i : i + h, j : j + width] @ kernel[i, j] for i, j in np.ndindex(2, 2))

    h = conv(conv(conv(conv(conv(x, w["c"]), w["c_1"]), w["c"]), w["in"]), w["in"])
    h = h.reshape(2, 2, 2, 2, 2, 2).max(axis=(2, 4))
    paths = [
        write(tmp_path / "net.h5", config, arrays),
        write_zip(
            tmp_path / "net.keras",
            config,
            {
                "layers/conv2d": [w["c"]],
                "layers/conv2d_1": [w["c_1"]],
                "layers/functional/layers/conv2d": [w["in"]],
            },
        ),
    ]
    for path in paths[: 1 if version == 2 else 2]:
        check(path, x, conv(h, w["c"]) + h)
        model = rc.load_model(path)
        assert model.names == ("c", "c_1", "c_2", "m.in", "m.in_1", "pool", "c_3", "sum")
        kernels = {node.name: node.layer.weight for node in model.nodes if hasattr(node.layer, "weight")}
        assert np.shares_memory(kernels["c"], kernels["c_2"])
        assert np.shares_memory(kernels["m.in"], kernels["m.in_1"])
