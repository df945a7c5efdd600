"""Work in units on threads: all of it done once, in any number of threads, and errors come back."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from geometries import SAME_KERNELS, needs_compiled, run, set_constant
from geometries import threads as module
from hypothesis import given
from hypothesis import strategies as st

import refcrp as rc
from refcrp.errors import ParameterError
from refcrp.kernels import simd
from refcrp.kernels.threads import default_threads, in_units, threads, together, using_threads

LIMIT = 20  # seconds that anything here may wait


@pytest.fixture
def eager(monkeypatch):
    """However little there is to do, it goes to threads."""
    set_constant(monkeypatch, "WORTH_A_THREAD", 1)


@given(units=st.integers(0, 100), count=st.integers(1, 9), operations=st.sampled_from([0, 1, 3, 1e12]))
def test_each_unit_is_done_once(units, count, operations):
    calls = []
    with pytest.MonkeyPatch.context() as monkeypatch, using_threads(count):
        set_constant(monkeypatch, "WORTH_A_THREAD", 1)
        in_units(lambda first, end: calls.append((first, end)), units, operations)
    done = [unit for first, end in sorted(calls) for unit in range(first, end)]
    assert done == list(range(units))
    assert units == 0 or all(first < end for first, end in calls)
    assert len(calls) == 1 or (count > 1 and len(calls) <= module.PIECES * count)


def test_little_work_is_done_by_the_caller_alone():
    callers = []
    with using_threads(4):
        in_units(lambda *_: callers.append(threading.get_ident()), 100, module.WORTH_A_THREAD)
    assert callers == [threading.get_ident()]


@pytest.mark.usefixtures("eager")
def test_as_many_threads_as_were_asked_for_work_at_once():
    meeting = threading.Barrier(3)
    with using_threads(3):  # a fourth party, or a missing one, would break the barrier
        in_units(lambda *_: meeting.wait(LIMIT), 3, 1e12)
    assert not meeting.broken


class KernelError(Exception):
    pass


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("who", ["caller", "helper", "both"])
def test_an_error_reaches_the_caller(who):
    """Both are at work when one of them fails."""
    caller, meeting, has_met = threading.get_ident(), threading.Barrier(2), None

    def kernel(first, end):
        if not hasattr(has_met, "yes"):
            has_met.yes = meeting.wait(LIMIT)
        if who == "both" or (threading.get_ident() == caller) == (who == "caller"):
            raise KernelError

    with using_threads(2):
        for _ in range(3):  # and again, the threads are as good as before
            has_met = threading.local()
            with pytest.raises(KernelError):
                in_units(kernel, 8, 1e12)
        calls = []
        in_units(lambda first, end: calls.append((first, end)), 8, 1e12)
    assert len(calls) == 8


def test_who_fails_waits_for_the_others():
    """They may still write to memory that the next call would use."""
    caller, begun, may_end, ended = (
        threading.get_ident(),
        threading.Event(),
        threading.Event(),
        threading.Event(),
    )

    def work():
        if threading.get_ident() == caller:
            assert begun.wait(LIMIT)
            threading.Timer(0.05, may_end.set).start()
            raise KernelError
        begun.set()
        assert may_end.wait(LIMIT)
        ended.set()

    with pytest.raises(KernelError):
        together(work, 2)
    assert ended.is_set()


def test_the_number_holds_for_the_thread_that_asked():
    default = threads()
    with using_threads(default + 5):
        assert threads() == default + 5
        with using_threads(default + 1):
            assert threads() == default + 1
            with using_threads(None):  # changes nothing
                assert threads() == default + 1
        assert threads() == default + 5
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(threads).result(LIMIT) == default
    with pytest.raises(KernelError), using_threads(default + 5):
        raise KernelError
    assert threads() == default


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "two", " ", "1e3", "²", "99999999999"])
def test_bad_values_of_the_environment(monkeypatch, value):
    monkeypatch.setenv("REFCRP_NUM_THREADS", value)
    with pytest.raises(ParameterError, match="REFCRP_NUM_THREADS: expected an integer >= 1"):
        default_threads()


def test_the_environment(monkeypatch):
    monkeypatch.setenv("REFCRP_NUM_THREADS", "3")
    assert default_threads() == 3
    for unset in monkeypatch.delenv, lambda name: monkeypatch.setenv(name, ""):
        unset("REFCRP_NUM_THREADS")
        assert 1 <= default_threads() <= os.cpu_count()


def test_the_environment_is_read_at_import():
    assert run("import refcrp; print(refcrp.show_config().threads)", REFCRP_NUM_THREADS="3").stdout == "3\n"
    answer = run("import refcrp.kernels", REFCRP_NUM_THREADS="0")
    assert answer.returncode == 1
    assert "ParameterError: REFCRP_NUM_THREADS: expected an integer >= 1, got 0" in answer.stderr


FORK = """
import os, signal, threading
import numpy as np
import pytest
from geometries import case, set_constant
from refcrp.kernels import using_threads
from refcrp.kernels.threads import in_units

