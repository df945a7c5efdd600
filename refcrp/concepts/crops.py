"""Which part of a reference sample to show: what its strongest neuron sees, or what it finds relevant."""

from __future__ import annotations

import math

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import as_integer, check_number
from refcrp.concept import ChannelConcept, Concept, NeuronConcept
from refcrp.errors import ParameterError, ShapeError
from refcrp.lrp import LRP
from refcrp.selection import GivenFeatures, Indices

__all__ = ["concept_heatmaps", "heatmap_crop", "neuron_heatmaps", "smoothed"]

MAX_NORM_STABILIZER = 1e-10  # as in zennit-crp


def concept_heatmaps(
    lrp: LRP, x: Array, layer: int | str, concepts: Indices, concept: Concept | None = None
) -> Array:
    """Show where each sample has a concept: relevance that starts at the layer, not at the output.

    It starts as the layer's own output, restricted to the concept: R = a there, as in zennit-crp's reference
    samples.

    Parameters
    ----------
    lrp : LRP
    x : (n, channels, height, width) array
    layer : int or str
    concepts : (n,) array of int
        The concept of each sample; `FeatureError` for one that is not there.
    concept : Concept
        What a concept is; a channel, if None.

    Returns
    -------
    (n, height, width) array
        Relevance, summed over the channels of the input.
    """
    concept = ChannelConcept() if concept is None else concept
    trace = lrp.trace(x)
    if trace.input.ndim != 4:
        raise ShapeError(
            f"concept_heatmaps: input of shape {trace.input.shape}, expected (n, channels, height, width)"
        )
    k = lrp.model.index(layer)
    a = trace.pulls[k].output
    chosen = GivenFeatures(np.asarray(concepts)[None]).select(
        concept.scores(a), f"layer {lrp.model.names[k]!r}"
    )
    R, _ = trace.pull(concept.restrict(a, chosen), at=k)
    return np.asarray(R[0].sum(axis=1))


def neuron_heatmaps(lrp: LRP, x: Array, layer: int | str, channels: Indices, positions: Indices) -> Array:
    """Show what a single neuron of each sample looks at; as `concept_heatmaps`.

    Parameters
    ----------
    channels, positions : (n,) array of int
        Which neuron: its channel, and its flat position as in `TopSamples.positions`.
    """
    k = lrp.model.index(layer)
    count = math.prod(length or 1 for length in lrp.model.shapes_for(np.shape(x)[1:])[k][1:])
    neurons = np.asarray(channels) * count + np.asarray(positions)  # as in NeuronConcept.index
    return concept_heatmaps(lrp, x, layer, neurons, NeuronConcept())


def smoothed(heatmap: Array, kernel_size: int = 19) -> Array:
    """Blur a heatmap (height, width) by a Gaussian, and divide it by its maximum.

    The Gaussian is cut off to `kernel_size` pixels, of standard deviation 0.15 kernel_size + 0.35,
    and the map is mirrored at its edges, as in torchvision, which zennit-crp uses.
    """
    size = as_integer(kernel_size, "kernel_size", 1)
    if size % 2 == 0 or np.ndim(heatmap) != 2 or size // 2 >= min(np.shape(heatmap)):
        raise ParameterError(
            f"kernel_size {kernel_size}: expected an odd number whose half is less than the sides of the "
            f"heatmap, {np.shape(heatmap)}"
        )
    sigma = 0.15 * size + 0.35
    offsets = np.arange(size) - size // 2
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    blurred = np.asarray(heatmap, dtype=np.float64)
    for axis in (0, 1):
        margins = [(size // 2, size // 2) if k == axis else (0, 0) for k in (0, 1)]
        mirrored = np.pad(blurred, margins, mode="reflect")
        blurred = np.lib.stride_tricks.sliding_window_view(mirrored, size, axis=axis) @ weights
    return np.asarray(blurred / (blurred.max() + MAX_NORM_STABILIZER))


def heatmap_crop(
    heatmap: Array, image: Array, *, threshold: float = 0.1, kernel_size: int = 19
) -> tuple[slice, slice]:
    """Give the rectangle of an image where a heatmap, smoothed, is above a threshold, as zennit-crp does.

    As there, the last row and column of the rectangle are left out; and it is the whole image where the
    image, or the heatmap, sums to zero in what is left.

    Parameters
    ----------
    heatmap : (height, width) array
        Of a single neuron; see `neuron_heatmaps`.
    image : (channels, height, width) array
        As it is shown.
    threshold : float
        Part of the maximum of the smoothed map.
    kernel_size : int
        Of the Gaussian; see `smoothed`.

    Returns
    -------
    rows, columns : slice
    """
    check_number("threshold", threshold, 0, 1)
    if np.ndim(image) != 3 or np.shape(image)[1:] != np.shape(heatmap):
        raise ShapeError(
            f"heatmap_crop: an image of shape {np.shape(image)} and a heatmap of {np.shape(heatmap)}, "
            "expected (channels, height, width) and (height, width)"
        )
    rows, columns = np.nonzero(smoothed(heatmap, kernel_size) > threshold)
    height, width = np.shape(heatmap)
    whole = slice(0, height), slice(0, width)
    if not rows.size or (rows.min() == rows.max() and columns.min() == columns.max()):
        box = slice(0, height - 1), slice(0, width - 1)
    else:
        box = slice(int(rows.min()), int(rows.max())), slice(int(columns.min()), int(columns.max()))
    has_something = np.asarray(image)[:, *box].sum() != 0 and np.asarray(heatmap)[box].sum() != 0
    return box if has_something else whole
