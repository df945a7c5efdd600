"""Explanation cards: what is on them, and that nothing is cut off or covered."""

import base64
import io
from html.parser import HTMLParser
from itertools import combinations

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import FeatureError, ParameterError, ReferenceFileError, ShapeError, UnknownLayerError

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

FOUR = 45  # of the digits


@pytest.fixture(scope="module")
def lrp():
    return rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())


@pytest.fixture(scope="module")
def built_in():
    return rc.load_references("lenet5")


@pytest.fixture(scope="module")
def x(digits):
    return digits[0][FOUR : FOUR + 1]


@pytest.fixture(scope="module")
def card(lrp, x, built_in):
    refs, data = built_in
    return rc.report(lrp, x, "conv2", refs=refs, data=data)


class Page(HTMLParser):
    """The tags, pictures and words of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.images, self.alternatives, self.words = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "img":
            kind, data = dict(attrs)["src"].split(",")
            assert kind == "data:image/png;base64"
            self.images.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")))
            self.alternatives.append(dict(attrs)["alt"])

    def handle_data(self, data):
        self.words.append(data.strip())


def test_what_is_on_the_card(card, lrp, x, built_in):
    refs, _ = built_in
    e = lrp(x, record="conv2")
    R = e.relevances["conv2"][0].sum(axis=(1, 2))
    order = np.argsort(-R)[:5]
    assert card.channels == order.tolist()
    assert (card.output, card.prediction) == (4, 4)
    assert card.score == pytest.approx(e.output.max())
    np.testing.assert_allclose(card.parts, R[order] / R.sum(), rtol=1e-5)
    assert card.shares == [f"{100 * part:.1f} %" for part in R[order] / R.sum()]
    np.testing.assert_allclose(card.heatmap, e.relevance[0, 0], rtol=1e-6)
    for channel, heatmap in zip(order, card.heatmaps, strict=True):
        one = lrp(x, conditions=[{"conv2": [int(channel)], "y": [4]}])
        np.testing.assert_allclose(heatmap, one.relevance[0, 0], rtol=1e-4, atol=1e-7)
    for by in "relevance", "activation":
        for channel, tiles in zip(order, card.tiles[by], strict=True):
            top = refs.top("conv2", int(channel), by, n=6)
            assert [tile.sample for tile in tiles] == top.samples.tolist()
            assert [tile.target for tile in tiles] == top.targets.tolist()


def test_relmax_and_actmax_differ(card):
    """On the page of the default command, for some channel, in every sample."""
    ids = {by: [{tile.sample for tile in row} for row in rows] for by, rows in card.tiles.items()}
    assert any(
        not relmax & actmax for relmax, actmax in zip(ids["relevance"], ids["activation"], strict=True)
    )


def test_choices(lrp, x, built_in):
    refs, data = built_in
    card = rc.report(
        lrp, x, 0, output=9, refs=refs, data=data, channels=[3, 1], samples=2, by="activation", over="max"
    )
    assert (card.output, card.prediction, card.channels) == (9, 4, [3, 1])
    assert set(card.tiles) == {"activation"}
    top = refs.top("conv1", 3, "activation", 2, over="max")
    assert [tile.sample for tile in card.tiles["activation"][0]] == top.samples.tolist()
    assert rc.report(lrp, x, "conv2", n=2).channels == rc.report(lrp, x, "conv2").channels[:2]
    assert len(rc.report(lrp, x, "dense3", output=4, n=1).channels) == 1


def test_fewer_than_usual(lrp, x, digits):
    data = (digits[0][:9], digits[1][:9])
    refs = rc.ReferenceSamples.collect(lrp, data, "conv1", n=2)
    card = rc.report(lrp, x, "conv1", refs=refs, data=data)
    assert [len(row) for row in card.tiles["relevance"]] == [2] * 5
    small = rc.Sequential([L.Conv2d(np.ones((2, 1, 28, 28)), name="c"), L.Flatten()])
    assert len(rc.report(rc.LRP(small), x.astype(np.float64), "c").channels) == 2


def test_the_page_is_one_file(card, x, tmp_path):
    card.save(tmp_path / "card.html")
    text = (tmp_path / "card.html").read_text(encoding="utf-8")
    assert text == card.html()
    assert "<script" not in text
    assert "http" not in text
    assert "url(" not in text
    page = Page(text)
    assert len(page.images) == 2 + 5 * (1 + 2 * 6)
    assert not {"link", "script", "iframe", "object"} & set(page.tags)
    assert all(page.alternatives)
    np.testing.assert_array_equal(page.images[0], np.repeat(np.rint(255 * x[0, 0])[..., None], 3, axis=2))
    assert page.images[3].shape == (28, 28, 3)
    # red where relevance is positive: blue ink goes first
    colours = page.images[1].astype(int)
    row, column = np.unravel_index(card.heatmap.argmax(), (28, 28))
    assert colours[row, column, 0] > colours[row, column, 2] + 50
    for word in ("Why output 4?", "RelMax", "ActMax", *card.shares):
        assert word in page.words
    assert text == card.html()  # the same bytes each time


def test_names_are_escaped(lenet5, x):
    layers = [
        lenet5[0],
        lenet5[1],
        lenet5[2].__class__(**fields(lenet5[2], name='<b>"&x')),
        *list(lenet5)[3:],
    ]
    card = rc.report(rc.LRP(rc.Sequential(layers)), x, '<b>"&x')
    assert "<b>" not in card.html()
    assert "&lt;b&gt;" in card.html()
    assert '<b>"&x' in Page(card.html()).words
    card.figure()


def fields(layer, **changes):
    names = ("weight", "bias", "stride", "padding", "activation")
    return {name: getattr(layer, name) for name in names} | changes


def test_without_reference_samples(lrp, x):
    card = rc.report(lrp, x, "conv2")
    assert card.tiles == {}
    page = Page(card.html())
    assert len(page.images) == 2 + 5
    assert "RelMax" not in page.words
    check_layout(card.figure())


@pytest.mark.parametrize("name", ["card.png", "card.svg", "card.pdf", "CARD.PNG"])
def test_pictures(card, tmp_path, name):
    card.save(tmp_path / name)
    assert (tmp_path / name).stat().st_size > 10_000
    if name == "card.png":
        with Image.open(tmp_path / name) as picture:
            wide, high = picture.size
        assert (wide, high) == tuple(np.rint(150 * card.figure().get_size_inches()))


def test_words_of_the_picture(card):
    words = "\n".join(text.get_text() for text in card.figure().axes[0].texts)
    for word in ("Why output 4?", "score 15.588", "RelMax", "ActMax", "channel 12", *card.shares):
        assert word in words


def check_layout(figure):
    """All words and pictures are on the paper, and none covers another."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    axes = figure.axes[0]
    words = [text.get_window_extent(renderer) for text in axes.texts if text.get_text()]
    pictures = [image.get_window_extent(renderer) for image in axes.images]
    for box in (*words, *pictures):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
    for one, other in combinations([*words, *pictures], 2):
        wide = min(one.x1, other.x1) - max(one.x0, other.x0)
        high = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert min(wide, high) <= 1, (one, other)


