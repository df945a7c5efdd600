"""Reference samples as pictures."""

import numpy as np
import pytest

import refcrp as rc
from refcrp.concepts.crops import heatmap_crop, neuron_heatmaps
from refcrp.concepts.pictures import tile_picture
from refcrp.concepts.tiles import FADED, reference_tiles
from refcrp.errors import ParameterError

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def lrp():
    return rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())


@pytest.fixture(scope="module")
def data():
    return rc.load_digits()


@pytest.fixture(scope="module")
def refs(lrp, data):
    return rc.ReferenceSamples.collect(lrp, data, layers=["conv2"], n=4)


def test_tiles_are_the_top_samples_cut_to_what_their_neuron_sees(lrp, data, refs):
    (tiles,) = reference_tiles(refs, lrp, data, "conv2", [7], n=3, by="activation")
    top = refs.top("conv2", channel=7, by="activation", n=3)
    assert [tile.sample for tile in tiles] == top.samples.tolist()
    assert [tile.score for tile in tiles] == top.scores.tolist()
    for tile, sample, position in zip(tiles, top.samples, top.positions, strict=True):
        box = rc.receptive_field(lrp.model, "conv2", int(position))
        np.testing.assert_array_equal(tile.image, data[0][sample][:, *box])
        heatmap = neuron_heatmaps(lrp, data[0][[sample]], "conv2", [7], [position])[0]
        np.testing.assert_allclose(tile.heatmap, heatmap[box], rtol=1e-4, atol=1e-7)
        assert tile.heatmap.shape == tile.visible.shape == (14, 14)
        assert tile.visible.flat[tile.heatmap.argmax()]


def test_other_crops(lrp, data, refs):
    boxes, whole = (
        reference_tiles(refs, lrp, data, "conv2", [7, 2], crop=crop, n=2) for crop in ("heatmap", None)
    )
    assert [tile.channel for row in boxes for tile in row] == [7, 7, 2, 2]
    for row in boxes:
        for k, tile in enumerate(row):
            top = refs.top("conv2", channel=tile.channel, n=2)
            heatmap = neuron_heatmaps(
                lrp, data[0][[tile.sample]], "conv2", [tile.channel], [top.positions[k]]
            )[0]
            box = heatmap_crop(heatmap, data[0][tile.sample])
            np.testing.assert_array_equal(tile.image, data[0][tile.sample][:, *box])
    assert all(tile.image.shape == (1, 28, 28) for row in whole for tile in row)


def test_fading(lrp, data, refs):
    tile = reference_tiles(refs, lrp, data, "conv2", [7], n=1, crop=None)[0][0]
    plain, masked = (tile_picture(tile, style, None) for style in ("plain", "masked"))
    np.testing.assert_allclose(plain, tile.image, atol=1e-7)
    np.testing.assert_allclose(masked, tile.image * np.where(tile.visible, 1, FADED), atol=1e-7)
    shifted = rc.Normalization(mean=0.5, std=0.5)
    np.testing.assert_allclose(tile_picture(tile, "plain", shifted), tile.image / 2 + 0.5, atol=1e-7)


@pytest.mark.parametrize(("style", "rows"), [("plain", 4), ("masked", 4), ("heatmaps", 8)])
def test_a_grid(lrp, data, refs, tmp_path, style, rows):
    figure = rc.concept_grid(refs, lrp, data, "conv2", [0, 1], tmp_path / "grid.png", n=3, style=style)
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")
    assert sum(len(axis.images) for axis in figure.axes) == 3 * rows
    words = [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()]
    assert words == ["conv2 [0]\nRelMax", "conv2 [0]\nActMax", "conv2 [1]\nRelMax", "conv2 [1]\nActMax"]


def test_one_class(lrp, data, refs):
    figure = rc.concept_grid(refs, lrp, data, "conv2", [0], n=2, by="relevance", label=5, crop=None)
    shown = [np.asarray(axis.images[0].get_array()) for axis in figure.axes if axis.images]
    fives = refs.top("conv2", channel=0, label=5, n=2).samples
    assert (data[1][fives] == 5).all()
    assert len(shown) == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"style": "blurred"}, "style='blurred'"),
        ({"by": "size"}, "by='size'"),
        ({"crop": "box"}, "crop='box'"),
        ({"n": 5}, "only the best 4"),
        ({"n": 1001}, "1 to 2000 in all"),
        ({"channels": []}, "0 rows"),
    ],
)
def test_wrong(lrp, data, refs, wrong, message):
    with pytest.raises(ParameterError, match=message):
        rc.concept_grid(refs, lrp, data, "conv2", **{"channels": [0]} | wrong)
