"""Reference samples as small pictures: cropped to what matters, and what matters in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from refcrp.arrays import Array
from refcrp.concept import ChannelConcept
from refcrp.concepts.crops import concept_heatmaps, heatmap_crop, neuron_heatmaps, smoothed
from refcrp.concepts.receptive import receptive_field
from refcrp.concepts.sources import as_data
from refcrp.errors import ParameterError
from refcrp.lrp import LRP

if TYPE_CHECKING:
    from refcrp.concepts.references import ReferenceSamples

__all__ = ["CROPS", "Crop", "ReferenceTile", "reference_tiles"]

Crop = Literal["receptive-field", "heatmap"]
CROPS: tuple[Crop | None, ...] = ("receptive-field", "heatmap", None)
KERNEL = 19  # pixels of the Gaussian that smooths heatmaps, as in zennit-crp
SIDE = 224  # of the images for which that was chosen
VISIBLE = 0.2  # part of the maximum of a smoothed heatmap below which a picture fades, as there
FADED = 0.3  # to which part of its brightness
BATCH = 32  # samples that are explained together


@dataclass(frozen=True, eq=False)
class ReferenceTile:
    """A reference sample of a concept.

    Attributes
    ----------
    channel, sample : int
        Whose sample, and which one of the data set.
    score : float
        Its relevance or activation.
    target : int
        The output neuron for which it was explained.
    image : (channels, height, width) array
        The crop, as the model reads it.
    heatmap : (height, width) array
        The crop of the conditional heatmap that starts at the concept.
    visible : (height, width) array of bool
        Where the heatmap, smoothed by a Gaussian that is to the image as zennit-crp's to one of 224 pixels,
        is more than a fifth of its maximum.
    """

    channel: int
    sample: int
    score: float
    target: int
    image: Array
    heatmap: Array
    visible: npt.NDArray[np.bool_]


def reference_tiles(
    refs: ReferenceSamples,
    lrp: LRP,
    data: Any,
    layer: int | str,
    channels: Sequence[int],
    *,
    crop: Crop | None = "receptive-field",
    **which: Any,
) -> list[list[ReferenceTile]]:
    """Cut out the reference samples of some channels.

    Parameters
    ----------
    refs : ReferenceSamples
    lrp : LRP
        Computes the heatmaps; they start at the layer, as its own output.
    data : array, pair of arrays, or sequence of (image, label)
        What `refs` were collected from.
    layer : int or str
    channels : sequence of int
    crop : "receptive-field", "heatmap" or None
        What the strongest neuron sees; the box where its own heatmap is high, as zennit-crp does; or nothing
        is cut off.
    **which
        As for `ReferenceSamples.top`: ``n``, ``by``, ``over``, ``label``.

    Returns
    -------
    list of lists of ReferenceTile
        For each channel, its samples, best first.
    """
    if crop not in CROPS:
        raise ParameterError(f"crop={crop!r}: expected one of {', '.join(map(repr, CROPS))}")
    tops = [refs.top(layer, channel=channel, **which) for channel in channels]
    owner = np.repeat(np.asarray(channels, dtype=np.intp), [len(top.samples) for top in tops])
    samples, scores, positions, targets = (
        np.concatenate([getattr(top, name) for top in tops])
        for name in ("samples", "scores", "positions", "targets")
    )
    source, tiles = as_data(data), []
    for start in range(0, len(samples), BATCH):
        part = slice(start, start + BATCH)
        x, cut = source.images(samples[part]), Cutter(lrp, layer, crop)
        entries = zip(owner[part], samples[part], scores[part], targets[part], strict=True)
        for (channel, sample, score, target), pieces in zip(
            entries, cut(x, owner[part], positions[part]), strict=True
        ):
            tiles.append(ReferenceTile(int(channel), int(sample), float(score), int(target), *pieces))
    ends = np.cumsum([len(top.samples) for top in tops])
    return [tiles[end - len(top.samples) : end] for top, end in zip(tops, ends, strict=True)]


@dataclass(frozen=True)
class Cutter:
    """Cuts pictures to what matters of them to a neuron of a layer."""

    lrp: LRP
    layer: int | str
    crop: Crop | None

    def __call__(
        self, x: Array, channels: npt.NDArray[np.intp], positions: npt.NDArray[np.intp]
    ) -> list[tuple[Array, Array, npt.NDArray[np.bool_]]]:
        """Give for each sample the cut image, the cut heatmap, and where it is high."""
        if self.crop is None:
            maps = concept_heatmaps(self.lrp, x, self.layer, channels, ChannelConcept())
        else:
            maps = neuron_heatmaps(self.lrp, x, self.layer, channels, positions)
        side = min(x.shape[-2:])
        smooth = 2 * max(1, KERNEL * side // (2 * SIDE)) + 1
        pieces = []
        for image, heatmap, position in zip(x, maps, positions, strict=True):
            if self.crop == "receptive-field":
                box = receptive_field(self.lrp.model, self.layer, int(position), x.shape[1:])
            elif self.crop == "heatmap":
                box = heatmap_crop(heatmap, image, kernel_size=min(KERNEL, 2 * side - 1))
            else:
                box = slice(None), slice(None)
            visible = smoothed(heatmap, min(smooth, 2 * side - 1)) > VISIBLE
            pieces.append((image[:, *box], heatmap[box], visible[box]))
        return pieces