set_constant(pytest.MonkeyPatch(), "WORTH_A_THREAD", 1)
c = case((3, 3), (1, 1), (1, 1), (1, 1), 1, 20, 20, 3, (8, 8), np.float32)
meeting = threading.Barrier(3)
with using_threads(3):
    in_units(lambda *_: meeting.wait(10), 3, 1e12)
    expected = c.results()  # starts the threads
    child = os.fork()
    signal.alarm(20)  # whichever of the two hangs
    in_units(lambda *_: meeting.wait(10), 3, 1e12)  # three threads, or the barrier breaks
    same = all(np.array_equal(a, b) for a, b in zip(c.results(), expected))
    if child == 0:
        os._exit(7 if same else 8)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), same)
"""


@needs_compiled
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_threads_after_a_fork():
    """A forked process has none of the threads of the one it came from, and starts its own."""
    answer = run(FORK, **SAME_KERNELS)
    assert answer.stdout == "7 True\n", answer.stderr


@pytest.mark.usefixtures("eager")
def test_several_callers_share_an_analyzer(lenet5, digits):
    """Each of four threads lets the kernels use two, at the same time."""
    x, conditions = digits[0], [{"y": [k]} for k in range(10)]
    batches = [x[k : k + 2] for k in range(0, 16, 2)]
    alone = rc.LRP(lenet5, rc.EpsilonPlusFlat(), threads=1)
    shared = rc.LRP(lenet5, rc.EpsilonPlusFlat(), threads=2)
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(
            lambda batch: shared(batch, conditions=conditions).relevance, batches, timeout=LIMIT
        )
        for batch, together in zip(batches, results, strict=True):
            np.testing.assert_array_equal(together, alone(batch, conditions=conditions).relevance)


@needs_compiled
@given(
    planes=st.integers(1, 60), grain=st.integers(1, 5), ranges=st.integers(0, 50), callers=st.integers(1, 4)
)
def test_units_are_shared_out(planes, grain, ranges, callers):
    """Each of some threads does what it gets; together they do all, and nobody returns before that."""
    images = np.arange(1.0, 1 + planes * 6).reshape(planes, 2, 3, 1)
    target = np.full((planes, 3, 4, 1), np.nan)
    units = simd.driver.Units(-(-planes // grain), ranges)
    meeting = threading.Barrier(callers)

    def work(_):
        meeting.wait(LIMIT)
        simd.loops(images.dtype).spread(images, None, None, target, (1, 1), grain, units)
        units.wait()
        return target.copy()

    expected = np.pad(images, ((0, 0), (1, 0), (1, 0), (0, 0)))
    with ThreadPoolExecutor(callers) as pool:
        for seen in pool.map(work, range(callers), timeout=LIMIT):
            np.testing.assert_array_equal(seen, expected)
