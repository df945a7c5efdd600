"""Explanations as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from refcrp.arrays import Array
from refcrp.drawing import as_picture, draw_map, draw_picture, require_matplotlib, share
from refcrp.errors import ParameterError, ShapeError
from refcrp.explanation import Explanation
from refcrp.normalization import Normalization

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["heatmap"]

MAX_PANELS = 1000


@dataclass(frozen=True)
class Column:
    """One column of the grid: a heatmap for each sample, and what is written above each."""

    maps: Array  # (n, h, w)
    titles: Sequence[str]


def heatmap(
    explanation: Explanation,
    path: str | PathLike[str] | None = None,
    *,
    lrp: Explanation | None = None,
    normalization: Normalization | None = None,
) -> Figure:
    """Draw an explanation: one row a sample; the input, then one heatmap for each condition or concept.

    A heatmap is relevance summed over channels, red where it is positive and blue where it is negative, each
    map on its own scale, symmetric about zero. Concepts show their channel and their share of the layer's
    relevance.

    Parameters
    ----------
    explanation : Explanation
        Of images: relevance of shape (k n, channels, height, width).
    path : path, optional
        Where to write the picture; the ending says in which format.
    lrp : Explanation, optional
        The LRP explanation of the same inputs, to be shown beside the concepts.
    normalization : Normalization, optional
        How pixels became the input, as ``model.normalization``: the input is shown as these pixels, those
        outside [0, 1] as the nearest in it. Without it, its lowest value is black and its highest white.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        If the relevance is not that of images.
    MissingDependencyError
        If matplotlib is not installed.

    Examples
    --------
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> figure = rc.heatmap(rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())(x[:2]))
    >>> len(figure.axes)  # input and heatmap, for two samples
    4
    """
    if not isinstance(explanation, Explanation):
        raise ParameterError(f"heatmap: expected an explanation, got {explanation!r}")
    require_matplotlib()
    from matplotlib.figure import Figure  # noqa: PLC0415 - imported where it is used

    samples = len(explanation.input)
    columns = ([] if lrp is None else columns_of(lrp)) + columns_of(explanation)
    if lrp is not None and not np.array_equal(lrp.input, explanation.input):
        raise ShapeError("heatmap: the two explanations are of different inputs")

    width, height = len(columns) + 1, samples
    if not 0 < width * height <= MAX_PANELS:
        raise ShapeError(f"heatmap: {height} rows of {width} pictures; expected 1 to {MAX_PANELS} in all")
    figure = Figure(figsize=(1.5 * width, 2 * height), layout="constrained")
    axes = figure.subplots(height, width, squeeze=False)
    for row in range(samples):
        draw_picture(axes[row, 0], as_picture(explanation.input[row], normalization), "input\n")
        for axis, column in zip(axes[row, 1:], columns, strict=True):
            draw_map(axis, column.maps[row], column.titles[row])
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def columns_of(explanation: Explanation) -> list[Column]:
    """Cut an explanation into one column for each concept or condition."""
    samples = len(explanation.input)
    R = np.asarray(explanation.relevance, dtype=np.float64)
    if R.ndim != 4:
        raise ShapeError(
            f"heatmap: relevance has shape {R.shape}, expected that of images (n, channels, h, w)"
        )
    maps = R.sum(axis=1).reshape(len(R) // max(samples, 1), samples, *R.shape[2:])
    return [Column(rows, titles_of(explanation, k)) for k, rows in enumerate(maps)]


def titles_of(explanation: Explanation, k: int) -> list[str]:
    """Say for each sample what the k-th map shows."""
    if explanation.conditions is not None:
        title = "\n".join(f"{layer}: {list(ids)}" for layer, ids in explanation.conditions[k].items())
        return [title] * len(explanation.input)
    if explanation.features is None or explanation.feature_relevance is None:
        assert not isinstance(explanation.selected, tuple)
        return [f"LRP\noutput {index}" for index in explanation.selected]
    assert explanation.layer_relevance is not None
    shares = share(explanation.feature_relevance[k], explanation.layer_relevance)
    return [
        f"{explanation.layer} [{channel}]\n{part}"
        for channel, part in zip(explanation.features[k], shares, strict=True)
    ]
