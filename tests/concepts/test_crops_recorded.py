"""Heatmaps of single neurons and the crops made of them, beside what zennit-crp gave on the same network."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.concepts.crops import heatmap_crop, neuron_heatmaps

FILE = Path(__file__).with_name("zennit_crp_crops.h5")


@pytest.fixture(scope="module")
def lrp():
    """The built-in LeNet-5 with its ReLUs as layers of their own, so that channels are those before them."""
    layers = []
    for layer in rc.load_model("lenet5").astype(np.float64):
        if getattr(layer, "nonlinearity", None) is None:
            layers.append(layer)
        else:
            layers += [layer.without_activation(), L.ReLU()]
    return rc.LRP(rc.Sequential(layers, input_shape=(1, 28, 28)), rc.EpsilonPlus(), dialect="zennit-crp")


def recorded():
    with h5py.File(FILE) as file:
        return [
            (layer, mode, channel) for layer in file for mode in file[layer] for channel in file[layer][mode]
        ]


@pytest.mark.parametrize(("layer", "mode", "channel"), recorded())
def test_crops(lrp, layer, mode, channel):
    with h5py.File(FILE) as file:
        theirs = {name: values[()] for name, values in file[layer][mode][channel].items()}
    x = rc.load_digits()[0][theirs["samples"]].astype(np.float64)
    ours = neuron_heatmaps(lrp, x, layer, [int(channel)] * len(x), theirs["positions"])
    largest = np.abs(theirs["heatmaps"]).max()
    np.testing.assert_allclose(ours, theirs["heatmaps"], rtol=0, atol=1e-6 * largest)  # stored in float32
    for image, heatmap, box in zip(x, ours, theirs["boxes"].tolist(), strict=True):
        rows, columns = heatmap_crop(heatmap, image)
        assert [*rows.indices(28)[:2], *columns.indices(28)[:2]] == box


@pytest.mark.parametrize("by", ["relevance", "activation"])
def test_the_same_samples(lrp, by):
    refs = rc.ReferenceSamples.collect(lrp, rc.load_digits(), ["conv1", "conv2"], n=8, per_class=False)
    with h5py.File(FILE) as file:
        for layer, channel in ((la, c) for la, mode, c in recorded() if mode == by):
            theirs = file[layer][by][channel]
            top = refs.top(layer, channel=int(channel), by=by, n=4)
            np.testing.assert_array_equal(top.samples, theirs["samples"])
            np.testing.assert_array_equal(top.positions, theirs["positions"])
