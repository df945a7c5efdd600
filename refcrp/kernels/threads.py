"""Threads for the compiled kernels.

A kernel's work is cut into units, each of which writes results of its own, always in the same way: numbers do
not depend on how many threads there are, nor on which one takes what. docs/decisions/0007-threads.md says why
these are Python's threads.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from refcrp.checks import as_integer
from refcrp.kernels.helpers import ended, helped_by

__all__ = ["A_PASS", "default_threads", "in_units", "threads", "using_threads"]

WORTH_A_THREAD = 6_000_000  # multiplications of a convolution, 0.2 ms: some times what handing over costs
A_PASS = 16  # of them take as long as to read one number from memory, change it and write it
PIECES = 4  # for each thread, so that one that is held up leaves the rest to the others


def default_threads() -> int:
    """Give how many threads there are unless asked for: ``REFCRP_NUM_THREADS``, or one a processor."""
    given = os.environ.get("REFCRP_NUM_THREADS", "")
    if given:
        return as_integer(int(given) if given.isdecimal() else given, "REFCRP_NUM_THREADS", 1)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


DEFAULT_THREADS = default_threads()
limit: ContextVar[int | None] = ContextVar("refcrp_threads", default=None)


def threads() -> int:
    """Tell how many threads kernels may use here."""
    return limit.get() or DEFAULT_THREADS


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Let the kernels called inside, by this thread, use `count` threads; None changes nothing."""
    if count is None:
        yield
        return
    token = limit.set(count)
    try:
        yield
    finally:
        limit.reset(token)


def workers(operations: float) -> int:
    """Tell on how many threads it is worth to do some work.

    `operations` counts multiplications of a convolution, or what takes as long.
    """
    if operations < 2 * WORTH_A_THREAD:
        return 1
    return min(threads(), int(operations / WORTH_A_THREAD))


def together(work: Callable[[], None], count: int) -> None:
    """Call ``work()`` on `count` threads, this one included, whose call must return only when all is done.

    The others are not waited for: one that comes late must find nothing left to do. Unless this one fails:
    then they may still be at work, on memory that the next call would use.
    """
    if count <= 1:
        work()
        return
    with helped_by(work, count - 1) as jobs:
        try:
            work()
        except BaseException:
            ended(jobs)
            raise


def in_units(kernel: Callable[[int, int], None], units: int, operations: float) -> None:
    """Call ``kernel(first, end)`` so that units 0 to `units` are done, on threads if that is worth it."""
    count = min(workers(operations), units)
    if count <= 1:
        kernel(0, units)
        return
    pieces = min(units, count * PIECES)
    ticket = itertools.count()  # next() on it is atomic

    def work() -> None:
        while (piece := next(ticket)) < pieces:
            kernel(units * piece // pieces, units * (piece + 1) // pieces)

    with helped_by(work, count - 1) as jobs:
        try:
            work()
        finally:
            errors = ended(jobs)
    for error in errors:
        raise error
