"""Threads that wait for work. docs/decisions/0007-threads.md says why there is no executor here."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import lru_cache
from queue import SimpleQueue

__all__ = ["Job", "helped_by"]

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


class Helpers:
    """Threads of this process, started as they are needed."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Job] = SimpleQueue()
        self.lock = threading.Lock()
        self.count, self.idle = 0, 0
        self.most = max(MOST, os.cpu_count() or 1)

    def begin(self, job: Job) -> None:
        """Let a thread begin with a job; RuntimeError while the interpreter shuts down."""
        with self.lock:
            if self.idle <= 0 and self.count < self.most:
                threading.Thread(target=self.serve, name=f"refcrp_{self.count}", daemon=True).start()
                self.count += 1
            else:
                self.idle -= 1
        self.jobs.put(job)

    def serve(self) -> None:
        """Do one job after the other."""
        while True:
            self.jobs.get().run()  # and keep no name for it: it holds arrays
            with self.lock:
                self.idle += 1


@lru_cache(maxsize=1)
def helpers_of(process: int) -> Helpers:
    """Give the threads of a process: a forked one has none of those of the one it came from."""
    return Helpers()


def helped_by(work: Callable[[], None], count: int) -> list[Job]:
    """Let `count` threads begin with some work; none while the interpreter shuts down."""
    jobs = [Job(work) for _ in range(count)]
    try:
        for job in jobs:
            helpers_of(os.getpid()).begin(job)
    except RuntimeError:
        pass
    return jobs
