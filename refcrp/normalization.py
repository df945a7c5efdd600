"""How pixels become the input of a model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from refcrp.arrays import Array, like
from refcrp.errors import ParameterError, ShapeError

__all__ = ["MAX_CHANNELS", "Normalization"]

MAX_CHANNELS = 512  # in a file they are an attribute, of 4096 bytes at most


@dataclass(frozen=True)
class Normalization:
    """Pixels v, values in [0, 1], become (v - mean) / std.

    Parameters
    ----------
    mean, std : float or sequence of float
        One number for all channels, or one for each; std above zero. Kept as tuples.

    Examples
    --------
    >>> import refcrp as rc
    >>> rc.Normalization(mean=0.5, std=(0.25, 0.5))
    Normalization(mean=(0.5,), std=(0.25, 0.5))
    """

    mean: Any = (0.0,)
    std: Any = (1.0,)

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, as_numbers(getattr(self, name), name))
        if len({1, len(self.mean), len(self.std)}) > 2:
            raise ParameterError(
                f"Normalization: {len(self.mean)} numbers for mean, {len(self.std)} for std; "
                "expected one, or one for each channel"
            )

    @property
    def formula(self) -> str:
        """Write what becomes of a pixel v."""
        mean, std = (
            f"{values[0]:g}" if len(values) == 1 else f"({', '.join(f'{v:g}' for v in values)})"
            for values in (self.mean, self.std)
        )
        return f"(v - {mean}) / {std}"

    def normalize(self, pixels: Array) -> Array:
        """Compute (v - mean) / std for images (batch, channels, height, width), or features (batch, n)."""
        mean, std = self.along_channels(pixels)
        return np.asarray((pixels - mean) / std)

    def pixels(self, x: Array) -> Array:
        """Compute x · std + mean, which undoes `normalize`."""
        mean, std = self.along_channels(x)
        return np.asarray(x * std + mean)

    def along_channels(self, x: Array) -> tuple[Array, Array]:
        """Give mean and std in the type of `x`, shaped to broadcast along its axis 1."""
        self.check_channels(x.shape[1] if x.ndim > 1 else None)
        shape = (-1, *[1] * (x.ndim - 2))
        mean, std = (like(np.reshape(values, shape), x) for values in (self.mean, self.std))
        return mean, std

    def check_channels(self, channels: int | None) -> None:
        """Raise `ShapeError` unless the numbers fit as many channels; None is not known."""
        count = max(len(self.mean), len(self.std))
        if channels is not None and count not in (1, channels):
            raise ShapeError(f"{self}: {count} numbers, expected one, or one for each of {channels} channels")


def as_numbers(value: Any, name: str) -> tuple[float, ...]:
    """Give one number or several as a tuple, or raise `ParameterError`."""
    numbers: tuple[float, ...] = ()
    if not isinstance(value, (str, bytes)):
        try:
            numbers = tuple(float(v) for v in np.atleast_1d(value).tolist())
        except (TypeError, ValueError, OverflowError):
            numbers = ()  # text, nested lists, lists of different lengths
    good = all(math.isfinite(v) and (v > 0 or name == "mean") for v in numbers)
    if not good or not 1 <= len(numbers) <= MAX_CHANNELS:
        bound = "" if name == "mean" else ", above zero"
        raise ParameterError(
            f"Normalization: {name} must be a finite number{bound}, or one for each channel, "
            f"got {value!r:.200}"
        )
    return numbers
