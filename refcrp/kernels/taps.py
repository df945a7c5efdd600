"""A convolution, or its adjoint, as phases that gather: what the compiled driver computes.

A phase is a grid of places (u, v) of the target that all see the source through the same taps::

    target[first + (u, v) stride] = Σ over channels and taps of weight · source[(u, v) step + offset]

and zero is what they see beyond its edges. The forward convolution is one phase, with the step of its stride,
and each position (i, j) of the window is a tap. The adjoint is a convolution too: with stride 1 it is one
phase, with the kernel flipped; with a larger stride the pixels whose coordinates have the same remainders see
the outputs through the same positions, one phase for each.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from refcrp.arrays import Array
from refcrp.kernels import simd
from refcrp.kernels.window import Pair, Window

CACHE_LINE = 64  # bytes
# Outputs of one block: a panel is read once for them, and packing it takes longer than reading it in place.
FEW_OUTPUTS = simd.driver.block_shape()[0] if simd.driver is not None else 0


@dataclass(frozen=True, eq=False)
class Phase:
    """Places of the target that see the source through the same taps, with packed weights."""

    weights: Array  # as `packed` lays them out
    offsets: Array  # (taps, 2): vertical and horizontal, from the corner of the margin on
    step: Pair
    first: Pair
    stride: Pair
    groups: int
    outputs: int  # of one group

    def places(self, size: tuple[int, ...]) -> Pair:
        """Count the places in a target of `size`, vertically and horizontally."""
        first, stride = self.first, self.stride
        return -((first[0] - size[0]) // stride[0]), -((first[1] - size[1]) // stride[1])

    def seen(self, places: Pair) -> Pair:
        """Give how much so many places see of the source with its margin, in rows and columns."""
        rows, columns = self.offsets.max(axis=0).tolist()
        return (places[0] - 1) * self.step[0] + rows + 1, (places[1] - 1) * self.step[1] + columns + 1


@dataclass(frozen=True, eq=False)
class Pass:
    """A phase on a target of a certain size."""

    phase: Phase
    packs: bool  # whether panels are packed, or read where they are
    panels: int  # in an image
    operations: int  # multiplications in one image


@dataclass(frozen=True, eq=False)
class Plan:
    """A convolution or an adjoint on images of a certain size."""

    source_size: Pair  # with the margin in which all taps see something
    needs_margin: bool  # or else the source may be the image as it is
    covers_target: bool  # or else some pixels are seen by no tap
    passes: tuple[Pass, ...]

    @cached_property
    def operations(self) -> int:
        """Multiplications in one image."""
        return sum(step.operations for step in self.passes)


@dataclass(frozen=True, eq=False)
class Gathering:
    """A convolution or an adjoint: phases, and how far taps see beyond the source, above and to the left."""

    phases: tuple[Phase, ...]
    margin: Pair

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the weights."""
        return self.phases[0].weights.dtype

    @cached_property
    def plan(self) -> Callable[[tuple[int, ...], tuple[int, ...], int, bool], Plan]:
        """`make_plan`, which remembers a few."""
        return lru_cache(maxsize=32)(self.make_plan)

    def make_plan(
        self, size: tuple[int, ...], target_size: tuple[int, ...], lanes: int, is_copied: bool
    ) -> Plan:
        """Work out what does not depend on the numbers, for a source and a target of some sizes.

        `is_copied`: the source gets a margin anyway.
        """
        height, width = (m + n for m, n in zip(self.margin, size, strict=True))
        places = [phase.places(target_size) for phase in self.phases]
        for phase, count in zip(self.phases, places, strict=True):
            height, width = (max(a, b) for a, b in zip((height, width), phase.seen(count), strict=True))
        passes = tuple(
            make_pass(phase, rows, columns, width, lanes)
            for phase, (rows, columns) in zip(self.phases, places, strict=True)
            if rows > 0 and columns > 0
        )
        lacks_margin = not is_copied and (height, width) != tuple(size)
        needs_margin = lacks_margin and not all(step.packs for step in passes)
        covers_target = sum(rows * columns for rows, columns in places) == math.prod(target_size)
        return Plan((height, width), needs_margin, covers_target, passes)


