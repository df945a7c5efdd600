"""One thread for each process: where many explain at once, and where bits must not depend on threads."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ONE", "SEVERAL", "blas_on_one_thread", "blas_threads", "children_on_one_thread"]

VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
ONE, SEVERAL = "one", "as many as BLAS likes"


@contextmanager
def blas_on_one_thread() -> Iterator[str]:
    """Let BLAS use one thread inside, if threadpoolctl is there to say so; gives `blas_threads`.

    BLAS cuts a product of matrices into one part for each thread, and the last bits depend on the cuts.
    """
    if importlib.util.find_spec("threadpoolctl") is None:
        yield blas_threads()
        return
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - optional

    with threadpool_limits(limits=1, user_api="blas"):
        yield ONE


def blas_threads() -> str:
    """Say on how many threads products of matrices are computed inside `blas_on_one_thread`."""
    is_limited = any(os.environ.get(name) == "1" for name in VARIABLES)
    return ONE if is_limited or importlib.util.find_spec("threadpoolctl") is not None else SEVERAL


@contextmanager
def children_on_one_thread() -> Iterator[None]:
    """Let processes that are started inside use one thread each."""
    before = {name: os.environ.get(name) for name in (*VARIABLES, "REFCRP_NUM_THREADS")}
    os.environ.update(dict.fromkeys(before, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
