"""Heatmaps that start at a concept, and crops."""

import numpy as np
import pytest

import refcrp as rc
from refcrp.concepts.crops import concept_heatmaps, heatmap_crop, neuron_heatmaps, smoothed
from refcrp.errors import FeatureError, ParameterError, ShapeError


@pytest.fixture(scope="module")
def lrp():
    return rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())


@pytest.fixture(scope="module")
def x():
    return rc.load_digits()[0][[3, 45, 60]]


def test_a_channel_starts_as_its_own_output(lrp, x):
    maps = concept_heatmaps(lrp, x, "conv2", [1, 5, 5])
    a = lrp(x, record="conv2").activations["conv2"]
    for n, channel in enumerate((1, 5, 5)):
        R = np.zeros_like(a[n : n + 1])
        R[0, channel] = a[n, channel]
        expected, _ = lrp.trace(x[n : n + 1]).pull(R, at="conv2")
        np.testing.assert_allclose(maps[n], expected[0].sum(axis=0), rtol=1e-4, atol=1e-6)


def test_neurons_add_up_to_their_channel(lrp, x):
    whole = concept_heatmaps(lrp, x[:1], "conv2", [4])
    parts = [neuron_heatmaps(lrp, x[:1], "conv2", [4], [p]) for p in range(64)]
    np.testing.assert_allclose(np.sum(parts, axis=0), whole, rtol=1e-3, atol=1e-6)


def test_a_neuron_sees_its_receptive_field_alone(lrp, x):
    for position in (0, 27, 63):
        heatmap = neuron_heatmaps(lrp, x[:1], "conv2", [4], [position])[0]
        rows, columns = rc.receptive_field(lrp.model, "conv2", position)
        heatmap[rows, columns] = 0
        assert not heatmap.any()


def gaussian_by_hand(heatmap, size):
    """Blur pixel by pixel, with the standard deviation that torchvision takes for a kernel of this size."""
    sigma, half = 0.3 * ((size - 1) * 0.5 - 1) + 0.8, size // 2
    weight = np.array([np.exp(-((t / sigma) ** 2) / 2) for t in range(-half, half + 1)])
    padded = np.pad(heatmap, half, mode="reflect")
    blurred = np.zeros(heatmap.shape)
    for row, column in np.ndindex(*heatmap.shape):
        seen = padded[row : row + size, column : column + size]
        blurred[row, column] = (seen * np.outer(weight, weight)).sum() / weight.sum() ** 2
    return blurred / blurred.max()


def test_smoothed():
    heatmap = np.random.default_rng(0).normal(size=(11, 14))
    for size in (1, 3, 19):
        np.testing.assert_allclose(smoothed(heatmap, size), gaussian_by_hand(heatmap, size), atol=1e-9)
    with pytest.raises(ParameterError, match="kernel_size 4"):
        smoothed(heatmap, 4)
    with pytest.raises(ParameterError, match="kernel_size 23"):
        smoothed(heatmap, 23)


def test_crop_by_hand():
    heatmap, image = np.zeros((8, 9)), np.ones((1, 8, 9))
    heatmap[2:5, 3] = 1
    heatmap[4, 7] = 0.5
    assert heatmap_crop(heatmap, image, kernel_size=1) == (slice(2, 4), slice(3, 7))  # the last are left out
    assert heatmap_crop(heatmap, image, threshold=0.6, kernel_size=1) == (
        slice(0, 8),
        slice(0, 9),
    )  # no width
    assert heatmap_crop(heatmap, 0 * image, kernel_size=1) == (slice(0, 8), slice(0, 9))
    assert heatmap_crop(0 * heatmap, image, kernel_size=1) == (slice(0, 8), slice(0, 9))


def test_wrong(lrp, x):
    with pytest.raises(FeatureError, match="no channel 16: layer 'conv2' has 16"):
        concept_heatmaps(lrp, x[:1], "conv2", [16])
    with pytest.raises(ShapeError, match="channels of 2 samples, got 3 samples"):
        concept_heatmaps(lrp, x, "conv2", [1, 2])
    with pytest.raises(ShapeError, match="heatmap_crop"):
        heatmap_crop(np.zeros((3, 4)), np.zeros((1, 4, 3)))
    with pytest.raises(ParameterError, match="threshold"):
        heatmap_crop(np.zeros((3, 4)), np.zeros((1, 3, 4)), threshold=2)