def make_pass(phase: Phase, rows: int, columns: int, source_width: int, lanes: int) -> Pass:
    """Count what there is to do for the places of a phase."""
    packs = phase.step != (1, 1) or lanes > 1 or phase.outputs > FEW_OUTPUTS
    tile_columns = simd.driver.tile_shape(phase.weights.itemsize)[1]
    panels = -(-rows * (columns if packs else source_width) * lanes // tile_columns)
    return Pass(phase, packs, panels, rows * columns * lanes * phase.weights.size)


def forward(weight: Array, window: Window, groups: int) -> Gathering:
    """Give convolution with `weight` (o, c / groups, kh, kw)."""
    o, c = weight.shape[:2]
    taps = weight.reshape(groups, o // groups, c, -1)
    offsets = [(i * window.dilation[0], j * window.dilation[1]) for i, j in window.positions()]
    return Gathering((phase(taps, offsets, window.stride, (0, 0), (1, 1)),), window.padding)


def adjoint(weight: Array, window: Window, groups: int) -> Gathering:
    """Give the adjoint, phase by phase; a phase without taps is left out."""
    o, c, kh, kw = weight.shape
    by_input = weight.reshape(groups, o // groups, c, kh, kw).swapaxes(1, 2)
    seen = [[positions_seen(window, axis, pixel) for pixel in range(window.stride[axis])] for axis in (0, 1)]
    top, left = (max(0, -min(p for positions in axis for p in positions.values())) for axis in seen)
    phases = []
    for (y, rows), (x, columns) in itertools.product(enumerate(seen[0]), enumerate(seen[1])):
        if rows and columns:
            taps = by_input[:, :, :, list(rows)][..., list(columns)].reshape(groups, c, o // groups, -1)
            offsets = [(rows[i] + top, columns[j] + left) for i in rows for j in columns]
            phases.append(phase(taps, offsets, (1, 1), (y, x), window.stride))
    return Gathering(tuple(phases), (top, left))


def positions_seen(window: Window, axis: int, pixel: int) -> dict[int, int]:
    """Give the positions of the window that see the pixels pixel + u stride, each with its place less u."""
    stride, seen = window.stride[axis], {}
    for p in range(window.kernel[axis]):
        distance = pixel + window.padding[axis] - p * window.dilation[axis]
        if distance % stride == 0:
            seen[p] = distance // stride
    return seen


def phase(taps: Array, offsets: list[Pair], step: Pair, first: Pair, stride: Pair) -> Phase:
    """Pack the weights (groups, outputs, channels, taps) of a phase."""
    groups, outputs = taps.shape[:2]
    return Phase(packed(taps), np.array(offsets, np.intc), step, first, stride, groups, outputs)


def packed(taps: Array) -> Array:
    """Lay out weights (groups, outputs, channels, taps) in the order in which the driver reads them.

    By group, by some channels, by some of the taps, by blocks of outputs (the last one filled up with zeros):
    a row for each tap and channel, of one weight for each output of the block.
    """
    rows, most_channels, depth = simd.driver.block_shape()
    groups, outputs, channels, count = taps.shape
    blocks = -(-outputs // rows)
    filled = np.zeros((groups, blocks * rows, channels, count), taps.dtype)
    filled[:, :outputs] = taps
    by_block = filled.reshape(groups, blocks, rows, channels, count).transpose(0, 1, 4, 3, 2)
    laid_out = aligned(filled.size, taps.dtype)
    by_group, start = laid_out.reshape(groups, -1), 0
    for c in range(0, channels, most_channels):
        at_once = max(1, depth // min(most_channels, channels - c))
        for t in range(0, count, at_once):
            part = by_block[:, :, t : t + at_once, c : c + most_channels].reshape(groups, -1)
            by_group[:, start : start + part.shape[1]] = part
            start += part.shape[1]
    return laid_out


def aligned(size: int, dtype: np.dtype[Any]) -> Array:
    """Give an array of `size` numbers that begins with a cache line: a vector of weights lies in one then."""
    memory = np.empty(size * dtype.itemsize + CACHE_LINE, np.uint8)
    first = -memory.ctypes.data % CACHE_LINE
    return memory[first : first + size * dtype.itemsize].view(dtype)
