"""Explanation cards: one image, where the network looks and for what, and what each of these concepts is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import as_integer
from refcrp.concept import ChannelConcept
from refcrp.concepts.fingerprint import analyzer_settings, check_same, described
from refcrp.concepts.report_html import page
from refcrp.concepts.report_picture import draw
from refcrp.concepts.sources import Data, as_data
from refcrp.concepts.tiles import Crop, ReferenceTile, reference_tiles
from refcrp.crp import CRP
from refcrp.drawing import require_matplotlib, share
from refcrp.errors import ParameterError, ShapeError
from refcrp.explanation import Explanation
from refcrp.lrp import LRP
from refcrp.normalization import Normalization
from refcrp.selection import IndexedFeatures, OutputSelector, TopNFeatures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from refcrp.concepts.references import ReferenceSamples

__all__ = ["PICTURES", "Report", "report"]

PICTURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp")
CONCEPTS, SAMPLES = 5, 6  # shown, unless said otherwise, and as far as there are as many
RANKINGS = ("relevance", "activation")


@dataclass(frozen=True, eq=False)
class Report:
    """An explanation card; made by `report`.

    Attributes
    ----------
    whole : Explanation
        By LRP.
    concepts : Explanation
        By CRP, through each of the concepts shown.
    tiles : mapping
        From a ranking, "relevance" or "activation", to the reference samples of each concept, best first.
        Empty without reference samples.
    normalization : Normalization or None
        How pixels became the input.
    differs : tuple of str
        What was another when the reference samples were found: "model", "rules", "dialect", ...

    Examples
    --------
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())
    >>> card = rc.report(lrp, x[:1], "conv2", n=2)
    >>> card.prediction, card.channels, card.shares
    (0, [11, 3], ['31.3 %', '25.9 %'])
    """

    whole: Explanation
    concepts: Explanation
    tiles: dict[str, list[list[ReferenceTile]]]
    normalization: Normalization | None
    differs: tuple[str, ...] = ()

    @property
    def output(self) -> int:
        """The explained output neuron."""
        assert not isinstance(self.whole.selected, tuple)
        return int(self.whole.selected[0])

    @property
    def prediction(self) -> int:
        """The highest output neuron."""
        return int(np.argmax(self.whole.output[0]))

    @property
    def score(self) -> float:
        """The explained output."""
        return float(self.whole.output[0, self.output])

    @property
    def channels(self) -> list[int]:
        """The concepts shown."""
        assert self.concepts.features is not None
        return [int(channel) for channel in self.concepts.features[:, 0]]

    @property
    def parts(self) -> list[float]:
        """The relevance of each concept as a part of the layer's; NaN where that is zero."""
        assert self.concepts.feature_relevance is not None
        assert self.concepts.layer_relevance is not None
        whole = float(self.concepts.layer_relevance[0])
        return [float(R) / whole if whole else np.nan for R in self.concepts.feature_relevance[:, 0]]

    @property
    def shares(self) -> list[str]:
        """The relevance of each concept in per cent of the layer's."""
        assert self.concepts.feature_relevance is not None
        assert self.concepts.layer_relevance is not None
        R = self.concepts.feature_relevance[:, 0]
        return share(R, np.repeat(self.concepts.layer_relevance, len(R)))

    @property
    def heatmap(self) -> Array:
        """Relevance of the input, (height, width)."""
        return np.asarray(np.sum(self.whole.relevance[0], axis=0), dtype=np.float64)

    @property
    def heatmaps(self) -> Array:
        """Relevance of the input through each concept, (concepts, height, width)."""
        return np.asarray(np.sum(self.concepts.relevance, axis=1), dtype=np.float64)

    def figure(self) -> Figure:
        """Draw the card by matplotlib."""
        return draw(self)

    def html(self) -> str:
        """Write the card as one HTML page that needs no other file."""
        return page(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the card to a file: ``.html``, or a picture, by the ending.

        Raises
        ------
        ParameterError
            If the file has another ending.
        """
        path = report_path(path)
        if path.suffix.lower() == ".html":
            path.write_text(self.html(), encoding="utf-8")
        else:
            self.figure().savefig(path, dpi=150)


def report(
    lrp: LRP,
    x: Array,
    layer: int | str,
    path: str | PathLike[str] | None = None,
    *,
    output: int | OutputSelector | None = None,
    refs: ReferenceSamples | None = None,
    data: Any = None,
    n: int | None = None,
    channels: Sequence[int] | None = None,
    samples: int | None = None,
    by: Literal["relevance", "activation", "both"] = "both",
    crop: Crop | None = None,
    **which: Any,
) -> Report:
    """Explain one image on one page: where the network looks, for which concepts, and what these stand for.

    The page has the input and its LRP heatmap, then for each concept its conditional heatmap, its share of
    the layer's relevance, and its reference samples, RelMax beside ActMax.

    Parameters
    ----------
    lrp : LRP
    x : (1, channels, height, width) array
    layer : int or str
        Whose channels are the concepts.
    path : path, optional
        Where to write the page; ``.html`` is one self-contained file, other endings are pictures.
    output : int or OutputSelector, optional
        The output neuron to explain; the highest by default.
    refs : ReferenceSamples, optional
        Of the layer's channels. Without them, the concepts are shown without samples.
    data : array, pair of arrays, path or sequence of (image, label), optional
        What `refs` were collected from.
    n : int, optional
        How many concepts, the most relevant ones; 5, or as many as there are, by default.
    channels : sequence of int, optional
        Show these instead.
    samples : int, optional
        How many reference samples of each ranking; 6, or as many as were kept, by default.
    by : "relevance", "activation" or "both"
        Which ranking.
    crop : "receptive-field", "heatmap" or None
        What to cut from a sample; see `concept_grid`.
    **which
        As for `ReferenceSamples.top`: ``over``, ``label``.

    Returns
    -------
    Report
        What is on the page, with `save`, `figure` and `html`.

    Raises
    ------
    ShapeError
        If `x` is not one image.
    ReferenceFileError
        If `refs` were collected from other data than `data`.
    ParameterError, UnknownLayerError, FeatureError
        If an argument does not fit; `path` is checked before anything is computed.
    MissingDependencyError
        If matplotlib is not installed.

    Examples
    --------
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())
    >>> refs, data = rc.load_references("lenet5")
    >>> card = rc.report(lrp, x[:1], "conv2", refs=refs, data=data, n=2, samples=3)
    >>> [tile.sample for tile in card.tiles["relevance"][0]]  # of the first concept
    [9, 151, 54]
    """
    if not isinstance(lrp, LRP):
        raise ParameterError(f"report: lrp must be an LRP analyzer, got {lrp!r}")
    if by not in (*RANKINGS, "both"):
        raise ParameterError(f"by={by!r}: expected 'relevance', 'activation' or 'both'")
    if np.shape(x)[:1] != (1,):
        raise ShapeError(f"report: x has shape {np.shape(x)}, expected one image (1, channels, h, w)")
    if (refs is None) != (data is None):
        raise ParameterError("report: refs and data belong together; give both, or none")
    require_matplotlib()
    if path is not None:
        path = report_path(path)
    k = lrp.model.index(layer)
    name = lrp.model.names[k]
    source = None if refs is None else checked_data(refs, data, name)

    whole = lrp(x, output=output)
    if whole.input.ndim != 4:
        raise ShapeError(f"report: x has shape {whole.input.shape}, which is not that of an image")
    count = lrp.model.shapes_for(whole.input.shape[1:])[k][0] or 1
    features = TopNFeatures(min(CONCEPTS, count) if n is None else n) if channels is None else None
    concepts = CRP(lrp, layer, features or IndexedFeatures(*(channels or ())))(x, output=output)
    tiles = {}
    if refs is not None:
        assert concepts.features is not None
        rows = [int(channel) for channel in concepts.features[:, 0]]
        many = min(SAMPLES, refs.n) if samples is None else as_integer(samples, "samples", 1)
        for kind in RANKINGS if by == "both" else (by,):
            tiles[kind] = reference_tiles(refs, lrp, source, name, rows, crop=crop, n=many, by=kind, **which)
    differs = () if refs is None else found_with_other(refs, lrp)
    made = Report(whole, concepts, tiles, lrp.model.normalization, differs)
    if path is not None:
        made.save(path)
    return made


def report_path(path: str | PathLike[str]) -> Path:
    """Give a path whose ending says how to write, or raise."""
    path = Path(path)
    if path.suffix.lower() not in (*PICTURES, ".html"):
        raise ParameterError(f"{path}: the ending must be one of {', '.join((*PICTURES, '.html'))}")
    return path


def checked_data(refs: ReferenceSamples, data: Any, layer: str) -> Data:
    """Give the data as `Data`, after a look whether reference samples of channels were collected from it."""
    source = as_data(data)
    refs.table(layer)
    if refs.settings["layers"][layer] != described(ChannelConcept()):
        raise ParameterError(f"report: the reference samples of layer {layer!r} are not those of channels")
    there, here = dict(refs.settings["data"]), source.described()
    if source.read(np.zeros(1, dtype=np.intp)).labels is None:
        there.pop("some of them")  # which is of images and labels
        here.pop("some of them")
    check_same({"data": there}, {"data": here}, "report: the reference samples and this data")
    return source


def found_with_other(refs: ReferenceSamples, lrp: LRP) -> tuple[str, ...]:
    """Say in what the analyzer differs from that with which reference samples were found."""
    return tuple(name for name, value in analyzer_settings(lrp).items() if refs.settings[name] != value)
