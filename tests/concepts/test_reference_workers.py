"""Many processes at once give the same bits as one."""

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import reference_nets as nets

import refcrp as rc
from refcrp import errors
from refcrp.concepts import threads
from refcrp.concepts.collecting import interrupts_wait

COUNT = 30


def collect(data=None, **options):
    data = nets.small_data(COUNT, np.float32) if data is None else data
    asked = {"n": 4, "batch_size": 4} | options
    return rc.ReferenceSamples.collect(nets.small_lrp(np.float32), data, ["first", "second"], **asked)


def fails_on(label, scores, given):
    """A target that a worker cannot give."""
    if given == label:
        raise ZeroDivisionError("in the worker")
    return given


def dies_twice(folder, scores, given):
    """A target whose worker dies, the first two times: both workers, so that none has what it was given."""
    for marker in ("first", "second"):
        try:
            os.close(os.open(f"{folder}/{marker}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        os._exit(9)
    return given


def test_worker_processes_give_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # as workers have it; the products are too small for more
    path = tmp_path / "refs.h5"
    collect(path=path, shard=(3, 9))
    before = dict(os.environ)
    found = collect(path=path, workers=2)
    assert dict(os.environ) == before
    assert found.complete
    assert nets.same_bits(found, collect())


def test_an_error_in_a_worker_is_raised_here_and_the_file_can_be_continued(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    path = tmp_path / "refs.h5"
    x, y = nets.small_data(COUNT, np.float32)
    y[17] = 0
    y[y == 3] = 2
    last = functools.partial(fails_on, 3)
    y[17] = 3
    with pytest.raises(ZeroDivisionError, match="in the worker"):
        collect((x, y), path=path, workers=1, targets=last)
    found = rc.ReferenceSamples.open(path)
    assert not found.complete
    assert found.explained % 4 == 0


PARENT = """
import functools, sys
sys.path.insert(0, sys.argv[1])
import refcrp as rc, reference_nets as nets, test_reference_workers as tests
tests.collect(path=sys.argv[2] + "/refs.h5", workers=2, targets=functools.partial(tests.slowly, sys.argv[2]))
"""


def slowly(folder, scores, given):
    """A target that takes its time; leaves the worker's process id."""
    (Path(folder) / f"{os.getpid()}.pid").touch()
    time.sleep(0.05)
    return given


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_end_with_the_process_that_started_them(tmp_path):
    here = str(Path(__file__).parent)
    parent = subprocess.Popen([sys.executable, "-c", PARENT, here, str(tmp_path)])
    wait_for(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    parent.kill()
    parent.wait()
    workers = [path.stem for path in tmp_path.glob("*.pid")]
    wait_for(lambda: not any(is_running(worker) for worker in workers))
    assert not rc.ReferenceSamples.open(tmp_path / "refs.h5").complete


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_thread_setting_that_differs_is_named(monkeypatch):
    monkeypatch.setattr(threads.importlib.util, "find_spec", lambda name: None)
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    several = collect()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with pytest.raises(errors.ReferenceFileError, match="threads of BLAS"):
        several.merge(collect())


def test_environment_comes_back(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    inside = []

    def fail():
        with threads.children_on_one_thread():
            inside.extend(os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert inside == ["1", "1"]
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ


@pytest.mark.filterwarnings("default")  # Dask's own, when processes die
def test_dask_with_workers_killed_in_the_middle(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="needs refcrp[dask]")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    )
    with cluster, distributed.Client(cluster) as client:
        # What the tests import is not on the path of the workers.
        client.run(lambda folder: __import__("sys").path.insert(0, folder), str(Path(__file__).parent))
        targets = functools.partial(dies_twice, str(tmp_path))
        found = collect(client=client, targets=targets, path=tmp_path / "refs.h5")
    assert (tmp_path / "second").exists()
    assert found.complete
    assert all(
        a.tobytes() == b.tobytes()
        for a, b in zip(found.contents.tables, collect().contents.tables, strict=True)
    )


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(errors.MissingDependencyError, match=r"refcrp\[dask\]"):
        collect(client=object())


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals cannot be held back on Windows")
def test_workers_do_not_see_ctrl_c():
    """It is for the process that started them to stop; else each of them would say so at length."""
    blocked = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    asked = [sys.executable, "-c", blocked]
    with interrupts_wait():
        inside = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    outside = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert (inside.strip(), outside.strip()) == ("True", "False")
