"""Zeros around an image, as a layer: for padding that is not the same on all sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import Shape, as_integer, check_shape
from refcrp.errors import ParameterError
from refcrp.layers.own import OwnRelevanceLayer
from refcrp.pull import Losses, Pull, per_sample
from refcrp.rule import Rule

__all__ = ["ZeroPad"]


@dataclass(frozen=True, eq=False, repr=False)
class ZeroPad(OwnRelevanceLayer):
    """Zeros around an image.

    Relevance of the image passes back as it is; relevance of the padding is dropped. Rules that weigh inputs
    give padding none, as it is zero; but a layer after this one takes it for part of its input, so that
    FlatRule, WSquareRule and ZBoxRule do give it some. ``Conv2d(padding=(top, bottom, left, right))`` knows
    what is padding.

    Parameters
    ----------
    padding : int or (int, int, int, int)
        At the top, at the bottom, at the left, at the right, in pixels.
    name : str, optional

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.ZeroPad((0, 0, 1, 2)).forward([[[[3.0, 4.0]]]])
    array([[[[0., 3., 4., 0., 0.]]]])
    """

    kind: ClassVar[str] = "zeropad"
    chooses: ClassVar[bool] = True  # or zero

    padding: int | tuple[int, int, int, int]

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.padding
        sides = tuple(given) if isinstance(given, (tuple, list, np.ndarray)) else (given,) * 4
        if len(sides) != 4:
            raise ParameterError(
                f"ZeroPad: padding is an integer, or four (top, bottom, left, right), got {given!r}"
            )
        object.__setattr__(self, "padding", tuple(as_integer(n, "ZeroPad: padding") for n in sides))

    @property
    def sides(self) -> tuple[int, int, int, int]:
        """Pixels at the top, at the bottom, at the left, at the right."""
        assert isinstance(self.padding, tuple)
        return self.padding

    @property
    def keeps_size(self) -> bool:  # type: ignore[override]
        """Whether there is no padding."""
        return not any(self.sides)

    def apply(self, x: Array) -> Array:
        """Compute the output of an input that has been checked."""
        top, bottom, left, right = self.sides
        return np.pad(x, [(0, 0), (0, 0), (top, bottom), (left, right)])

    def crop(self, padded: Array) -> Array:
        """Cut the padding off (..., height, width)."""
        top, bottom, left, right = self.sides
        height, width = padded.shape[-2:]
        return padded[..., top : height - bottom, left : width - right]

    def linearize(self, a: Array, rule: Rule) -> Pull:
        """Crop relevance to the image."""
        output = self.apply(a)

        def losses(R_out: Array) -> Losses:
            dropped = per_sample(R_out, output) - per_sample(self.crop(R_out), a)
            return Losses(0 * dropped, 0 * dropped, dropped)

        return Pull(output, self.crop, losses)

    def output_shape(self, shape: Shape) -> Shape:
        """Give (c, h + top + bottom, w + left + right) for (c, h, w)."""
        check_shape(shape, (None, None, None), self, "input, one sample")
        channels, height, width = shape
        top, bottom, left, right = self.sides
        return (
            channels,
            None if height is None else height + top + bottom,
            None if width is None else width + left + right,
        )

    def summary(self) -> str:
        """Show the sides."""
        return ", ".join(
            f"{side} {n}" for side, n in zip(("top", "bottom", "left", "right"), self.sides, strict=True)
        )
