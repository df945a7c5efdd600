"""Check an implementation of LRP against the test vectors.

An adapter is one function that takes a `Case` and gives the relevance of its input; everything here is about
calling it and judging what it gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from unittest import SkipTest

import numpy as np

from refcrp.arrays import Array
from refcrp.batches import with_progress
from refcrp.checks import check_number
from refcrp.conformance import diagnosis
from refcrp.conformance.cases import Case
from refcrp.conformance.diagnosis import Clue
from refcrp.conformance.measure import TOLERANCE, Errors, agrees, as_dtype, measure, scale_of
from refcrp.conformance.report import Outcome, Rank, Report, machine
from refcrp.conformance.runner import Adapter, Answer, InProcess, NotSupported, Runner, ask
from refcrp.conformance.vectors import load_vectors
from refcrp.conformance.worker import Worker
from refcrp.dialects import as_dialect
from refcrp.errors import ParameterError

__all__ = ["NotSupported", "cases", "check", "check_case"]

FLOAT64_ONLY = "float64-only"  # the flag of vectors whose numbers float32 does not have
MOVERS = {"relu", "flatten"}  # layers that do not make a network of the one layer that they stand by


def cases(
    dialect: str | None = "refcrp",
    dtype: object = "float64",
    *,
    select: str | Sequence[str] = (),
    vectors: Iterable[Case] | None = None,
) -> tuple[Case, ...]:
    """Give the test vectors that an implementation can be expected to meet.

    Parameters
    ----------
    dialect : str, optional
        Only those that this dialect has; all, if None.
    dtype : {"float64", "float32"}
        Without those that float32 cannot hold, if that is what the implementation computes in.
    select : str or sequence of str
        Only those with each of these words: a part of the id, a flag, a rule or a kind of layer.
    vectors : iterable of Case, optional
        To choose from; the built-in ones by default.

    Returns
    -------
    tuple of Case
        In float64, as they are stored; never none.

    Raises
    ------
    ParameterError
        If there is no such dialect or type, or no vector is left.

    Examples
    --------
    >>> import refcrp as rc
    >>> (case,) = rc.conformance.cases("zennit", select="zero-bias-hand-1")
    >>> case.x, case.expected["refcrp"], case.expected["zennit"]
    (array([[1., 2.]]), array([[ 1.5, -1. ]]), array([[ 1.49999925, -0.9999995 ]]))
    """
    name = None if dialect is None else as_dialect(dialect).name
    single = as_dtype(dtype) == "float32"
    words = [select] if isinstance(select, str) else list(select)
    chosen = tuple(
        case
        for case in (built_in() if vectors is None else vectors)
        if (name in case.expected if name else case.expected)
        and not (single and FLOAT64_ONLY in case.flags)
        and all(is_selected(case, word) for word in words)
    )
    if not chosen:
        raise ParameterError(
            f"no test vector is left: dialect {name or 'any'}, {as_dtype(dtype)}, select {words}"
        )
    return chosen


@cache
def built_in() -> tuple[Case, ...]:
    """Give the built-in test vectors; adapters get copies."""
    return load_vectors()


def is_selected(case: Case, word: str) -> bool:
    """Tell whether a word is part of a case's id, or one of its flags, rules and kinds of layers."""
    return word in case.id or word in case.flags or word in case.words


