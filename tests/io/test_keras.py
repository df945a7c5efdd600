import numpy as np
import pytest
from keras_files import functional, keras_input, layer, one_layer, sequential, write

import refcrp as rc

# Computing as Keras does, slowly ----------------------------------------------------------------------------


def same(length, k, s, d=1):
    """TensorFlow's padding of "same": where an output is centred says what lies before it."""
    out = -(-length // s)
    total = max((out - 1) * s + (k - 1) * d + 1 - length, 0)
    return out, total // 2


def conv(x, kernel, bias=0.0, *, stride=1, padding="valid", dilation=1, groups=1):
    """(n, h, w, c) with (kh, kw, c / groups, out), pixel by pixel."""
    kh, kw, cin, cout = kernel.shape
    n, h, w, _ = x.shape
    sizes = [
        same(length, k, stride, dilation)
        if padding == "same"
        else ((length - (k - 1) * dilation - 1) // stride + 1, 0)
        for length, k in ((h, kh), (w, kw))
    ]
    z = np.zeros((n, sizes[0][0], sizes[1][0], cout)) + bias
    for y, q, i, j in np.ndindex(z.shape[1], z.shape[2], kh, kw):
        row, column = y * stride + i * dilation - sizes[0][1], q * stride + j * dilation - sizes[1][1]
        if 0 <= row < h and 0 <= column < w:
            for o in range(cout):
                first = o // (cout // groups) * cin
                z[:, y, q, o] += x[:, row, column, first : first + cin] @ kernel[i, j, :, o]
    return z


def depthwise(x, kernel, **options):
    """(kh, kw, c, multiplier): channel c gives outputs c · multiplier, c · multiplier + 1, ..."""
    return np.concatenate(
        [conv(x[..., c : c + 1], kernel[:, :, c : c + 1], **options) for c in range(x.shape[-1])], -1
    )


def pool(x, k, s, function):
    n, h, w, c = x.shape
    z = np.zeros((n, (h - k) // s + 1, (w - k) // s + 1, c))
    for y, q in np.ndindex(*z.shape[1:3]):
        z[:, y, q] = function(x[:, y * s : y * s + k, q * s : q * s + k], axis=(1, 2))
    return z


def norm(x, w, epsilon=1e-3):
    return (x - w["moving_mean"]) / np.sqrt(w["moving_variance"] + epsilon) * w.get("gamma", 1) + w.get(
        "beta", 0
    )


def norm_weights(rng, n):
    names = ("gamma", "beta", "moving_mean")
    return {k: rng.normal(size=n) for k in names} | {"moving_variance": rng.uniform(0.5, 2, n)}


def relu(x):
    return np.maximum(x, 0)


def check(path, x, expected):
    """Compare with Keras's order of axes."""
    y = rc.load_model(path).forward(np.moveaxis(x, -1, 1) if x.ndim == 4 else x)
    y = np.moveaxis(y, 1, -1) if y.ndim == 4 else y
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, atol=1e-5)


# Good files -------------------------------------------------------------------------------------------------


def test_a_chain(rng, tmp_path):
    w = {
        "conv": {"conv/kernel": rng.normal(size=(3, 3, 2, 4)), "conv/bias": rng.normal(size=4)},
        "bn": {f"bn/{k}": v for k, v in norm_weights(rng, 4).items()},
        "fc": {"fc/kernel": rng.normal(size=(24, 5)), "fc/bias": rng.normal(size=5)},
    }
    parts = [
        keras_input((6, 8, 2)),
        layer("Conv2D", "conv", kernel_size=[3, 3], padding="same", activation="relu", filters=4),
        layer("BatchNormalization", "bn", axis=-1, epsilon=0.01),
        layer("MaxPooling2D", "pool", pool_size=[2, 2], strides=[3, 3]),
        layer("Flatten", "flat"),
        layer("Dropout", "drop", rate=0.3),
        layer("Dense", "fc", units=5, activation="linear"),
    ]
    x = rng.normal(size=(3, 6, 8, 2))
    h = relu(conv(x, w["conv"]["conv/kernel"], w["conv"]["conv/bias"], padding="same"))
    h = norm(h, {k[3:]: v for k, v in w["bn"].items()}, 0.01)
    h = pool(h, 2, 3, np.max).reshape(3, -1)  # of (h, w, c): the order of Keras
    expected = h @ w["fc"]["fc/kernel"] + w["fc"]["fc/bias"]
    w["fc"] = {"fc/kernel:0": w["fc"]["fc/kernel"], "fc/bias:0": w["fc"]["fc/bias"]}
    for version in (2, 3):
        path = write(tmp_path / f"{version}.h5", sequential(parts, version), w)
        check(path, x, expected)
    model = rc.load_model(path)
    assert model.names == ("conv", "bn", "pool", "flat", "drop", "fc")
    assert model.input_shape == (2, 6, 8)


@pytest.mark.parametrize("version", [2, 3])
def test_a_graph(rng, tmp_path, version):
    """Written last to first: the order in the file does not matter. Flattened images side by side, and added."""
    w = {
        "sep": {
            "depthwise_kernel": rng.normal(size=(3, 3, 2, 2)),
            "pointwise_kernel": rng.normal(size=(1, 1, 4, 3)),
            "bias": rng.normal(size=3),
        },
        "dw": {"depthwise_kernel": rng.normal(size=(2, 2, 2, 3)), "bias": rng.normal(size=6)},
        "one": {"kernel": rng.normal(size=(1, 1, 6, 3))},
        "bn": norm_weights(rng, 75),
        "fc": {"kernel": rng.normal(size=(75 + 3 + 75, 4)), "bias": rng.normal(size=4)},
    }
    parts = [
        keras_input((5, 5, 2)),
        layer("SeparableConv2D", "sep", "img", kernel_size=3, depth_multiplier=2, padding="same"),
        layer(
            "DepthwiseConv2D",
            "dw",
            "img",
            kernel_size=2,
            depth_multiplier=3,
            padding="same",
            activation="tanh",
        ),
        layer("Conv2D", "one", "dw", kernel_size=[1, 1], use_bias=False),
        layer("Add", "sum", "sep", "one"),
        layer("Flatten", "flat", "sum"),
        layer("BatchNormalization", "bn", "flat", axis=[1]),
        layer("GlobalAveragePooling2D", "gap", "sum"),
        layer("Concatenate", "cat", "bn", "gap", "flat", axis=-1),
        layer("Dense", "fc", "cat", activation="linear"),
    ]
    x = rng.normal(size=(2, 5, 5, 2))
    a = conv(
        depthwise(x, w["sep"]["depthwise_kernel"], padding="same"),
        w["sep"]["pointwise_kernel"],
        w["sep"]["bias"],
    )
    b = np.tanh(depthwise(x, w["dw"]["depthwise_kernel"], padding="same") + w["dw"]["bias"])
    s = a + conv(b, w["one"]["kernel"])
    flat = s.reshape(2, -1)
    cat = np.concatenate([norm(flat, w["bn"]), s.mean(axis=(1, 2)), flat], 1)
    config = functional(parts[:1] + parts[:0:-1], version, output="fc")
    path = write(tmp_path / "net.h5", config, w)
    check(path, x, cat @ w["fc"]["kernel"] + w["fc"]["bias"])
    assert "sep" in rc.load_model(path).names


def test_models_in_models(rng, tmp_path):
    """Arrays of an inner model lie in one group, under names that may leave out models."""
    kernels = {k: rng.normal(size=(1, 1, 2, 2)) for k in ("block/a/kernel", "deep/a/kernel")}
    deep = functional(
        [keras_input((3, 3, 2), "in"), layer("Conv2D", "a", "in", kernel_size=1, use_bias=False)],
        head="in",
        name="deep",
    )
    deep["sources"] = ("a",)
    block = functional(
        [
            keras_input((3, 3, 2), "in"),
            layer("Conv2D", "a", "in", kernel_size=1, use_bias=False, activation="relu"),
            deep,
        ],
        head="in",
        name="block",
    )
    block["sources"] = ("img",)
    fc = {"kernel": rng.normal(size=(18, 2)), "bias": np.zeros(2)}
    parts = [keras_input((3, 3, 2)), block, layer("Flatten", "y", "block"), layer("Dense", "fc", "y")]
    path = write(tmp_path / "net.h5", functional(parts), {"block": kernels, "fc": fc})
    x = rng.normal(size=(2, 3, 3, 2))
    h = conv(relu(conv(x, kernels["block/a/kernel"])), kernels["deep/a/kernel"])
    check(path, x, h.reshape(2, -1) @ fc["kernel"])
    assert rc.load_model(path).names == ("block.a", "block.deep.a", "y_", "fc")


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize(("kind", "function"), [("MaxPooling2D", np.max), ("AveragePooling2D", np.mean)])
def test_same_padding_of_pooling(rng, tmp_path, stride, kernel, kind, function):
    """Padding neither wins nor counts."""
    part = layer(kind, "pool", pool_size=kernel, strides=stride, padding="same")
    path = write(tmp_path / "net.h5", *one_layer(part, (5, 6, 2)))
    x = rng.normal(size=(2, 5, 6, 2)) - 3
    sizes = [same(length, kernel, stride) for length in (5, 6)]
    expected = np.zeros((2, sizes[0][0], sizes[1][0], 2))
    for y, q in np.ndindex(*expected.shape[1:3]):
        top, left = y * stride - sizes[0][1], q * stride - sizes[1][1]
        seen = x[:, max(top, 0) : top + kernel, max(left, 0) : left + kernel]
        expected[:, y, q] = function(seen, axis=(1, 2))
    check(path, x, expected)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(5, 6), (7, 4)])
def test_same_padding(rng, tmp_path, stride, kernel, size):
    w = rng.normal(size=(kernel, kernel, 2, 3))
    part = layer("Conv2D", "conv", kernel_size=kernel, strides=stride, padding="same", use_bias=False)
    path = write(tmp_path / "net.h5", sequential([keras_input((*size, 2)), part]), {"conv": {"kernel": w}})
    x = rng.normal(size=(2, *size, 2))
    check(path, x, conv(x, w, stride=stride, padding="same"))


SLOPES = np.array([0.5, -1.0, 2.0])
ELEMENTWISE = {
    "relu6": (layer("ReLU", "l", max_value=6.0), {}, lambda x: np.clip(x, 0, 6)),
    "slope": (layer("ReLU", "l", negative_slope=0.25), {}, lambda x: np.where(x < 0, x / 4, x)),
    "leaky 2": (layer("LeakyReLU", "l", alpha=0.5), {}, lambda x: np.where(x < 0, x / 2, x)),
    "leaky 3": (layer("LeakyReLU", "l", negative_slope=0.5), {}, lambda x: np.where(x < 0, x / 2, x)),
    "elu": (layer("ELU", "l", alpha=2), {}, lambda x: np.where(x < 0, 2 * np.expm1(x), x)),
    "prelu": (
        layer("PReLU", "l", shared_axes=[1, 2]),
        {"alpha": SLOPES.reshape(1, 1, 3)},
        lambda x: np.where(x < 0, SLOPES * x, x),
    ),
    "swish": (layer("Activation", "l", activation="swish"), {}, lambda x: x / (1 + np.exp(-x))),
    "rescaling": (layer("Rescaling", "l", scale=2, offset=-1), {}, lambda x: 2 * x - 1),
    "rescaling by channel": (layer("Rescaling", "l", scale=[1, 2, 3], offset=0), {}, lambda x: x * [1, 2, 3]),
    "normalization": (
        layer("Normalization", "l", axis=[-1]),
        {"mean": [1, 2, 3], "variance": [4, 1, 9], "count": 0},
        lambda x: (x - [1, 2, 3]) / [2, 1, 3],
    ),
    "normalization given": (
        layer("Normalization", "l", axis=-1, mean=[[[[1, 2, 3]]]], variance=4),
        {},
        lambda x: (x - [1, 2, 3]) / 2,
    ),
    "batch norm": (
        layer("BatchNormalization", "l", axis=3, scale=False, center=False),
        {"moving_mean": [1, 2, 3], "moving_variance": [4, 1, 9]},
        lambda x: (x - [1, 2, 3]) / np.sqrt(np.array([4, 1, 9]) + 1e-3),
    ),
    "noise": (layer("GaussianNoise", "l", stddev=0.5), {}, lambda x: x),
    "padding": (
        layer("ZeroPadding2D", "l", padding=[[1, 0], [2, 3]]),
        {},
        lambda x: np.pad(x, [(0, 0), (1, 0), (2, 3), (0, 0)]),
    ),
    "upsampling": (layer("UpSampling2D", "l", size=[2, 3]), {}, lambda x: x.repeat(2, 1).repeat(3, 2)),
    "max": (layer("GlobalMaxPooling2D", "l"), {}, lambda x: x.max(axis=(1, 2))),
    "mean": (
        layer("GlobalAveragePooling2D", "l", keepdims=True),
        {},
        lambda x: x.mean(axis=(1, 2), keepdims=True),
    ),
    "average": (
        layer("AveragePooling2D", "l", pool_size=2, strides=1),
        {},
        lambda x: pool(x, 2, 1, np.mean),
    ),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_layer(rng, tmp_path, name):
    part, weights, function = ELEMENTWISE[name]
    x = 4 * rng.normal(size=(2, 4, 5, 3))
    check(write(tmp_path / "net.h5", *one_layer(part, (4, 5, 3), weights)), x, function(x))


def test_transposed_convolution(rng, tmp_path):
    """Every pixel paints (kh, kw, out, in); "valid", where the kernel is smaller than the stride."""
    w = rng.normal(size=(2, 2, 3, 2))
    part = layer("Conv2DTranspose", "up", kernel_size=2, strides=3, use_bias=False)
    path = write(tmp_path / "net.h5", *one_layer(part, (2, 3, 2), {"kernel": w}))
    x = rng.normal(size=(1, 2, 3, 2))
    expected = np.zeros((1, 6, 9, 3))
    for y, q, i, j in np.ndindex(2, 3, 2, 2):
        expected[:, 3 * y + i, 3 * q + j] += x[:, y, q] @ w[i, j].T
    check(path, x, expected)


def test_groups_and_dilation(rng, tmp_path):
    w = rng.normal(size=(2, 2, 2, 6))
    part = layer("Conv2D", "c", kernel_size=2, dilation_rate=2, groups=2, use_bias=False)
    path = write(tmp_path / "net.h5", *one_layer(part, (5, 4, 4), {"kernel": w}))
    x = rng.normal(size=(1, 5, 4, 4))
    check(path, x, conv(x, w, dilation=2, groups=2))


def test_reshaping_there_and_back(rng, tmp_path):
    w = rng.normal(size=(1, 1, 3, 3))
    parts = [
        keras_input((12,)),
        layer("Reshape", "image", target_shape=[2, -1, 3]),
        layer("Conv2D", "c", kernel_size=1, use_bias=False),
        layer("Reshape", "vector", target_shape=[12]),
        layer("Reshape", "again", target_shape=[2, 2, 3]),
    ]
    path = write(tmp_path / "net.h5", sequential(parts), {"c": {"kernel": w}})
    x = rng.normal(size=(2, 12))
    check(path, x, conv(x.reshape(2, 2, 2, 3), w))


def test_concatenation_of_rows(rng, tmp_path):
    parts = [
        keras_input((2, 3, 2)),
        layer("ReLU", "r", "img"),
        layer("Concatenate", "below", "img", "r", axis=1),
        layer("Concatenate", "beside", "below", "below", axis=2),
    ]
    x = rng.normal(size=(2, 2, 3, 2))
    below = np.concatenate([x, relu(x)], 1)
    check(write(tmp_path / "net.h5", functional(parts), {}), x, np.concatenate([below, below], 2))


def test_any_image_size(rng, tmp_path):
    w = rng.normal(size=(3, 3, 1, 2))
    conv_part = layer("Conv2D", "c", kernel_size=3, padding="same", use_bias=False)
    parts = [keras_input((None, None, 1)), conv_part, layer("GlobalAveragePooling2D", "gap")]
    path = write(tmp_path / "net.h5", sequential(parts), {"c": {"kernel": w}})
    x = rng.normal(size=(2, 3, 4, 1))
    check(path, x, conv(x, w, padding="same").mean(axis=(1, 2)))
    assert rc.load_model(path).names == ("c", "gap", "gap.flatten")
