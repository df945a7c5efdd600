"""Receptive fields, beside what really reaches a neuron when pixels change."""

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import FeatureError, ShapeError, UnknownLayerError

RNG = np.random.default_rng(0)


def ones(*shape):
    return np.ones(shape)


# Every weight is positive and every function increases, so a change of a pixel shows wherever it is read.
# Max pooling shows it for pixels that are raised above all others.
IMAGES = {
    "conv": [L.Conv2d(ones(2, 1, 3, 2))],
    "padded": [L.Conv2d(ones(2, 1, 3, 3), padding=1), L.Conv2d(ones(2, 2, 3, 3), stride=2, padding=(1, 0))],
    "dilated": [L.Conv2d(ones(1, 1, 2, 2), dilation=3, padding=1)],
    "uneven": [L.Conv2d(ones(1, 1, 3, 3), stride=2, padding=(0, 1, 2, 0))],
    "grouped": [L.Conv2d(ones(2, 1, 1, 1)), L.Conv2d(ones(2, 1, 3, 3), groups=2)],
    "transposed": [
        L.Conv2d(ones(1, 1, 3, 3), stride=2),
        L.ConvTranspose2d(ones(1, 2, 3, 2), stride=2, padding=1, output_padding=1, name="up"),
    ],
    "pools": [L.Conv2d(ones(1, 1, 2, 2)), L.MaxPool(2), L.AvgPool(2, 1, 1)],
    "uneven-pool": [L.MaxPool(3, 2, (0, 1, 1, 1))],
    "adaptive": [L.AdaptiveAvgPool((3, 4)), L.AdaptiveMaxPool((2, 3))],
    "global": [L.Conv2d(ones(2, 1, 2, 2)), L.GlobalAvgPool()],
    "upsampled": [L.AvgPool(2), L.UpsampleBilinear(2), L.UpsampleNearest(2)],
    "pointwise": [
        L.Conv2d(ones(2, 1, 2, 2)),
        *(L.Scale(ones(2)), L.BatchNorm(ones(2), ones(2)), L.PReLU(0.5 * ones(2)), L.LeakyReLU()),
        *(L.Dropout(), L.Identity(), L.Multiply(2.0), L.ZeroPad(1)),
    ],
    "dense": [L.Conv2d(ones(1, 1, 2, 2)), L.Flatten(), L.Dense(ones(3, 56))],
    "residual": [
        L.Conv2d(ones(1, 1, 1, 1)),
        rc.Residual([L.Conv2d(ones(1, 1, 1, 3), padding=(0, 1)), L.Conv2d(ones(1, 1, 3, 1), padding=(1, 0))]),
    ],
    "parallel": [
        rc.Parallel(L.Conv2d(ones(1, 1, 1, 3), padding=(0, 1)), L.Conv2d(ones(1, 1, 5, 1), padding=(2, 0)))
    ],
    "permuted": [L.Conv2d(ones(2, 1, 2, 2)), L.Permute((0, 1, 3, 2))],
}


def pixels_that_matter(model, layer, position):
    """Find by trying which pixels move any channel of a position."""
    channels, height, width = model.input_shape
    x = np.ones((1 + height * width, channels, height, width))
    for k, (row, column) in enumerate(np.ndindex(height, width)):
        x[1 + k, :, row, column] = 5
    output = rc.LRP(model).trace(x).pulls[layer].output
    at_position = output.reshape(*output.shape[:2], -1)[:, :, position]
    return (at_position[1:] != at_position[0]).any(axis=1).reshape(height, width)


@pytest.mark.parametrize("name", IMAGES)
def test_it_is_what_matters(name):
    model = rc.Sequential(IMAGES[name], input_shape=(1, 8, 9))
    for layer, shape in enumerate(model.shapes):
        positions = int(np.prod(shape[1:]))
        for position in {0, positions // 3, positions // 2, positions - 1}:
            rows, columns = rc.receptive_field(model, layer, position)
            matters = pixels_that_matter(model, layer, position)
            if isinstance(model[layer], L.Permute):
                assert (rows, columns) == (slice(0, 8), slice(0, 9))  # what it moves is not followed
            elif matters.any():
                places = np.argwhere(matters)
                (top, left), (bottom, right) = places.min(axis=0), places.max(axis=0) + 1
                assert (rows, columns) == (slice(top, bottom), slice(left, right)), (layer, position)
            else:
                assert rows.stop == rows.start or columns.stop == columns.start


def test_lenet():
    model = rc.load_model("lenet5")
    assert rc.receptive_field(model, "conv1", 24 * 2 + 3) == (slice(2, 7), slice(3, 8))
    # conv2 reads 5 x 5 pixels of pool1, each of which sees 2 x 2 of conv1: 14 x 14 pixels
    assert rc.receptive_field(model, "conv2", 8 * 1 + 7) == (slice(2, 16), slice(14, 28))
    assert rc.receptive_field(model, "dense1", 0) == (slice(0, 28), slice(0, 28))


def test_padding_alone_is_nothing():
    model = rc.Sequential([L.Conv2d(ones(1, 1, 1, 1), padding=2)], input_shape=(1, 3, 3))
    assert rc.receptive_field(model, 0, 0) == (slice(0, 0), slice(0, 0))


def test_wrong():
    model = rc.load_model("lenet5")
    with pytest.raises(FeatureError, match="no position 64: layer 'conv2' has 8 x 8"):
        rc.receptive_field(model, "conv2", 64)
    with pytest.raises(FeatureError, match="no position 1: layer 'dense1' has 1 x 1"):
        rc.receptive_field(model, "dense1", 1)
    with pytest.raises(UnknownLayerError, match="conv2"):
        rc.receptive_field(model, "conv", 0)
    open_model = rc.Sequential([L.Conv2d(ones(1, 1, 2, 2))])
    with pytest.raises(ShapeError, match="expected an input"):
        rc.receptive_field(open_model, 0, 0)
    assert rc.receptive_field(open_model, 0, 1, (1, 3, 3)) == (slice(0, 2), slice(1, 3))