def check(
    adapter: Adapter | str,
    dialect: str | None = "refcrp",
    dtype: object = "float64",
    *,
    select: str | Sequence[str] = (),
    vectors: Iterable[Case] | None = None,
    tolerance: float = TOLERANCE,
    timeout: float | None = None,
) -> Report:
    """Check an implementation against the test vectors.

    Parameters
    ----------
    adapter : callable or str
        A function that takes a `Case`, its arrays of type `dtype`, and gives the relevance of its input. It
        may raise `NotSupported`. Or one by its name, ``MODULE:FUNCTION``: it runs in a process of its own, so
        that nothing it does can end the check. (In a script, under ``if __name__ == "__main__":``, as always
        with `multiprocessing`.)
    dialect : str, optional
        What the implementation is expected to compute. If None: find out which dialect it speaks.
    dtype : {"float64", "float32"}
    select, vectors
        See `cases`.
    tolerance : float
        Allowed errors, in units of u · scale (`Case.scale`), u = 2⁻⁵³ or 2⁻²⁴. The default covers every order
        of summation.
    timeout : float, optional
        Seconds for each vector. A function that hangs is left behind in its thread, as there is no way to end
        it; one that is given by its name is ended with its process.

    Returns
    -------
    Report

    Raises
    ------
    ParameterError
        If a setting is out of its range, no vector is left, or there is no such adapter.

    Examples
    --------
    >>> import refcrp as rc
    >>> from refcrp.conformance.adapters import own
    >>> report = rc.conformance.check(own.explain, select=["dense", "gamma"])
    >>> report.passed
    True
    """
    dtype = as_dtype(dtype)
    check_number("tolerance", tolerance, 0, includes_low=False)
    chosen = cases(dialect, dtype, select=select, vectors=vectors)
    with runner_of(adapter, timeout) as runner:
        answers = [(case, runner.ask(asked(case, dtype))) for case in with_progress(list(chosen), "vectors")]
    ranking: tuple[Rank, ...] = ()
    if dialect is None:
        ranking = rank(answers, dtype, tolerance)
        dialect = ranking[0].dialect
        answers = [(case, answer) for case, answer in answers if dialect in case.expected]
    judged = [judge(case, answer, dialect, dtype, tolerance) for case, answer in answers]
    return Report(name_of(adapter), dialect, dtype, tolerance, tuple(judged), machine(), ranking)


def check_case(
    adapter: Adapter,
    case: Case,
    dialect: str = "refcrp",
    dtype: object = "float64",
    *,
    tolerance: float = TOLERANCE,
) -> None:
    """Check an implementation against one test vector, for parametrised tests.

    Parameters
    ----------
    adapter : callable
        As for `check`.
    case : Case
        The vector, one of `cases`.
    dialect, dtype, tolerance
        As for `check`.

    Raises
    ------
    ParameterError
        If the vector is not of this dialect.
    AssertionError
        If the adapter gives anything but the right relevance; the message says what it looks like.
    unittest.SkipTest
        If it raises `NotSupported`; pytest takes that for a skipped test.

    Examples
    --------
    >>> import refcrp as rc
    >>> from refcrp.conformance.adapters import own
    >>> (case,) = rc.conformance.cases(select="zero-bias-hand-1")
    >>> rc.conformance.check_case(own.explain, case)  # which says nothing: it is right
    """
    name, dtype = as_dialect(dialect).name, as_dtype(dtype)
    if name not in case.expected:
        raise ParameterError(f"vector {case.id!r} has no expected relevance for dialect {name!r}")
    outcome = judge(case, ask(adapter, asked(case, dtype)), name, dtype, tolerance)
    if outcome.status == "not supported":
        raise SkipTest(outcome.problem)
    if outcome.status == "fail":
        looks = f"\nlooks like: {outcome.looks_like}" if outcome.looks_like else ""
        raise AssertionError(f"{case.id}: {outcome.problem}{looks}\n({case.reason})")


def asked(case: Case, dtype: str) -> Case:
    """Give the case as an adapter gets it: in the type to compute in, without the answers."""
    with np.errstate(all="ignore"):
        return replace(case.astype(dtype), expected={}, scale=None)


def runner_of(adapter: Adapter | str, timeout: float | None) -> Runner:
    """Give a runner for a function, or for one named ``MODULE:FUNCTION``, which gets a process of its own."""
    if timeout is not None:
        check_number("timeout", timeout, 0, includes_low=False)
    if isinstance(adapter, str):
        return Worker(adapter, timeout)
    if not callable(adapter):
        raise ParameterError(f"adapter: expected a function or 'MODULE:FUNCTION', got {adapter!r}")
    return InProcess(adapter, timeout)


