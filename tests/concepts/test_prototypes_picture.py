"""The page of a class's prototypes."""

import numpy as np
import pytest

import refcrp as rc
from refcrp.concepts.prototypes_picture import strongest
from refcrp.errors import FeatureError, ParameterError

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def data():
    x, labels = rc.load_digits()
    some = np.flatnonzero((labels == 4) | (labels == 9))
    return x[some], labels[some]


@pytest.fixture(scope="module")
def lrp():
    return rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())


@pytest.fixture(scope="module")
def prototypes(lrp, data):
    return rc.Prototypes.fit(rc.concept_vectors(lrp, data, "conv2"), per_class=2)


def test_strongest():
    assert strongest(np.array([[0.1, -3, 2], [1, 1, 1]]), 2).tolist() == [[1, 2], [0, 1]]
    with pytest.raises(FeatureError, match="there are only 3"):
        strongest(np.ones((1, 3)), 4)


def test_the_page(lrp, data, prototypes, tmp_path):
    refs = rc.ReferenceSamples.collect(lrp, data, layers=["conv2"], n=3)
    figure = prototypes.draw(lrp, data, 9, tmp_path / "page.png", refs=refs, concepts=3, n=2)
    assert (tmp_path / "page.png").stat().st_size > 1000
    page, *axes = figure.axes
    texts = [text.get_text() for text in page.texts]
    order = sorted((0, 1), key=lambda i: -prototypes.coverage[9][i])
    lines = []
    for i in order:
        part, sample = round(100 * prototypes.coverage[9][i]), prototypes.samples[9][i]
        lines.append(f"class 9, prototype {i}: {part} % of the samples; nearest is sample {sample}")
        means = prototypes.means[9][i]
        for c in sorted(range(16), key=lambda c: -abs(means[c]))[:3]:
            lines.append(f"conv2 [{c}]\n{means[c]:+.3g}")
    assert texts == lines
    assert len(axes) == 2 * (1 + 3 * 2)
    shown = [axis.images[0].get_array() for axis in axes if axis.images[0].get_array().shape == (28, 28)]
    for picture, i in zip(shown, order, strict=True):
        np.testing.assert_allclose(picture, data[0][prototypes.samples[9][i]][0], atol=1e-6)
    for axis in axes:
        box = axis.get_position()
        assert 0 < box.x0 < box.x1 <= 1
        assert 0 < box.y0 < box.y1 <= 1


def test_without_reference_samples(lrp, data, prototypes):
    figure = prototypes.draw(lrp, data, 4, concepts=1)
    assert len(figure.axes) == 3
    with pytest.raises(FeatureError, match="there are only 16"):
        prototypes.draw(lrp, data, 4, concepts=17)
    with pytest.raises(ParameterError, match="concepts"):
        prototypes.draw(lrp, data, 4, concepts=0)
