"""How what flows between Keras layers lies in memory there, and here.

Keras computes on (height, width, channels) or (channels, height, width), on sequences (length, channels), and
flattens them in that order; refcrp on (channels, height, width), a sequence being an image of height 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import Shape
from refcrp.io.keras_config import Call

__all__ = ["Layout", "Tensor", "size_of"]

Axes = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """What a layer reads or gives.

    Parameters
    ----------
    shape : tuple of int or None
        In refcrp: (channels, height, width), (features,) or, without channels, (rows, columns).
    axes : tuple of int
        For each axis in Keras, which axis it is in refcrp, counted from 1.
    blocks : tuple of shapes
        Of a vector: the shapes of what was flattened into it, channels last in Keras, one after the other.
        Empty where both orders agree.
    """

    shape: Shape
    axes: Axes
    blocks: tuple[Shape, ...] = ()

    @property
    def is_image(self) -> bool:
        """Whether there are channels, height and width."""
        return len(self.shape) == 3

    @property
    def is_sequence(self) -> bool:
        """Whether it is a sequence in Keras, and an image of height 1 here."""
        return self.is_image and len(self.axes) == 2

    @property
    def channels_last(self) -> bool:
        """Whether the last axis in Keras has the channels of an image, or the features of a vector."""
        return self.axes[-1] == 1

    def order(self) -> Array | slice:
        """Give the place in refcrp's vector of each feature of Keras's."""
        if not self.blocks:
            return slice(None)
        places, start = [], 0
        for block in self.blocks:
            size = size_of(block)
            assert size is not None
            place = np.arange(start, start + size).reshape([n for n in block if n is not None])
            places.append((np.moveaxis(place, 0, -1) if len(block) == 3 else place).ravel())
            start += size
        return np.concatenate(places)


@dataclass(frozen=True)
class Layout:
    """The order of axes in a model.

    Parameters
    ----------
    channels_first : bool
        Of images and sequences.
    sequences : bool
        Whether two axes are a sequence (length, channels), as in every model with a layer for sequences;
        otherwise they are rows and columns.
    """

    channels_first: bool
    sequences: bool

    @classmethod
    def of(cls, calls: Iterable[Call]) -> Layout:
        """Find out the order, which the first layer that has one says."""
        calls = [call for call in calls if call.class_name != "Flatten"]
        orders = (call.config.get("data_format") for call in calls)
        first = next((order for order in orders if order is not None), None)
        return cls(first == "channels_first", any("1D" in call.class_name for call in calls))

    def axes(self, rank: int) -> Axes:
        """Say which of refcrp's axes each of a sample's axes in Keras is."""
        if rank == 2 and self.sequences:
            return (1, 3) if self.channels_first else (3, 1)
        if rank == 3 and not self.channels_first:
            return (2, 3, 1)
        return tuple(range(1, rank + 1))

    def tensor(self, shape: Shape, blocks: tuple[Shape, ...] = ()) -> Tensor:
        """Make a tensor of a shape as Keras has it."""
        axes = self.axes(len(shape))
        lengths: list[int | None] = [1] * (3 if axes in ((1, 3), (3, 1)) else len(shape))
        for axis, length in zip(axes, shape, strict=True):
            lengths[axis - 1] = length
        return Tensor(tuple(lengths), axes, blocks)


def size_of(shape: Shape) -> int | None:
    """Count the values in a shape."""
    return None if None in shape else math.prod(n for n in shape if n is not None)
