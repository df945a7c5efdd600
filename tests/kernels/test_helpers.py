"""Threads that wait for work: they do it once, tell how it ended, and keep nothing of it."""

import threading
import time
import weakref

import pytest

from refcrp.kernels import helpers
from refcrp.kernels.helpers import Helpers, Job, helped_by

LIMIT = 20  # seconds that anything here may wait


class WorkError(Exception):
    pass


def within_the_limit(is_so):
    """Whether something becomes so."""
    end = time.monotonic() + LIMIT
    while not is_so() and time.monotonic() < end:
        time.sleep(0.001)
    return is_so()


def test_a_job_is_done_by_another_thread():
    seen = []
    with helped_by(lambda: seen.append(threading.get_ident()), 1) as (job,):
        assert within_the_limit(lambda: seen)
        assert not job.withdraw()  # somebody has begun
        assert job.outcome() is None
    assert len(seen) == 1
    assert seen != [threading.get_ident()]


def test_a_job_that_was_withdrawn_is_not_done():
    calls = []
    job = Job(lambda: calls.append(1))
    assert job.withdraw()
    job.run()
    assert calls == []


def test_the_outcome_is_the_error():
    def fail():
        raise WorkError

    job = Job(fail)
    job.run()  # whoever runs it, the error is not theirs
    assert not job.withdraw()
    assert isinstance(job.outcome(), WorkError)


def test_the_outcome_is_waited_for():
    begun, may_end = threading.Event(), threading.Event()

    def work():
        begun.set()
        assert may_end.wait(LIMIT)

    with helped_by(work, 1) as (job,):
        assert begun.wait(LIMIT)
        waiting = threading.Thread(target=job.outcome)
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
        may_end.set()
        waiting.join(LIMIT)
        assert not waiting.is_alive()


def test_threads_are_used_again():
    """Even if the one there is has not yet come back: it soon will."""
    threads = Helpers()
    for _ in range(20):
        begun, may_end = threading.Event(), threading.Event()

        def work(begun=begun, may_end=may_end):
            begun.set()
            assert may_end.wait(LIMIT)

        first, second = Job(work), Job(lambda: None)
        threads.begin(first)
        assert begun.wait(LIMIT)
        threads.dismiss([first])
        threads.begin(second)
        may_end.set()
        assert first.outcome() is second.outcome() is None
        threads.dismiss([second])
    assert threads.count == 1


def test_what_was_dismissed_is_not_begun():
    threads, calls = Helpers(), []
    with threads.lock:  # no thread is started for it
        threads.count = threads.most
    job = Job(lambda: calls.append(1))
    threads.begin(job)
    threads.dismiss([job])
    threads.jobs.get().run()
    assert (calls, threads.free) == ([], 0)


def test_as_many_jobs_at_once_as_there_are_threads():
    """None waits for another, up to the most; what is more is done later."""
    threads = Helpers()
    threads.most = 3
    meeting = threading.Barrier(3)
    jobs = [Job(lambda: meeting.wait(LIMIT)) for _ in range(6)]
    for job in jobs:
        threads.begin(job)
    assert [job.outcome() for job in jobs] == [None] * 6
    assert threads.count == 3


class Memory:
    """What is computed on, and may be large."""

    def work(self):
        pass


def test_a_job_that_was_withdrawn_keeps_nothing():
    """It stays in the queue until a thread comes by."""
    memory = Memory()
    job, reference = Job(memory.work), weakref.ref(memory)
    assert job.withdraw()
    del memory
    assert reference() is None


def test_a_thread_that_waits_keeps_nothing_of_its_last_job():
    memory = Memory()
    job, reference = Job(memory.work), weakref.ref(memory)
    Helpers().begin(job)
    job.outcome()
    del memory, job
    assert within_the_limit(lambda: reference() is None)


def test_a_thread_that_could_not_be_started_is_not_counted(monkeypatch):
    """Or else later jobs would start more threads than they need."""
    threads = Helpers()

    def refuse(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            threads.begin(Job(lambda: None))
    for _ in range(3):
        job = Job(lambda: None)
        threads.begin(job)
        job.outcome()
        threads.dismiss([job])
    assert (threads.count, threads.free) == (1, 1)


def test_no_threads_can_be_started(monkeypatch):
    """As while the interpreter shuts down: the caller does all by itself."""

    def refuse(self):
        raise RuntimeError("can't start new thread")

    helpers.helpers_of.cache_clear()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    calls = []
    with helped_by(lambda: calls.append(1), 2) as jobs:
        assert jobs == []
    monkeypatch.undo()
    with helped_by(lambda: calls.append(2), 1) as (job,):  # and as soon as it can, it does
        assert job.outcome() is None
    assert calls == [2]
