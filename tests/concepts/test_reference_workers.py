"""Many processes at once give the same bits as one."""

import functools
import os

import numpy as np
import pytest
import reference_nets as nets

import refcrp as rc
from refcrp import errors
from refcrp.concepts import threads

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


def dies_once(marker, scores, given):
    """A target whose worker dies, the first time."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return given
    os._exit(9)


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
    with pytest.raises(ZeroDivisionError), threads.children_on_one_thread():
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
        raise ZeroDivisionError
    assert os.environ["OMP_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ


@pytest.mark.filterwarnings("default")  # Dask's own, when processes die
def test_dask_with_a_worker_killed_in_the_middle(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="needs refcrp[dask]")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    )
    with cluster, distributed.Client(cluster) as client:
        # What the tests import is not on the path of the workers.
        client.run(lambda folder: __import__("sys").path.insert(0, folder), os.path.dirname(__file__))
        targets = functools.partial(dies_once, str(tmp_path / "died"))
        found = collect(client=client, targets=targets, path=tmp_path / "refs.h5")
    assert (tmp_path / "died").exists()
    assert found.complete
    assert all(
        a.tobytes() == b.tobytes()
        for a, b in zip(found.contents.tables, collect().contents.tables, strict=True)
    )


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(errors.MissingDependencyError, match=r"refcrp\[dask\]"):
        collect(client=object())
