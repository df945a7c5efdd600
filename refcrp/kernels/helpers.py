"""Threads that wait for work. docs/decisions/0007-threads.md says why there is no executor here."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from queue import SimpleQueue

__all__ = ["Job", "ended", "helped_by"]

MOST = 64  # threads; or one a processor, if there are more


class Job:
    """Some work for another thread, until it is withdrawn."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work: Callable[[], None] | None = work
        self.error: BaseException | None = None
        self.taken, self.running = threading.Lock(), threading.Lock()
        self.running.acquire()

    def run(self) -> None:
        """Do the work, if it was not withdrawn."""
        if self.taken.acquire(blocking=False):
            try:
                if self.work is not None:
                    self.work()
            except BaseException as error:
                self.error = error
            finally:
                self.running.release()

    def withdraw(self) -> bool:
        """Make sure that nobody begins any more; tells whether nobody has begun."""
        is_mine = self.taken.acquire(blocking=False)
        if is_mine:
            self.work = None  # it may lie in the queue for long, and holds arrays
        return is_mine

    def outcome(self) -> BaseException | None:
        """Wait for the end of what has begun; gives the error that ended it, or None."""
        with self.running:
            return self.error


def ended(jobs: list[Job]) -> list[BaseException]:
    """Withdraw jobs, and wait for the end of those that have begun; gives the errors that ended them."""
    outcomes = [job.outcome() for job in jobs if not job.withdraw()]
    return [error for error in outcomes if error is not None]


class Helpers:
    """Threads of this process, started as they are needed.

    A thread is free again as soon as those who asked for it say so, which is before it has come to the end of
    its job: the next job then waits for it for a moment, which takes less than to wake up another thread.
    """

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Job] = SimpleQueue()
        self.lock = threading.Lock()
        self.count, self.free = 0, 0
        self.most = max(MOST, os.cpu_count() or 1)

    def begin(self, job: Job) -> None:
        """Let a thread begin with a job; RuntimeError while the interpreter shuts down."""
        with self.lock:
            if self.free <= 0 and self.count < self.most:
                threading.Thread(target=self.serve, name=f"refcrp_{self.count}", daemon=True).start()
                self.count += 1
            else:
                self.free -= 1
        self.jobs.put(job)

    def dismiss(self, jobs: list[Job]) -> None:
        """Withdraw jobs, or say of those that have begun that their work is done."""
        for job in jobs:
            job.withdraw()
        with self.lock:
            self.free += len(jobs)

    def serve(self) -> None:
        """Do one job after the other."""
        while True:
            self.jobs.get().run()  # and keep no name for it: it holds arrays


@lru_cache(maxsize=1)
def helpers_of(process: int) -> Helpers:
    """Give the threads of a process: a forked one has none of those of the one it came from."""
    return Helpers()


@contextmanager
def helped_by(work: Callable[[], None], count: int) -> Iterator[list[Job]]:
    """Let `count` threads begin with some work; none while the interpreter shuts down.

    Inside, the caller does its part, and all of the work must be done at the end.
    """
    helpers, jobs = helpers_of(os.getpid()), []
    try:
        for _ in range(count):
            job = Job(work)
            helpers.begin(job)
            jobs.append(job)
    except RuntimeError:
        pass
    try:
        yield jobs
    finally:
        helpers.dismiss(jobs)
