"""What the picture of an atlas shows."""

import numpy as np
import pytest

import refcrp as rc
from refcrp.concepts.atlas_picture import COLOURS, OTHERS, borders, colours, layer_of_colour, legend, numbers

matplotlib = pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def lrp():
    return rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlusFlat())


@pytest.fixture(scope="module")
def atlas(lrp):
    return rc.concept_atlas(lrp, rc.load_digits()[0][:1], "conv2", regions=7)


def test_each_region_has_the_colour_of_its_concept(atlas):
    over = layer_of_colour(atlas)
    ranked = atlas.ranking()[0].tolist()
    for y, x in np.ndindex(28, 28):
        concept = int(atlas.concepts[(y // 4) * 7 + x // 4])
        if concept == -1:
            assert over[y, x, 3] == 0
            continue
        place = ranked.index(concept)
        colour = COLOURS[place] if place < 7 else OTHERS
        np.testing.assert_allclose(over[y, x, :3], matplotlib.colors.to_rgb(colour))
        assert 0.1 < over[y, x, 3] < 0.8
    strongest = atlas.regions == atlas.relevance.argmax()
    assert over[..., 3].max() == over[strongest][0, 3]


def test_the_legend_accounts_for_all_concepts(atlas):
    lines = legend(atlas)
    concepts, relevance = atlas.ranking()
    assert [text for _, text, _ in lines[:7]] == [f"conv2 [{c}]" for c in concepts[:7]]
    assert [colour for colour, _, _ in lines[:7]] == list(COLOURS)
    assert lines[7][:2] == (OTHERS, f"{len(concepts) - 7} others")
    parts = [float(part.removesuffix(" %")) for _, _, part in lines]
    assert sum(parts) == pytest.approx(
        100 * relevance.sum() / atlas.all_relevance.sum(), abs=0.05 * len(parts)
    )
    assert set(colours(atlas)) == set(concepts.tolist())


def test_borders_and_numbers():
    labels = np.array([[3, 3, 5], [3, 3, 5]])
    assert list(borders(labels)) == [((1.5, -0.5), (1.5, 0.5)), ((1.5, 0.5), (1.5, 1.5))]
    assert list(borders(labels.T)) == [((-0.5, 1.5), (0.5, 1.5)), ((0.5, 1.5), (1.5, 1.5))]
    assert list(numbers(labels)) == [(0.5, 0.5, "3"), (2.0, 0.5, "5")]
    apart = np.array([[2, -1, 2]])
    assert list(numbers(apart)) == [(0.0, 0.0, "2"), (2.0, 0.0, "2")]
    bent = np.array([[4, 4, 4], [4, 7, 7], [4, 7, 7]])
    assert list(numbers(bent)) == [(1.0, 0.0, "4"), (1.5, 1.5, "7")]
    two_rooms = np.array([[1, 1, 1, 0, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 1, 1, 1]])
    assert (1.0, 1.0, "1") in list(numbers(two_rooms))
    thin = np.zeros((100, 100), dtype=int)
    thin[:, 50] = 1
    assert [text for _, _, text in numbers(thin)] == ["0", "0"]


def test_drawn_with_and_without_reference_samples(lrp, atlas, tmp_path):
    data = rc.load_digits()
    refs = rc.ReferenceSamples.collect(lrp, (data[0][:20], data[1][:20]), layers=["conv2"], n=3)
    plain = atlas.draw(tmp_path / "atlas.png")
    assert (tmp_path / "atlas.png").stat().st_size > 1000
    full = atlas.draw(refs=refs, data=(data[0][:20], data[1][:20]), n=2, crop=None)
    assert len(plain.axes) == 2  # the page and the image
    assert len(full.axes) == 2 + 7 * 2
    written = {text.get_text() for text in full.axes[0].texts}
    assert any("conv2 [" in text for text in written)
    inside = {text.get_text() for text in plain.axes[1].texts}
    assert inside <= {str(c) for c in atlas.ranking()[0]}
    for axis in full.axes[2:]:
        box = axis.get_position()
        assert 0 < box.x0 < box.x1 <= 1
        assert 0 < box.y0 < box.y1 <= 1


def test_an_image_without_any_concept(lrp):
    """Nothing speaks for the output: no colour, no legend, and no error."""
    black = rc.concept_atlas(
        rc.LRP(lrp.model, rc.EpsilonPlus()), np.zeros((1, 1, 28, 28)), "conv1", regions=(2, 3)
    )
    assert (black.concepts == -1).all()
    assert not layer_of_colour(black).any()
    assert legend(black) == []
    black.draw()
