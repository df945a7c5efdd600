"""Which compiled kernels run: the choice is made once, at import.

The driver of convolution is compiled once for each instruction set, and the best one this machine has is
taken. Environment variables, all read at import: ``REFCRP_SIMD`` names another one (`INSTRUCTION_SETS`),
``REFCRP_FORCE_NUMPY=1`` leaves all compiled kernels aside, ``REFCRP_REQUIRE_COMPILED=1`` makes their absence
a `BackendError`.
"""

from __future__ import annotations

import importlib.util
import os
from types import SimpleNamespace
from typing import Any

import numpy as np

from refcrp.errors import BackendError

__all__ = ["CHOSEN", "INSTRUCTION_SETS", "available", "driver", "loops", "runs_compiled"]

# From the best to the one that every machine has, with the module that is compiled for it.
INSTRUCTION_SETS = {"x86-64-v4": "_simd_v4", "x86-64-v3": "_simd_v3", "baseline": "_simd_baseline"}


def load(name: str) -> Any:
    """Import a compiled module of this package; None where it was not built."""
    try:
        return importlib.import_module(f"refcrp.kernels.{name}")
    except ImportError:
        return None


def is_built(name: str) -> bool:
    """Tell whether a compiled module of this package is there, without loading it."""
    return importlib.util.find_spec(f"refcrp.kernels.{name}") is not None


def available() -> tuple[str, ...]:
    """Name the instruction sets for which there are kernels that this machine can run, best first."""
    if baseline is None or pooling is None:
        return ()
    supported = (*baseline.supported(), "baseline")
    return tuple(n for n, module in INSTRUCTION_SETS.items() if n in supported and is_built(module))


def is_set(variable: str) -> bool:
    """Tell whether an environment variable says yes."""
    return os.environ.get(variable, "0") not in ("", "0")


def choose() -> tuple[str, Any]:
    """Give the instruction set that is to run, and its driver; ``"numpy"`` and None if it is none."""
    names = () if is_set("REFCRP_FORCE_NUMPY") else available()
    wanted = os.environ.get("REFCRP_SIMD", "")
    if wanted and wanted not in INSTRUCTION_SETS:
        raise BackendError(f"REFCRP_SIMD={wanted!r}: expected one of {', '.join(INSTRUCTION_SETS)}")
    if wanted and names and wanted not in names:
        raise BackendError(f"REFCRP_SIMD={wanted!r}: this machine and build have only {', '.join(names)}")
    if not names:
        return "numpy", None
    name = wanted or names[0]
    return name, load(INSTRUCTION_SETS[name])


def check_required() -> None:
    """Raise `BackendError` if compiled kernels are required and there are none to run."""
    if is_set("REFCRP_REQUIRE_COMPILED") and driver is None:
        forced = is_set("REFCRP_FORCE_NUMPY")
        why = "REFCRP_FORCE_NUMPY is set as well" if forced else f"no compiled kernels beside {__file__}"
        raise BackendError(
            f"REFCRP_REQUIRE_COMPILED is set, but {why}; "
            "install with a C compiler (in a checkout: pip install -e .)"
        )


baseline = load(INSTRUCTION_SETS["baseline"])
pooling = load("_pool")
CHOSEN, driver = choose()
check_required()


def loops_for(element: str) -> SimpleNamespace:
    """Give the compiled loops of both modules for one element type of C.

    Cython makes one function for each type, and one that chooses by the arguments: slower than many a loop.
    """
    functions = {name: f for module in (driver, pooling) for name, f in vars(module).items()}
    return SimpleNamespace(
        **{name: f[element] for name, f in functions.items() if hasattr(f, "__signatures__")}
    )


LOOPS = {} if driver is None else {"f": loops_for("float"), "d": loops_for("double")}


def loops(dtype: np.dtype[Any]) -> Any:
    """Give the compiled loops for arrays of this type, one that `runs_compiled`."""
    return LOOPS[dtype.char]


def runs_compiled(dtype: np.dtype[Any]) -> bool:
    """Tell whether arrays of this type go to the compiled kernels."""
    return driver is not None and dtype.char in "fd"