@pytest.mark.parametrize("options", [{}, {"n": 1}, {"samples": 1}, {"samples": 8, "by": "relevance"}])
def test_nothing_is_cut_off_or_covered(lrp, x, built_in, options):
    refs, data = built_in
    check_layout(rc.report(lrp, x, "conv2", refs=refs, data=data, output=3, **options).figure())


def test_colour_normalisation_and_other_analyzers(rng, tmp_path):
    name = "backbone.features.stage_4.block_11.convolution"
    layers = [
        L.Conv2d(rng.normal(size=(7, 3, 3, 3)), activation="relu", name=name),
        L.GlobalAvgPool(),
        L.Flatten(),
        L.Dense(rng.normal(size=(1000, 7))),
    ]
    model = rc.Sequential(layers, input_shape=(3, 12, 20)).with_normalization(mean=(0.5, 0.4, 0.3), std=0.2)
    pixels = rng.integers(0, 256, size=(6, 3, 12, 20)) / 255
    data = (model.normalization.normalize(pixels), np.arange(990, 996))
    refs = rc.ReferenceSamples.collect(rc.LRP(model, rc.EpsilonPlusFlat()), data, name, n=3)
    card = rc.report(rc.LRP(model), data[0][:1], name, tmp_path / "card.png", refs=refs, data=data)
    check_layout(card.figure())
    page = Page(card.html())
    np.testing.assert_array_equal(page.images[0], np.rint(255 * np.moveaxis(pixels[0], 0, 2)))
    assert card.differs == ("rules",)
    assert "The reference samples were found with another rules." not in page.words
    assert "The reference samples were found with other rules." in page.words


def test_what_is_wrong(lrp, x, built_in, digits, tmp_path):
    refs, data = built_in
    both = {"refs": refs, "data": data}
    for error, words, arguments, options in [
        (ShapeError, "expected one image", (digits[0][:2], "conv2"), {}),
        (ShapeError, "not that of an image", (np.zeros((1, 4)), 0), {"lrp": True}),
        (ParameterError, "give both, or none", (x, "conv2"), {"refs": refs}),
        (ParameterError, "give both, or none", (x, "conv2"), {"data": data}),
        (
            ReferenceFileError,
            "data/samples: 429 there, 100 here",
            (x, "conv2"),
            {"refs": refs, "data": digits},
        ),
        (UnknownLayerError, "no reference samples of layer 'dense1'", (x, "dense1"), both),
        (UnknownLayerError, "no layer 'conv3'", (x, "conv3"), {}),
        (FeatureError, "only 16 channels", (x, "conv2"), {"n": 17}),
        (ParameterError, "only the best 8", (x, "conv2"), {**both, "samples": 9}),
        (ParameterError, "by='both of them'", (x, "conv2"), {"by": "both of them"}),
        (ParameterError, "crop='round'", (x, "conv2"), {**both, "crop": "round"}),
        (ParameterError, "the ending must be one of .png, ", (x, "conv2", tmp_path / "card.txt"), {}),
    ]:
        dense = rc.LRP(rc.Sequential([L.Dense(np.eye(4))]))
        analyzer = dense if options.pop("lrp", False) else lrp
        with pytest.raises(error, match=words):
            rc.report(analyzer, *arguments, **options)
    assert list(tmp_path.iterdir()) == []


def test_samples_of_neurons_are_no_samples_of_channels(lrp, x, digits):
    refs = rc.ReferenceSamples.collect(lrp, digits, "conv2", n=1, concepts={"conv2": rc.NeuronConcept()})
    with pytest.raises(ParameterError, match="not those of channels"):
        rc.report(lrp, x, "conv2", refs=refs, data=digits)


def test_data_without_labels_will_do(lrp, x, built_in):
    refs, data = built_in
    card = rc.report(lrp, x, "conv2", refs=refs, data=data[0], n=1, samples=1)
    assert len(card.tiles["relevance"][0]) == 1
