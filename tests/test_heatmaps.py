import sys

import numpy as np
import pytest

import refcrp as rc
from refcrp.errors import MissingDependencyError, ParameterError, ShapeError


@pytest.fixture
def lrp(lenet5):
    return rc.LRP(lenet5, rc.EpsilonPlus())


def titles(figure):
    return [axis.get_title() for axis in figure.axes]


def test_lrp(lrp, digits, tmp_path):
    e = lrp(digits[0][:2])
    figure = rc.heatmap(e, path=tmp_path / "explanation.png")
    assert titles(figure) == ["input\n", "LRP\noutput 0"] * 2
    assert (tmp_path / "explanation.png").read_bytes().startswith(b"\x89PNG")
    image = figure.axes[1].images[0]
    np.testing.assert_allclose(image.get_array(), e.relevance[0].sum(axis=0))
    low, high = image.get_clim()
    assert low == -high == -np.abs(e.relevance[0]).max()


def test_concepts(lrp, digits):
    x = digits[0][40:42]
    concepts, whole = rc.CRP(lrp, "conv2", rc.TopNFeatures(3))(x), lrp(x)
    figure = rc.heatmap(concepts, lrp=whole)
    assert len(figure.axes) == 2 * 5
    share = 100 * concepts.feature_relevance[1, 0] / concepts.layer_relevance[0]
    assert titles(figure)[3] == f"conv2 [{concepts.features[1, 0]}]\n{share:.1f} %"
    np.testing.assert_allclose(figure.axes[8].images[0].get_array(), concepts.relevance[3].sum(axis=0))


def test_conditions(lrp, digits):
    e = lrp(digits[0][:1], conditions=[{"conv2": [3], "y": [1]}, {"conv1": (0, 2)}])
    assert titles(rc.heatmap(e)) == ["input\n", "conv2: [3]\ny: [1]", "conv1: [0, 2]"]


def test_nothing_but_zeros(lrp, digits):
    figure = rc.heatmap(lrp(np.zeros_like(digits[0][:1]), conditions=[{"conv2": []}]))
    assert figure.axes[1].images[0].get_clim() == (-1, 1)


def test_colour_and_many_channels(rng):
    for channels in 2, 3:
        model = rc.Sequential(
            [
                rc.layers.Conv2d(rng.normal(size=(2, channels, 3, 3))),
                rc.layers.Flatten(),
                rc.layers.Dense(rng.normal(size=(2, 32))),
            ]
        )
        figure = rc.heatmap(rc.LRP(model)(rng.normal(size=(1, channels, 6, 6))))
        assert figure.axes[0].images[0].get_array().shape == ((6, 6, 3) if channels == 3 else (6, 6))


def test_long_and_strange_names(lrp, digits):
    model = rc.Sequential([rc.layers.ReLU(name="a$\\foo$b" + "x" * 100), *lrp.model])
    e = rc.LRP(model)(digits[0][:1], conditions=[{0: [0]}])
    figure = rc.heatmap(rc.CRP(rc.LRP(model), 0, rc.IndexedFeatures(0))(digits[0][:1]), lrp=e)
    figure.draw_without_rendering()
    assert max(len(line) for title in titles(figure) for line in title.splitlines()) <= 20


def test_too_many_panels(lrp, digits):
    with pytest.raises(ShapeError, match="expected 1 to 1000 in all"):
        rc.heatmap(lrp(digits[0], conditions=[{}] * 10))
    with pytest.raises(ShapeError, match="expected 1 to 1000 in all"):
        rc.heatmap(lrp(digits[0][:0]))
    with pytest.raises(ParameterError, match="expected an explanation"):
        rc.heatmap(digits[0])


def test_not_images():
    model = rc.Sequential([rc.layers.Dense(np.eye(3))])
    with pytest.raises(ShapeError, match="expected that of images"):
        rc.heatmap(rc.LRP(model)(np.ones((1, 3))))


def test_different_inputs(lrp, digits):
    with pytest.raises(ShapeError, match="different inputs"):
        rc.heatmap(lrp(digits[0][:2]), lrp=lrp(digits[0][:3]))
    with pytest.raises(ShapeError, match="different inputs"):
        rc.heatmap(lrp(digits[0][:2]), lrp=lrp(digits[0][2:4]))


def test_without_matplotlib(lrp, digits, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'refcrp\[plot\]'"):
        rc.heatmap(lrp(digits[0][:1]))


def test_a_normalised_input_is_shown_as_its_pixels(rng):
    conv = rc.layers.Conv2d(rng.normal(size=(2, 3, 3, 3)))
    model = rc.Sequential([conv, rc.layers.Flatten(), rc.layers.Dense(rng.normal(size=(2, 32)))])
    n = rc.Normalization(mean=(0.5, 0.25, 0), std=(0.5, 2, 0.1))
    pixels = rng.uniform(0.2, 0.6, size=(1, 3, 6, 6))
    e = rc.LRP(model)(n.normalize(pixels))
    shown = rc.heatmap(e, normalization=n).axes[0].images[0].get_array()
    np.testing.assert_allclose(shown, np.moveaxis(pixels[0], 0, 2), rtol=1e-12)
    stretched = rc.heatmap(e).axes[0].images[0].get_array()
    assert (stretched.min(), stretched.max()) == (0, 1)
    too_bright = rc.LRP(model)(n.normalize(4 * pixels))
    shown = rc.heatmap(too_bright, normalization=n).axes[0].images[0].get_array()
    np.testing.assert_allclose(shown, np.moveaxis(4 * pixels[0], 0, 2).clip(0, 1))
