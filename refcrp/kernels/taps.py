"""A convolution, or its adjoint, as phases that gather: what the compiled driver computes.

A phase is a grid of places (u, v) of the target that all see the source through the same taps::

    target[first + (u, v) stride] = Σ over channels and taps of weight · source[(u, v) step + offset]

The forward convolution is one phase: step is its stride, and each position (i, j) of the window is a tap. The
adjoint is a convolution too: with stride 1 it is one phase, with the kernel flipped; with a larger stride the
pixels whose coordinates have the same remainder see the outputs through the same positions, one phase for
each remainder.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from refcrp.arrays import Array
from refcrp.kernels import simd
from refcrp.kernels.window import Pair, Window

DEPTH = 256  # rows of a panel packed at a time; 16 columns of float32 make 16 KiB, half a first-level cache


@dataclass(frozen=True, eq=False)
class Phase:
    """Places of the target that see the source through the same taps, with packed weights."""

    weights: Array  # as `packed` lays them out
    offsets: Array  # (taps, 2), none negative: the source has a margin
    step: Pair
    first: Pair
    stride: Pair
    furthest: Pair  # of the offsets
    groups: int
    outputs: int  # of one group
    depth_channels: int

    def places(self, size: tuple[int, ...]) -> Pair:
        """Count the places in a target of `size`, vertically and horizontally."""
        first, stride = self.first, self.stride
        return -((first[0] - size[0]) // stride[0]), -((first[1] - size[1]) // stride[1])

    def reach(self, size: tuple[int, ...]) -> Pair:
        """Give the size of the source that a target of `size` sees, margin included."""
        (rows, columns), step, furthest = self.places(size), self.step, self.furthest
        return (rows - 1) * step[0] + furthest[0] + 1, (columns - 1) * step[1] + furthest[1] + 1


@dataclass(frozen=True, eq=False)
class Gathering:
    """A convolution or an adjoint: phases, and the margin of zeros above and left of the source."""

    phases: tuple[Phase, ...]
    margin: Pair

    def source_size(self, size: tuple[int, ...], target_size: tuple[int, ...]) -> Pair:
        """Give the size of the source with zeros around it, for a source of `size`."""
        height, width = self.margin[0] + size[0], self.margin[1] + size[1]
        for phase in self.phases:
            rows, columns = phase.reach(target_size)
            height, width = max(height, rows), max(width, columns)
        return height, width


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
    margin = tuple(max(0, -min(p for positions in axis for p in positions.values())) for axis in seen)
    phases = []
    for (y, rows), (x, columns) in itertools.product(enumerate(seen[0]), enumerate(seen[1])):
        if rows and columns:
            taps = by_input[:, :, :, list(rows)][..., list(columns)].reshape(groups, c, o // groups, -1)
            offsets = [(rows[i] + margin[0], columns[j] + margin[1]) for i in rows for j in columns]
            phases.append(phase(taps, offsets, (1, 1), (y, x), window.stride))
    return Gathering(tuple(phases), (margin[0], margin[1]))


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
    rows, _ = simd.driver.tile_shape(taps.itemsize)
    depth_channels = max(1, DEPTH // len(offsets))
    return Phase(
        packed(taps, rows, depth_channels),
        np.array(offsets, np.intc).reshape(-1, 2),
        step,
        first,
        stride,
        furthest=(max(y for y, _ in offsets), max(x for _, x in offsets)),
        groups=taps.shape[0],
        outputs=taps.shape[1],
        depth_channels=depth_channels,
    )


def packed(taps: Array, rows: int, depth_channels: int) -> Array:
    """Lay out weights (groups, outputs, channels, taps) in the order in which the driver reads them.

    By group, by `depth_channels` channels, by blocks of `rows` outputs (the last one filled up with zeros): a
    row for each channel and tap, of one weight for each output of the block.
    """
    groups, outputs, channels, _ = taps.shape
    blocks = -(-outputs // rows)
    filled = np.zeros((groups, blocks * rows, *taps.shape[2:]), taps.dtype)
    filled[:, :outputs] = taps
    parts = []
    for c in range(0, channels, depth_channels):
        part = filled[:, :, c : c + depth_channels].reshape(groups, blocks, rows, -1)
        parts.append(part.swapaxes(2, 3).reshape(groups, -1))
    return np.ascontiguousarray(np.concatenate(parts, axis=1).reshape(-1))
