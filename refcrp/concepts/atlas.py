"""Concept atlas: which concept dominates where in an image.

References
----------
Achtibat et al., From attribution maps to human-understandable explanations through Concept Relevance
Propagation, Nature Machine Intelligence 5, 2023, figure "concept atlas".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from refcrp.arrays import Array, unchecked_array
from refcrp.checks import as_integer
from refcrp.concept import ChannelConcept, Concept
from refcrp.concepts.atlas_picture import COLOURS, NONE, draw
from refcrp.concepts.local import relevance_of_parts
from refcrp.concepts.tiles import reference_tiles
from refcrp.errors import ParameterError, ShapeError
from refcrp.lrp import LRP
from refcrp.selection import Indices, OutputSelector

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from refcrp.concepts.references import ReferenceSamples

__all__ = ["ConceptAtlas", "concept_atlas"]


@dataclass(frozen=True, eq=False)
class ConceptAtlas:
    """The concept that dominates each of m regions of an image.

    Attributes
    ----------
    layer : str
    image : (channels, height, width) array
    selected : int
        The output neuron that was explained.
    regions : (height, width) array of int
        To which region a pixel belongs, 0 to m - 1: cells row by row, or labels in ascending order.
    labels : (m,) array of int
        The label of each region in the user's label image; the numbers of cells.
    concepts : (m,) array of int
        The channel, or the number of the concept; -1 where none has positive relevance.
    relevance : (m,) array
        Its relevance in the region; 0 where there is none.
    share : (m,) array
        Part of all positive relevance that concepts have in the region; 0 where there is none.
    all_relevance : (m, concepts) array
        The relevance of every concept in every region.
    lrp : LRP
    concept : Concept

    Examples
    --------
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())
    >>> concepts, relevance = rc.concept_atlas(lrp, x[:1], "conv2", regions=2).ranking()
    >>> concepts, relevance.round(2)
    (array([11,  3,  9,  2]), array([0.23, 0.22, 0.08, 0.05]))
    """

    layer: str
    image: Array
    selected: int
    regions: Indices
    labels: Array
    concepts: Indices
    relevance: Array
    share: Array
    all_relevance: Array
    lrp: LRP = field(repr=False)
    concept: Concept = field(repr=False)

    def ranking(self) -> tuple[Indices, Array]:
        """Rank the concepts that dominate anywhere.

        Returns
        -------
        concepts : (k,) array of int
            By descending relevance; among equals the lower number comes first.
        relevance : (k,) array
            Of each, summed over the regions in which it dominates.
        """
        concepts = np.unique(self.concepts[self.concepts != NONE])
        relevance = np.array([self.relevance[self.concepts == c].sum() for c in concepts])
        order = np.argsort(-relevance, kind="stable")
        return concepts[order], relevance[order]

    def draw(
        self,
        path: str | PathLike[str] | None = None,
        refs: ReferenceSamples | None = None,
        data: Any = None,
        *,
        n: int = 5,
        **which: Any,
    ) -> Figure:
        """Draw the regions over the image, and a legend.

        A region has the colour of its concept, the more opaque the more relevance; regions without one have
        none. The seven concepts with the most relevance have colours of their own, the others are grey; what
        belongs together has its number written on it. The legend says which part of the layer's relevance
        each concept has in its regions.

        Parameters
        ----------
        path : path, optional
            Where to write the picture; the ending says in which format.
        refs : ReferenceSamples, optional
            With these, reference samples stand beside each concept of the legend.
        data : array, pair of arrays, or sequence of (image, label)
            What `refs` were collected from.
        n : int
            How many reference samples.
        **which
            As for `reference_tiles`: ``by``, ``over``, ``label``, ``crop``.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ParameterError
            If one of `refs` and `data` is missing, or concepts are no channels and there are `refs`.
        MissingDependencyError
            If matplotlib is not installed.
        """
        if (refs is None) != (data is None):
            raise ParameterError("ConceptAtlas.draw: refs= and data= belong together; give both or none")
        tiles = None
        if refs is not None:
            if self.concept != ChannelConcept():
                raise ParameterError(f"ConceptAtlas.draw: refs= are drawn for channels, not {self.concept!r}")
            concepts = self.ranking()[0][: len(COLOURS)].tolist()
            tiles = reference_tiles(
                refs, self.lrp, data, self.layer, concepts, n=as_integer(n, "n", 1), **which
            )
        return draw(self, tiles, path)

    def __repr__(self) -> str:
        concepts = ", ".join(map(str, self.ranking()[0]))
        return f"ConceptAtlas({self.layer!r}, {len(self.labels)} regions; concepts {concepts or 'none'})"


def concept_atlas(
    lrp: LRP,
    x: Array,
    layer: int | str,
    regions: int | Sequence[int] | Array = 8,
    output: int | OutputSelector | None = None,
    *,
    concept: Concept | None = None,
) -> ConceptAtlas:
    """Find the dominant concept of each region of an image.

    It is the concept whose conditional heatmap, summed over the channels of the input and over the region, is
    largest, if that is above zero; among equals the one with the lower number.

    Parameters
    ----------
    lrp : LRP
    x : (1, channels, height, width) array
    layer : int or str
        By index or name.
    regions : int, (rows, columns), or (height, width) array of int
        A grid of so many cells a side, as equal as pixels allow; or to which region each pixel belongs, such
        as the superpixels of ``skimage.segmentation.slic``.
    output : int or OutputSelector, optional
        The output neuron to explain, as for `LRP`; the highest by default.
    concept : Concept, optional
        What a concept is; a channel by default.

    Returns
    -------
    ConceptAtlas

    Raises
    ------
    ShapeError
        If there is not exactly one image, or the label image does not fit it.
    ParameterError
        If there are more cells than pixels, or labels are not integers.
    UnknownLayerError, FeatureError
        If there is no such layer or output neuron.

    Examples
    --------
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())
    >>> rc.concept_atlas(lrp, x[:1], "conv2", regions=2).concepts.reshape(2, 2)
    array([[ 2, 11],
           [ 3,  9]])
    """
    shape = np.shape(x)
    if len(shape) != 4 or shape[0] != 1:
        raise ShapeError(f"concept_atlas: expected one image (1, channels, height, width), got shape {shape}")
    labels, number = as_regions(regions, (shape[2], shape[3]))
    # Pixels sorted by region, so that each region is a slice.
    order = np.argsort(number, axis=None, kind="stable")
    starts = np.searchsorted(number.ravel()[order], np.arange(len(labels)))

    def of_regions(maps: Array) -> Array:
        pixels = maps.reshape(*maps.shape[:2], -1)[..., order]
        return np.asarray(np.add.reduceat(pixels, starts, axis=2))

    R, selected = relevance_of_parts(lrp, x, layer, of_regions, output, concept)
    R = R[:, 0].T  # (regions, concepts)
    strongest, positive = R.max(axis=1), np.maximum(R, 0).sum(axis=1)
    has_one = np.asarray(strongest > 0, dtype=bool)
    return ConceptAtlas(
        layer=lrp.model.names[lrp.model.index(layer)],
        image=np.array(x[0]),
        selected=int(selected[0]),
        regions=number,
        labels=labels,
        concepts=np.where(has_one, R.argmax(axis=1), NONE),
        relevance=np.where(has_one, strongest, 0),
        share=np.where(has_one, strongest, 0) / np.where(has_one, positive, 1),
        all_relevance=R,
        lrp=lrp,
        concept=ChannelConcept() if concept is None else concept,
    )


def as_regions(regions: Any, size: tuple[int, int]) -> tuple[Array, Indices]:
    """Give the labels of the regions, and the number of each pixel's region, (height, width)."""
    given = unchecked_array(regions, "concept_atlas: regions")
    if given.ndim == 2:
        if given.shape != size:
            raise ShapeError(f"concept_atlas: a label image of shape {given.shape}, the image has {size}")
        if given.dtype.kind not in "iu":
            raise ParameterError(f"concept_atlas: a label image of {given.dtype}, expected integers")
        labels, number = np.unique(given, return_inverse=True)
        return labels, number.reshape(size).astype(np.intp)
    if given.ndim > 2 or given.size not in (1, 2):
        raise ParameterError(
            f"concept_atlas: regions={regions!r:.100}: expected how many cells a side, (rows, columns), "
            "or a label image (height, width)"
        )
    cells = [as_integer(n, "concept_atlas: regions", 1) for n in np.broadcast_to(given, 2).tolist()]
    if cells[0] > size[0] or cells[1] > size[1]:
        raise ParameterError(f"concept_atlas: {cells[0]} x {cells[1]} cells, the image has {size} pixels")
    rows, columns = (np.arange(length) * count // length for length, count in zip(size, cells, strict=True))
    return np.arange(cells[0] * cells[1]), rows[:, None] * cells[1] + columns
