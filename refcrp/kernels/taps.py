"""A convolution, or its adjoint, as phases that gather: what the compiled driver computes.

A phase is a grid of places (u, v) of the target that all see the source through the same taps::

    target[first + (u, v) stride] = Σ over channels and taps of weight · source[(u, v) step + offset]

and zero is what they see beyond its edges. The forward convolution is one phase, with the step of its stride,
and each position (i, j) of the window is a tap; for few outputs, the source is rather split into the parts
whose coordinates have the same remainders, so that neighbouring places see neighbouring pixels. The adjoint
is a convolution too: with stride 1 it is one phase, with the kernel flipped; with a larger stride the pixels
whose coordinates have the same remainders see the outputs through the same positions, one phase for each.
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
# Numbers of an image. A larger one is rather read once, to give it a margin, than piece by piece for each few
# taps, unless it has more than the few outputs.
FITS_A_CACHE = 2**18
WASTE = 1.05  # of a row, read with what is no place: up to here that is less than what packing takes


@dataclass(frozen=True, eq=False)
class Phase:
    """Places of the target that see the source through the same taps, with packed weights."""

    weights: Array  # as `packed` lays them out
    offsets: Array  # (taps, 3): part, vertical and horizontal, from the corner of the margin on
    step: Pair
    first: Pair
    stride: Pair
    groups: int
    channels: int  # of all groups
    outputs: int  # of one group

    def places(self, size: tuple[int, ...]) -> Pair:
        """Count the places in a target of `size`, vertically and horizontally."""
        first, stride = self.first, self.stride
        return -((first[0] - size[0]) // stride[0]), -((first[1] - size[1]) // stride[1])

    def seen(self, places: Pair) -> Pair:
        """Give how much so many places see of a part with its margin, in rows and columns."""
        _, rows, columns = self.offsets.max(axis=0).tolist()
        return (places[0] - 1) * self.step[0] + rows + 1, (places[1] - 1) * self.step[1] + columns + 1


@dataclass(frozen=True, eq=False)
class Pass:
    """A phase on a target of a certain size."""

    phase: Phase
    offsets: Array  # (taps, 2) in a source with all parts below each other
    packs: bool  # whether panels are packed, or read where they are
    panels: int  # in an image
    operations: int  # multiplications in one image


@dataclass(frozen=True, eq=False)
class Plan:
    """A convolution or an adjoint on images of a certain size."""

    source_size: Pair  # with the margin in which all taps see something, and all parts below each other
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
    split: Pair  # modulo which remainders of the coordinates the source is split into parts
    parts: Array  # the part of each pair of remainders, -1 for those that no tap sees

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
        height, width = (-(-(m + n) // s) for m, n, s in zip(self.margin, size, self.split, strict=True))
        places = [phase.places(target_size) for phase in self.phases]
        for phase, count in zip(self.phases, places, strict=True):
            height, width = (max(a, b) for a, b in zip((height, width), phase.seen(count), strict=True))
        is_split = self.split != (1, 1)
        lacks_margin = not is_copied and not is_split and (height, width) != tuple(size)
        is_small = self.phases[0].channels * math.prod(size) <= FITS_A_CACHE
        few = FEW_OUTPUTS // 2 if lacks_margin and is_small else FEW_OUTPUTS
        passes = tuple(
            make_pass(phase, rows, columns, (height, width), lanes, few)
            for phase, (rows, columns) in zip(self.phases, places, strict=True)
            if rows > 0 and columns > 0
        )
        source_size = ((int(self.parts.max()) + 1) * height, width)
        covers_target = sum(rows * columns for rows, columns in places) == math.prod(target_size)
        needs_margin = is_split or (lacks_margin and not all(step.packs for step in passes))
        return Plan(source_size, needs_margin, covers_target, passes)


def make_pass(phase: Phase, rows: int, columns: int, part_size: Pair, lanes: int, few: int) -> Pass:
    """Count what there is to do for the places of a phase."""
    part, y, x = phase.offsets.T
    is_wasteful = phase.outputs > FEW_OUTPUTS // 4 and part_size[1] > WASTE * columns
    packs = phase.step != (1, 1) or lanes > 1 or is_wasteful or phase.outputs > few
    tile_columns = simd.driver.tile_shape(phase.weights.itemsize)[1]
    panels = -(-rows * (columns if packs else part_size[1]) * lanes // tile_columns)
    offsets = np.stack([part * part_size[0] + y, x], axis=1).astype(np.intc)
    return Pass(phase, offsets, packs, panels, rows * columns * lanes * phase.weights.size)


def forward(weight: Array, window: Window, groups: int) -> Gathering:
    """Give convolution with `weight` (o, c / groups, kh, kw)."""
    o, c = weight.shape[:2]
    taps = weight.reshape(groups, o // groups, c, -1)
    offsets = [(i * window.dilation[0], j * window.dilation[1]) for i, j in window.positions()]
    if window.stride == (1, 1) or o // groups > FEW_OUTPUTS:
        only = phase(taps, [(0, y, x) for y, x in offsets], window.stride, (0, 0), (1, 1))
        return Gathering((only,), window.padding, (1, 1), np.zeros(1, np.intc))
    split_y, split_x = window.stride
    remainders = [y % split_y * split_x + x % split_x for y, x in offsets]
    seen = sorted(set(remainders))
    parts = np.full(split_y * split_x, -1, np.intc)
    parts[seen] = range(len(seen))
    in_parts = [
        (seen.index(part), y // split_y, x // split_x)
        for part, (y, x) in zip(remainders, offsets, strict=True)
    ]
    only = phase(taps, in_parts, (1, 1), (0, 0), (1, 1))
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
            phases.append(phase(taps, offsets, (1, 1), (y, x), window.stride))
    return Gathering(tuple(phases), (top, left), (1, 1), np.zeros(1, np.intc))


def positions_seen(window: Window, axis: int, pixel: int) -> dict[int, int]:
    """Give the positions of the window that see the pixels pixel + u stride, each with its place less u."""
    stride, seen = window.stride[axis], {}
    for p in range(window.kernel[axis]):
        distance = pixel + window.padding[axis] - p * window.dilation[axis]
        if distance % stride == 0:
            seen[p] = distance // stride
    return seen


def phase(taps: Array, offsets: list[tuple[int, int, int]], step: Pair, first: Pair, stride: Pair) -> Phase:
    """Pack the weights (groups, outputs, channels, taps) of a phase."""
    groups, outputs, channels = taps.shape[:3]
    places = np.array(offsets, np.intc)
    return Phase(packed(taps), places, step, first, stride, groups, groups * channels, outputs)


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
