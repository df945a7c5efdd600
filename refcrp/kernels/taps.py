"""A convolution, or its adjoint, as phases that gather: what the compiled driver computes.

A phase is a grid of places (u, v) of the target that all see the source through the same taps::

    target[first + (u, v) stride] = Σ over channels and taps of weight · source[part, (u, v) + offset]

The forward convolution is one phase, and each position (i, j) of the window is a tap; if it has a stride, the
source is split into the parts whose coordinates have the same remainders, so that neighbouring places see
neighbouring pixels. The adjoint is a convolution too: with stride 1 it is one phase, with the kernel flipped;
with a larger stride the pixels whose coordinates have the same remainders see the outputs through the same
positions, one phase for each.
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
# Outputs up to which packing a panel takes longer than what is saved by having it packed: a few times as many
# as are multiplied at once, for which a panel is read once.
FEW_OUTPUTS = 4 * simd.driver.outputs_at_once() if simd.driver is not None else 0
WASTE = 1.05  # of a row, read with what is no place: up to here that is less than what packing takes


@dataclass(frozen=True, eq=False)
class Phase:
    """Places of the target that see the source through the same taps, with packed weights."""

    weights: Array  # as `packed` lays them out
    offsets: Array  # (taps, 3): part, vertical and horizontal, none negative: the source has a margin
    parts: int  # of the source
    first: Pair
    stride: Pair
    furthest: Pair  # of the vertical and horizontal offsets
    groups: int
    outputs: int  # of one group

    def places(self, size: tuple[int, ...]) -> Pair:
        """Count the places in a target of `size`, vertically and horizontally."""
        first, stride = self.first, self.stride
        return -((first[0] - size[0]) // stride[0]), -((first[1] - size[1]) // stride[1])


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

    source_size: Pair  # margin included, and all parts below each other
    is_moved: bool  # or else the source is the image as it is
    covers_target: bool  # or else some pixels are seen by no tap
    passes: tuple[Pass, ...]

    @cached_property
    def operations(self) -> int:
        """Multiplications in one image."""
        return sum(step.operations for step in self.passes)


@dataclass(frozen=True, eq=False)
class Gathering:
    """A convolution or an adjoint: phases, and the margin of zeros above and left of the source."""

    phases: tuple[Phase, ...]
    margin: Pair
    split: Pair  # modulo which remainders of the coordinates the source is split into parts
    parts: Array  # the part of each pair of remainders, -1 for those that no tap sees

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the weights."""
        return self.phases[0].weights.dtype

    @cached_property
    def plan(self) -> Callable[[tuple[int, ...], tuple[int, ...], int], Plan]:
        """Give the plan for a source and a target of some sizes, with some lanes; a few are remembered."""
        return lru_cache(maxsize=32)(self.make_plan)

    def make_plan(self, size: tuple[int, ...], target_size: tuple[int, ...], lanes: int) -> Plan:
        """Work out what does not depend on the numbers."""
        height, width = (-(-(m + n) // s) for m, n, s in zip(self.margin, size, self.split, strict=True))
        places = [phase.places(target_size) for phase in self.phases]
        for phase, (rows, columns) in zip(self.phases, places, strict=True):
            height, width = max(height, rows + phase.furthest[0]), max(width, columns + phase.furthest[1])
        passes = tuple(
            make_pass(phase, rows, columns, width, lanes)
            for phase, (rows, columns) in zip(self.phases, places, strict=True)
            if rows > 0 and columns > 0
        )
        source_size = ((int(self.parts.max()) + 1) * height, width)
        covers_target = sum(rows * columns for rows, columns in places) == math.prod(target_size)
        is_moved = self.split != (1, 1) or source_size != tuple(size)
        return Plan(source_size, is_moved, covers_target, passes)


def make_pass(phase: Phase, rows: int, columns: int, source_width: int, lanes: int) -> Pass:
    """Count what there is to do for the places of a phase."""
    is_wasteful = phase.outputs > FEW_OUTPUTS // 4 and source_width > WASTE * columns
    packs = phase.outputs > FEW_OUTPUTS or is_wasteful or lanes > 1
    tile_columns = simd.driver.tile_shape(phase.weights.itemsize)[1]
    panels = -(-rows * (columns if packs else source_width) * lanes // tile_columns)
    return Pass(phase, packs, panels, rows * columns * lanes * phase.weights.size)


def forward(weight: Array, window: Window, groups: int) -> Gathering:
    """Give convolution with `weight` (o, c / groups, kh, kw)."""
    o, c = weight.shape[:2]
    (split_y, split_x), offsets = window.stride, []
    for i, j in window.positions():
        y, x = i * window.dilation[0], j * window.dilation[1]
        offsets.append((y % split_y * split_x + x % split_x, y // split_y, x // split_x))
    seen = sorted({remainders for remainders, _, _ in offsets})
    parts = np.full(split_y * split_x, -1, np.intc)
    parts[seen] = range(len(seen))
    in_parts = [(seen.index(remainders), y, x) for remainders, y, x in offsets]
    taps = weight.reshape(groups, o // groups, c, -1)
    only = phase(taps, in_parts, len(seen), (0, 0), (1, 1))
    return Gathering((only,), window.padding, window.stride, parts)


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
            offsets = [(0, rows[i] + top, columns[j] + left) for i in rows for j in columns]
            phases.append(phase(taps, offsets, 1, (y, x), window.stride))
    return Gathering(tuple(phases), (top, left), (1, 1), np.zeros(1, np.intc))


def positions_seen(window: Window, axis: int, pixel: int) -> dict[int, int]:
    """Give the positions of the window that see the pixels pixel + u stride, each with its place less u."""
    stride, seen = window.stride[axis], {}
    for p in range(window.kernel[axis]):
        distance = pixel + window.padding[axis] - p * window.dilation[axis]
        if distance % stride == 0:
            seen[p] = distance // stride
    return seen


def phase(taps: Array, offsets: list[tuple[int, int, int]], parts: int, first: Pair, stride: Pair) -> Phase:
    """Pack the weights (groups, outputs, channels, taps) of a phase."""
    return Phase(
        packed(taps),
        np.array(offsets, np.intc).reshape(-1, 3),
        parts,
        first,
        stride,
        furthest=(max(y for _, y, _ in offsets), max(x for _, _, x in offsets)),
        groups=taps.shape[0],
        outputs=taps.shape[1],
    )


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
