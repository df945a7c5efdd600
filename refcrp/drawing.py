"""What all pictures have in common: images, heatmaps and their captions, drawn by matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from refcrp.arrays import Array
from refcrp.errors import MissingDependencyError
from refcrp.normalization import Normalization

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOUR_MAP", "as_picture", "draw_map", "draw_picture", "finish", "require_matplotlib", "share"]

COLOUR_MAP = "RdBu_r"  # red speaks for the output, blue against it, white is zero


def as_picture(image: Array, normalization: Normalization | None) -> Array:
    """Give a model's input (channels, height, width) as it is shown, values 0 to 1.

    With a normalization these are the pixels it was made of, those outside [0, 1] as the nearest in it;
    without one, the lowest value is black and the highest white.
    """
    picture = np.asarray(image, dtype=np.float64)
    if normalization is not None:
        picture = normalization.pixels(picture[None])[0]
        return np.asarray(picture.clip(0, 1))
    low, high = (picture.min(), picture.max()) if picture.size else (0, 0)
    return (picture - low) / (high - low) if high > low else np.zeros_like(picture)


def draw_picture(axis: Axes, picture: Array, title: str = "") -> None:
    """Draw values from 0 to 1: three channels in colour, else the mean of the channels."""
    if len(picture) == 3:
        axis.imshow(np.moveaxis(picture, 0, 2))
    else:
        axis.imshow(picture.mean(axis=0), cmap="gray", vmin=0, vmax=1)
    finish(axis, title)


def draw_map(axis: Axes, values: Array, title: str = "") -> None:
    """Draw relevance (h, w) with colours symmetric about zero."""
    limit = np.abs(values).max(initial=0) or 1.0
    axis.imshow(values, cmap=COLOUR_MAP, vmin=-limit, vmax=limit)
    finish(axis, title)


def finish(axis: Axes, title: str) -> None:
    """Write the title and take the ticks away."""
    lines = (line if len(line) <= 20 else f"{line[:9]}…{line[-10:]}" for line in title.split("\n"))
    axis.set_title("\n".join(lines), fontsize=8, parse_math=False)
    axis.set_xticks([])
    axis.set_yticks([])


def share(part: Array, whole: Array) -> list[str]:
    """Write parts of a whole in per cent; a dash where there is no whole."""
    return [f"{100 * float(p / w):.1f} %" if w != 0 else "-" for p, w in zip(part, whole, strict=True)]


def require_matplotlib() -> None:
    """Raise `MissingDependencyError` if matplotlib is not there."""
    try:
        import matplotlib  # noqa: F401, PLC0415 - imported where it is used
    except ImportError as error:
        raise MissingDependencyError("pictures need matplotlib: pip install 'refcrp[plot]'") from error
