"""The package itself under its own checker: ``refcrp verify refcrp.conformance.adapters.own:explain``.

For each dialect there is a function of its name, with underscores: ``own:relevance_propagation_jl``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from refcrp.arrays import Array
from refcrp.conditions import condition_masks
from refcrp.conformance import NotSupported
from refcrp.conformance.cases import Case
from refcrp.dialects import DIALECTS, Dialect, as_dialect
from refcrp.errors import RuleCompatibilityError
from refcrp.lrp import LRP, merged

__all__ = ["explain", "speaking"]  # and one function for each dialect


def explain(case: Case, dialect: Dialect | str = "refcrp") -> Array:
    """Give the relevance of the input as `refcrp.LRP` has it."""
    try:
        lrp = LRP(case.model, case.rules, dialect=dialect)
    except RuleCompatibilityError as error:
        raise NotSupported(str(error)) from error
    if case.relevance_out is not None:
        return from_relevance(lrp, case)
    conditions: Any = case.conditions  # names of layers, where LRP takes their indices as well
    return lrp(case.x, output=case.output, conditions=conditions).relevance


@np.errstate(all="ignore")  # as LRP does: results are checked instead
def from_relevance(lrp: LRP, case: Case) -> Array:
    """Carry relevance of the last layer's output down, under each condition."""
    assert case.relevance_out is not None
    conditions: Any = case.conditions or [{}]
    trace = lrp.trace(case.x)
    R = np.broadcast_to(case.relevance_out, (len(conditions), *case.relevance_out.shape))
    return merged(trace.pull(R, masks=condition_masks(conditions, lrp.model, trace.outputs))[0])


def speaking(dialect: Dialect | str) -> Callable[[Case], Array]:
    """Give `explain` in a dialect."""
    dialect = as_dialect(dialect)

    def explain_in_dialect(case: Case) -> Array:
        return explain(case, dialect)

    explain_in_dialect.__name__ = dialect.name.replace("-", "_")
    explain_in_dialect.__doc__ = f"Give the relevance of the input as {dialect.name} would have it."
    return explain_in_dialect


def __getattr__(name: str) -> Callable[[Case], Array]:
    dialect = name.replace("_", "-")
    if dialect not in DIALECTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return speaking(dialect)
