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
from refcrp.kernels.window import Pair

__all__ = ["gather"]

PANELS = 4  # of the image, packed together for all outputs
UNITS = 8  # for each thread, so that one that is held up leaves the rest to the others
FEW_PANELS = 4  # for each thread: with fewer, units of whole panels differ too much in how long they take
A_MOUTHFUL = 2**14  # pixels that get their margin at a time

SAMPLES = 100  # numbers of the images that are looked at
DENSE = 0.7  # part of them not zero: above, panels are faster than lists
WORTH_A_LOOK = 20_000_000  # multiplications
ENOUGH = 16  # outputs of a group: with fewer, making lists takes longer than what they save
ROOM = 1.5  # a list has room for some channels; as many times as there are, in all lists, at the most


class Source(NamedTuple):
    """What the phases read."""

    numbers: Array  # images (m, c, h, w, lanes), or the values of lists
    lack: Pair  # how much of the margin it does not have, above and to the left
    make: Callable[[], None] | None = None  # what each thread does first
    units: Any = None  # of that, all of which must be finished before anybody goes on
    channels: Array | None = None  # of lists
    counts: Array | None = None


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
    elif denominator is not None or plan.needs_margin:
        source = with_margin(gathering, plan, images, denominator, active, count)
    else:
        source = Source(images, gathering.margin)
    convolve = simd.loops(images.dtype).convolve
    steps = [(step.phase, step.packs, *cut(step, len(images), count)) for step in plan.passes]

    def work() -> None:
        if source.make is not None:
            source.make()
            source.units.wait()
        for phase, packs, shares, chunks, units in steps:
            convolve(
                source.numbers, source.channels, source.counts, phase.weights, phase.offsets, bias, factor,
                active, target, source.lack, phase.step, phase.first, phase.stride, phase.groups, packs,
                shares, chunks, units,
            )  # fmt: skip
        for *_, units in steps:
            units.wait()

    together(work, count)


def cut(step: Pass, images: int, workers: int) -> tuple[int, int, Any]:
    """Cut a phase into units of work: how many shares of the panels, and chunks of the outputs.

    Several panels share what is fetched of the weights, unless that leaves too few units to the threads.
    Outputs are cut where there are too few panels; each chunk packs its panels for itself.
    """
    phase, images_groups = step.phase, images * step.phase.groups
    are_few = workers > 1 and images_groups * step.panels < FEW_PANELS * workers
    chunks = min(2 * workers, -(-phase.outputs // 64)) if are_few else 1
    enough = 1 if workers == 1 else 2 * workers if are_few else UNITS * workers
    shares = min(step.panels, max(-(-step.panels // PANELS), -(-enough // (images_groups * chunks))))
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
        simd.loops(images.dtype).spread(*arrays, gathering.margin, grain, units)

    return Source(source, (0, 0), spread, units)


def is_sparse(gathering: Gathering, plan: Plan, images: Array) -> bool:
    """Tell whether so many numbers of `images` are zero that they are better listed; numbers are the same."""
    if plan.operations < WORTH_A_LOOK or images.shape[-1] > 1:
        return False
    phase, size = gathering.phases[0], simd.driver.block_shape()[1]
    channels = images.shape[1] // phase.groups
    if phase.step != (1, 1) or phase.outputs < ENOUGH or -(-channels // size) * size > ROOM * channels:
        return False
    every = max(1, images.size // SAMPLES) | 1
    filled = simd.loops(images.dtype).count_filled(images, every)
    return bool(filled < DENSE * -(-images.size // every))


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

    return Source(values, (0, 0), make_lists, units, channels, counts)
