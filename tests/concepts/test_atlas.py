"""Concept atlases, against one heatmap a concept."""

import numpy as np
import pytest

import refcrp as rc
from refcrp.errors import FeatureError, ParameterError, ShapeError

TOP_LEFT = [[7, 7, 7, 7, -2, -2, -2, -2]] * 4 + [[30] * 8] * 4  # labels with gaps, one below zero


@pytest.fixture
def lrp(small_model):
    return rc.LRP(small_model, rc.EpsilonPlus())


def maps_of(lrp, x, layer, target, channels):
    """Each channel's heatmap, one explanation after the other."""
    conditions = ({layer: [c], "y": [target]} for c in range(channels))
    return [lrp(x, conditions=[condition]).relevance[0].sum(axis=0) for condition in conditions]


@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize(
    ("regions", "parts"),
    [
        (2, [np.s_[:4, :4], np.s_[:4, 4:], np.s_[4:, :4], np.s_[4:, 4:]]),
        ((1, 3), [np.s_[:, :3], np.s_[:, 3:6], np.s_[:, 6:]]),
        (np.array(TOP_LEFT), [np.s_[:4, 4:], np.s_[:4, :4], np.s_[4:, :]]),
    ],
)
def test_against_one_heatmap_a_channel(lrp, small_input, regions, parts, target):
    x = small_input[:1]
    atlas = rc.concept_atlas(lrp, x, "conv2", regions=regions, output=target)
    maps = maps_of(lrp, x, "conv2", target, 6)
    assert len(atlas.concepts) == len(parts)
    for k, part in enumerate(parts):
        sums = [float(R[part].sum()) for R in maps]
        best = max(range(6), key=lambda c: sums[c])
        np.testing.assert_allclose(atlas.all_relevance[k], sums, atol=1e-12)
        assert (atlas.regions[part] == k).all()
        if sums[best] > 0:
            assert atlas.concepts[k] == best
            assert atlas.share[k] == pytest.approx(sums[best] / sum(s for s in sums if s > 0))
            assert atlas.relevance[k] == pytest.approx(sums[best])
        else:
            assert (atlas.concepts[k], atlas.share[k], atlas.relevance[k]) == (-1, 0, 0)
    assert atlas.selected == target


def test_labels_keep_their_names(lrp, small_input):
    atlas = rc.concept_atlas(lrp, small_input[:1], "conv2", regions=np.array(TOP_LEFT))
    assert atlas.labels.tolist() == [-2, 7, 30]
    assert atlas.selected == lrp(small_input[:1]).selected[0]


def test_cells_of_one_pixel_and_one_cell(lrp, small_input):
    x = small_input[:1]
    pixels = rc.concept_atlas(lrp, x, "conv1", regions=8, output=0)
    maps = np.stack(maps_of(lrp, x, "conv1", 0, 4))
    np.testing.assert_allclose(pixels.all_relevance, maps.reshape(4, 64).T, atol=1e-12)
    assert pixels.regions.tolist() == np.arange(64).reshape(8, 8).tolist()
    one = rc.concept_atlas(lrp, x, "conv1", regions=1, output=0)
    np.testing.assert_allclose(one.all_relevance, maps.sum(axis=(1, 2))[None], atol=1e-12)


def test_cells_are_as_equal_as_pixels_allow(lrp, small_input):
    atlas = rc.concept_atlas(lrp, small_input[:1], "conv1", regions=(3, 5))
    sizes = np.bincount(atlas.regions.ravel())
    assert len(sizes) == 15
    assert set(sizes) <= {2, 3, 4, 6}
    rows = [len(set(row)) for row in atlas.regions.tolist()]
    assert rows == [5] * 8


def test_where_nothing_speaks_for_the_output_there_is_no_concept(lenet5, digits):
    """Black pixels get no relevance by the z⁺ rule."""
    lrp = rc.LRP(lenet5, rc.EpsilonPlus())
    x = digits[0][:1]
    atlas = rc.concept_atlas(lrp, x, "conv2", regions=7)
    black = [not x[0, 0][atlas.regions == k].any() for k in range(49)]
    assert 0 < sum(black) < 49
    assert (atlas.concepts[black] == -1).all()
    assert not atlas.relevance[black].any()
    assert (atlas.concepts[np.invert(black)] >= 0).any()
    concepts, relevance = atlas.ranking()
    assert -1 not in concepts
    assert (np.diff(relevance) <= 0).all()
    for c, R in zip(concepts, relevance, strict=True):
        own = sum(float(r) for r, k in zip(atlas.relevance, atlas.concepts, strict=True) if k == c)
        assert pytest.approx(own) == R


def test_errors(lrp, small_input):
    x = small_input[:1]
    for error, words, regions in [
        (ShapeError, r"a label image of shape \(4, 8\), the image has \(8, 8\)", np.zeros((4, 8), dtype=int)),
        (ParameterError, "a label image of float64, expected integers", np.zeros((8, 8))),
        (ParameterError, "9 x 9 cells, the image has", 9),
        (ParameterError, "expected an integer >= 1, got 0", 0),
        (ParameterError, "expected an integer >= 1, got 2.5", 2.5),
        (ParameterError, "expected how many cells a side", (1, 2, 3)),
        (ParameterError, "expected an integer >= 1, got 'superpixels'", "superpixels"),
    ]:
        with pytest.raises(error, match=words):
            rc.concept_atlas(lrp, x, "conv2", regions=regions)
    with pytest.raises(ShapeError, match="expected one image"):
        rc.concept_atlas(lrp, small_input, "conv2")
    with pytest.raises(FeatureError, match="output"):
        rc.concept_atlas(lrp, x, "conv2", output=5)
    with pytest.raises(ParameterError, match="belong together"):
        rc.concept_atlas(lrp, x, "conv2").draw(refs=object())
    neurons = rc.concept_atlas(lrp, x, "conv2", concept=rc.NeuronConcept())
    assert neurons.all_relevance.shape == (64, 6 * 16)
    with pytest.raises(ParameterError, match="drawn for channels, not NeuronConcept"):
        neurons.draw(refs=object(), data=object())
    with pytest.raises(ParameterError, match="concept must be a Concept, got 'channel'"):
        rc.concept_atlas(lrp, x, "conv2", concept="channel")
