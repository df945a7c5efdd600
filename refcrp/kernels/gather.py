"""Compute a convolution or an adjoint, as `refcrp.kernels.taps` lays it out, on threads."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from refcrp.arrays import Array
from refcrp.kernels import simd
from refcrp.kernels.layout import joined
from refcrp.kernels.scratch import scratch
from refcrp.kernels.taps import Gathering, Pass, Plan
from refcrp.kernels.threads import together, workers

__all__ = ["gather"]

PANELS = 4  # of the image, packed together for all outputs
UNITS = 8  # for each thread, so that one that is held up leaves the rest to the others
A_MOUTHFUL = 2**14  # pixels that get their margin at a time

SAMPLES = 250  # numbers of the images that are looked at
DENSE = 0.7  # part of them not zero: above, panels are faster than lists
WORTH_A_LOOK = 20_000_000  # multiplications
ENOUGH = 16  # outputs of a group: with fewer, making lists takes longer than what they save
ROOM = 1.5  # a list has room for some channels; as many times as there are, in all lists, at the most


class Source(NamedTuple):
    """What the phases read."""

    numbers: Array  # images with margins (m, c, h, w, lanes), or the values of lists
    channels: Array | None  # of lists
    counts: Array | None
    make: Callable[[], None] | None  # what each thread does first, until all is made


def gather(
    gathering: Gathering,
    plan: Plan,
    images: Array,
    target: Array,
    *,
    denominator: Array | None = None,
    bias: Array | None = None,
    factor: Array | None = None,
    active: Array | None = None,
) -> None:
    """Compute `target` from `images`, divided; (m, c, h, w, lanes) both.

    All threads go through the same steps, and take units of work until there are none left: first the source
    is made of the images, then the phases read it.
    """
    if not len(images):
        return
    count = workers(len(images) * plan.operations)
    if is_sparse(gathering, plan, images):
        source = listed(gathering, plan, images, denominator, count)
    elif denominator is not None or plan.is_moved:
        source = with_margin(gathering, plan, images, denominator, active, count)
    else:
        source = Source(images, None, None, None)
    convolve = simd.loops(images.dtype).convolve
    steps = [(step.phase, step.packs, *cut(step, len(images), count)) for step in plan.passes]

    def work() -> None:
        if source.make is not None:
            source.make()
        for phase, packs, shares, chunks, units in steps:
            convolve(
                source.numbers, source.channels, source.counts, phase.weights, phase.offsets, bias, factor,
                active, target, phase.parts, phase.first, phase.stride, phase.groups, packs, shares, chunks,
                units,
            )  # fmt: skip
        for *_, units in steps:
            units.wait()

    together(work, count)


def cut(step: Pass, images: int, workers: int) -> tuple[int, int, Any]:
    """Cut a phase into units of work: how many shares of the panels, and chunks of the outputs.

    Several panels share what is fetched of the weights, unless that leaves too few units to the threads.
    Outputs are cut where even so there are too few; each chunk packs its panels for itself.
    """
    phase, enough = step.phase, 1 if workers == 1 else UNITS * workers
    images_groups = images * phase.groups
    shares = min(step.panels, max(-(-step.panels // PANELS), -(-enough // images_groups)))
    chunks = 1 if 2 * workers <= images_groups * shares else min(workers, -(-phase.outputs // 64))
    return shares, chunks, simd.driver.Units(images_groups * shares * chunks, workers)


def with_margin(
    gathering: Gathering,
    plan: Plan,
    images: Array,
    denominator: Array | None,
    active: Array | None,
    workers: int,
) -> Source:
    """Put images (m, c, h, w, lanes), divided, into the zeros around them that `plan` asks for."""
    source = scratch((*images.shape[:2], *plan.source_size, images.shape[-1]), images.dtype)
    arrays = [None if array is None else joined(array) for array in (images, denominator, active, source)]
    grain = max(1, A_MOUTHFUL // math.prod(images.shape[2:]))
    units = simd.driver.Units(-(-images.shape[0] * images.shape[1] // grain), workers)

    def spread() -> None:
        simd.loops(images.dtype).spread(
            *arrays, gathering.margin, gathering.split, gathering.parts, grain, units
        )
        units.wait()

    return Source(source, None, None, spread)


def is_sparse(gathering: Gathering, plan: Plan, images: Array) -> bool:
    """Tell whether so many numbers of `images` are zero that they are better listed; numbers are the same."""
    if plan.operations < WORTH_A_LOOK or gathering.split != (1, 1) or images.shape[-1] > 1:
        return False
    phase, size = gathering.phases[0], simd.driver.block_shape()[1]
    channels = images.shape[1] // phase.groups
    if phase.outputs < ENOUGH or -(-channels // size) * size > ROOM * channels:
        return False
    flat = images.reshape(-1)
    sample = flat[:: max(1, len(flat) // SAMPLES) | 1]
    return bool(np.count_nonzero(sample) < DENSE * len(sample))


def listed(
    gathering: Gathering, plan: Plan, images: Array, denominator: Array | None, workers: int
) -> Source:
    """List what is not zero in images (m, c, h, w, 1), divided, in the margin that `plan` asks for."""
    groups, size = gathering.phases[0].groups, simd.driver.block_shape()[1]
    lists = groups * -(-images.shape[1] // groups // size)
    shape = (len(images), lists, *plan.source_size)
    pixels, itemsize = math.prod(shape), images.dtype.itemsize
    memory = scratch((pixels * (size * (itemsize + 1) + 4),), np.dtype(np.uint8))
    numbers, channels, counts = np.split(memory, [pixels * size * itemsize, pixels * size * (itemsize + 1)])
    values = numbers.view(images.dtype).reshape(*shape, size)
    channels, counts = channels.reshape(*shape, size), counts.view(np.intc).reshape(shape)
    units = simd.driver.Units(math.prod(shape[:3]), workers)

    def make_lists() -> None:
        simd.loops(images.dtype).make_lists(
            images[..., 0], denominator, values, channels, counts, gathering.margin, groups, units
        )
        units.wait()

    return Source(values, channels, counts, make_lists)