def name_of(adapter: Adapter | str) -> str:
    """Give the name of an adapter for the report."""
    if isinstance(adapter, str):
        return adapter
    named = adapter if hasattr(adapter, "__qualname__") else type(adapter)
    return f"{named.__module__}:{named.__qualname__}"


# Judging ----------------------------------------------------------------------------------------------------


def judge(case: Case, answer: Answer, dialect: str, dtype: str, tolerance: float) -> Outcome:
    """Say whether an answer is right, and if not, how it is wrong and what that looks like."""
    rule, layer = topic(case)
    start = Outcome(case.id, case.reason, rule, layer, "fail", answer.message)
    if answer.status == "not supported":
        return replace(start, status="not supported")
    if answer.value is None:
        return start
    got, expected = answer.value, case.expected[dialect]
    errors = None
    if got.shape != expected.shape:
        problem = f"returned shape {got.shape}, expected {expected.shape}"
    elif not np.isfinite(got).all():
        problem = not_finite(got)
    else:
        errors = measure(got, expected, scale_of(case, dialect), dtype)
        problem = wrong(got, expected, errors, tolerance) if errors.scaled > tolerance else ""
    clues: tuple[Clue, ...] = ()
    if problem:
        clues = diagnosis.diagnose(case, got, dialect, dtype, tolerance)
    return replace(start, status="fail" if problem else "pass", problem=problem, clues=clues, errors=errors)


def topic(case: Case) -> tuple[str, str]:
    """Give the rule and the kind of layer that a case is about, or ``network`` and what is done with it."""
    layers = [spec for spec in case.layers if spec.kind not in MOVERS] or list(case.layers)
    if len(layers) == 1 and case.conditions is None:
        return layers[0].rule.name, layers[0].kind
    return "network", "LRP" if case.conditions is None else "CRP"


def not_finite(got: Array) -> str:
    """Say where there is a NaN or an infinity."""
    bad = np.argwhere(~np.isfinite(got))
    first = tuple(int(i) for i in bad[0])
    return f"{got[first]} at index {first}, and not finite in {len(bad)} of {got.size} values"


def wrong(got: Array, expected: Array, errors: Errors, tolerance: float) -> str:
    """Say how far off the worst value is."""
    at = errors.index
    # as many as tell them apart
    digits = next((n for n in (6, 9, 12) if f"{got[at]:.{n}g}" != f"{expected[at]:.{n}g}"), 17)
    return (
        f"got {got[at]:.{digits}g}, expected {expected[at]:.{digits}g} at index {at}: an error of "
        f"{errors.scaled:.3g} u·scale ({errors.relative:.2g} of the largest value), where {tolerance:g} are "
        "allowed"
    )


# Which dialect ----------------------------------------------------------------------------------------------


def rank(answers: Sequence[tuple[Case, Answer]], dtype: str, tolerance: float) -> tuple[Rank, ...]:
    """Give the dialects, the one first that an implementation speaks.

    A dialect gains by each answer that it explains and loses by each that it does not, as one that lacks most
    layers would otherwise win by what it lacks. Of two that come out even, the one with more vectors wins.
    """
    names = dict.fromkeys(name for case, _ in answers for name in case.expected)
    ranks = []
    for name in names:
        asked_of = [(case, answer) for case, answer in answers if name in case.expected]
        tried = [(case, answer) for case, answer in asked_of if answer.status != "not supported"]
        right = [
            case.id
            for case, answer in tried
            if answer.value is not None and agrees(answer.value, case, name, dtype, tolerance)
        ]
        ranks.append(Rank(name, len(asked_of), len(right), len(tried) - len(right), frozenset(right)))
    return tuple(sorted(ranks, key=lambda r: (r.differs - r.agrees, -r.agrees)))
