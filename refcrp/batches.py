"""Some conditions at a time, so that a call with thousands of them fits into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from refcrp.arrays import Array
from refcrp.checks import as_integer

__all__ = ["condition_batches"]

MEMORY = 2**28  # bytes for the relevance of one layer; on the way down there are about three such arrays
LANES = 16  # conditions that fill vectors, and a multiple of what most of them hold
PATIENCE = 3.0  # seconds before a progress bar appears

T = TypeVar("T")


def condition_batches(count: int, outputs: Iterable[Array], batch_size: int | None) -> Iterator[slice]:
    """Cut conditions 0 to `count` into batches that go down together.

    Parameters
    ----------
    count : int
    outputs : arrays
        Of the layers below: the relevance of one condition is as large as they are.
    batch_size : int or None
        As many as `MEMORY` has room for, if None.
    """
    if batch_size is None:
        room = MEMORY // max((1, *(output.nbytes for output in outputs)))
        batch_size = max(1, room - room % LANES if room > LANES else room)
    size = as_integer(batch_size, "batch_size", 1)
    batches = [slice(k, min(k + size, count)) for k in range(0, count, size)]
    return with_progress(batches, "batches of conditions")


def with_progress(steps: list[T], what: str) -> Iterator[T]:
    """Go through `steps`, showing how far on a terminal where it takes long and tqdm is installed."""
    if len(steps) < 2:
        return iter(steps)
    try:
        from tqdm import tqdm  # noqa: PLC0415 - optional, and many a run is over at once
    except ImportError:
        return iter(steps)
    # disable=None: not where output goes to a file
    return iter(tqdm(steps, desc=what, delay=PATIENCE, disable=None, leave=False))
