"""One pass over the data: here, in worker processes, or on a Dask cluster; and what it leaves behind."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

import numpy as np

from refcrp.arrays import Array
from refcrp.batches import with_progress
from refcrp.concepts.scoring import Scorer, Scores
from refcrp.concepts.sources import Batch, Data
from refcrp.concepts.store import Change, Contents, Journal
from refcrp.concepts.tables import improvements
from refcrp.concepts.targets import UNSEEN
from refcrp.concepts.threads import children_on_one_thread
from refcrp.errors import MissingDependencyError, ParameterError
from refcrp.selection import Indices

__all__ = ["collect_into", "results_of"]

AHEAD = 2  # batches for each worker that have been handed out


def collect_into(contents: Contents, journal: Journal | None, results: Iterator[Scores], steps: int) -> None:
    """Let results change the tables, one batch after the other."""
    for _, scores in zip(with_progress(list(range(steps)), "batches of samples"), results, strict=True):
        expected = contents.settings["threads of BLAS"]
        if scores.threads != expected:
            raise ParameterError(
                f"threads of BLAS: {scores.threads} in a worker, expected {expected}: "
                "pip install 'refcrp[references]', or set OMP_NUM_THREADS=1"
            )
        change = change_by(contents, scores)
        if journal is not None:
            journal.put(change)
        contents.apply(change)
        if journal is not None:
            journal.clear()


def change_by(contents: Contents, scores: Scores) -> Change:
    """Find what the scores of a batch change."""
    where, better = [], []
    for number, (table, entries) in enumerate(zip(contents.tables, scores.entries, strict=True)):
        groups = entries["target"][:, 0, 0] if len(table) > 1 else np.zeros(len(entries), np.intp)
        for rows, values in improvements(table, entries, groups):
            where.append(np.stack([np.full_like(rows, number), rows], axis=1))
            better.append(values)
    n = contents.tables[0].shape[-1]
    return Change(
        np.concatenate([np.empty((0, 2), np.int64), *where]),
        np.concatenate([np.empty((0, n), contents.tables[0].dtype), *better]),
        scores.ids,
        scores.targets,
    )


def pending(targets: Array, shard: tuple[int, int], batch_size: int) -> list[Indices]:
    """Cut the samples of a shard that have not been explained into batches."""
    ids = shard[0] + np.flatnonzero(targets[slice(*shard), 0] == UNSEEN)
    number = ids // batch_size
    return np.split(ids, np.flatnonzero(np.diff(number)) + 1) if len(ids) else []


# Who computes -----------------------------------------------------------------------------------------------


def results_of(
    scorer: Scorer, data: Data, batches: Sequence[Indices], workers: int | None, client: Any
) -> Generator[Scores, None, None]:
    """Score batches, in any order: here, in `workers` processes, or by a Dask `client`."""
    if client is None and workers is None:
        return (scorer(data.batch(ids)) for ids in batches)
    scorer = replace(scorer, lrp=replace(scorer.lrp, threads=1))
    if client is not None:
        return on_dask(scorer, data, batches, client)
    assert workers is not None
    return in_processes(scorer, data, batches, workers)


WORKER: list[Scorer] = []  # of a worker process: what it got when it started


def start_worker(scorer: Scorer) -> None:
    """Keep what all batches need, and end when the process that started this one does."""
    WORKER[:] = [scorer]
    Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """Wait for the parent; it may be killed, and cannot tell."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def work(batch: Batch) -> Scores:
    """Score a batch in a worker process."""
    return WORKER[0](batch)


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Hold Ctrl-C back; processes that are started inside never see it, as it is for their parent to act."""
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def in_processes(
    scorer: Scorer, data: Data, batches: Sequence[Indices], workers: int
) -> Generator[Scores, None, None]:
    """Let processes on this machine score the batches."""
    with (
        children_on_one_thread(),
        ProcessPoolExecutor(workers, get_context("spawn"), start_worker, (scorer,)) as pool,
    ):
        waiting = iter(batches)
        running: set[Future[Scores]] = set()
        try:
            while True:
                for ids in islice(waiting, AHEAD * workers - len(running)):
                    batch = data.batch(ids)
                    with interrupts_wait():  # the first batch starts the processes
                        running.add(pool.submit(work, batch))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def itself(scorer: Scorer) -> Scorer:
    """Give the scorer, which Dask then passes from worker to worker."""
    return scorer


def on_dask(
    scorer: Scorer, data: Data, batches: Sequence[Indices], client: Any
) -> Generator[Scores, None, None]:
    """Let a Dask cluster score the batches; it gives those of a lost worker to another one."""
    try:
        from distributed import as_completed  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingDependencyError("client= needs Dask: pip install 'refcrp[dask]'") from error
    waiting = iter(batches)

    def submit(in_work: int) -> list[Any]:
        room = AHEAD * max(1, sum(client.nthreads().values())) - in_work  # workers come and go
        return [
            client.submit(Scorer.__call__, shared, data.batch(ids), pure=False)
            for ids in islice(waiting, max(0, room))
        ]

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")  # the network's weights, once
        shared = client.submit(itself, scorer, pure=False)  # not scattered: Dask repeats a task that is lost
    running = as_completed(submit(0))
    for future in running:
        yield future.result()
        running.update(submit(running.count()))
