"""Ask adapters, and survive it: one that raises, hangs or takes its process down is an answer, too."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from refcrp.arrays import Array
from refcrp.conformance.cases import Case
from refcrp.errors import RefcrpError

__all__ = ["Adapter", "Answer", "InProcess", "NotSupported", "Runner", "ask", "describe", "hung", "one_line"]

Adapter = Callable[[Case], Any]


class NotSupported(RefcrpError, NotImplementedError):  # noqa: N818 - what an adapter says, not what went wrong
    """To be raised by an adapter for a rule, a layer or a setting that its implementation does not have.

    Examples
    --------
    >>> import refcrp as rc
    >>> def explain(case):
    ...     raise rc.conformance.NotSupported("no rule yet")
    >>> rc.conformance.check(explain, select="zero-bias-hand-1").count("not supported")
    1
    """


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of asking an adapter about one case.

    Parameters
    ----------
    status : str
        ``answered``, ``not supported``; or ``raised``, ``wrong type``, ``hung``, ``crashed``.
    value : array, optional
        The relevance, if it answered: floating point or integer, of any shape, not always finite.
    message : str
        Otherwise, what happened.
    """

    status: str
    value: Array | None = None
    message: str = ""


class Runner(Protocol):
    """Whatever asks an adapter about one case after the other."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def ask(self, case: Case) -> Answer:
        """Give what came of it; never raises for what the adapter does."""


def ask(adapter: Adapter, case: Case) -> Answer:
    """Ask an adapter here and now."""
    try:
        value = adapter(case)
    except NotSupported as error:
        return Answer("not supported", message=one_line(error))
    except (Exception, SystemExit) as error:
        return Answer("raised", message=f"raised {describe(error)}")
    return as_answer(value)


def as_answer(value: Any) -> Answer:
    """Take what an adapter returned as an array of numbers, if it is one."""
    kind = type(value).__name__
    if value is None:  # which NumPy would take for NaN
        return Answer("wrong type", message="returned None, expected an array")
    try:
        array = np.array(value)
        if array.dtype == object:
            array = array.astype(np.float64)  # Fractions, say
    except Exception as error:
        return Answer("wrong type", message=f"returned {kind}, which is not an array: {one_line(error)}")
    if array.dtype.kind not in "fiu":
        found = f"{kind} of element type {array.dtype}"
        return Answer("wrong type", message=f"returned {found}, expected an array of real numbers")
    return Answer("answered", array)


def describe(error: BaseException) -> str:
    """Write an exception and where it came from, on one line."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if len(frames) > 1 else ""
    message = one_line(error)
    return f"{type(error).__name__}{': ' if message else ''}{message}{where}"


def one_line(error: BaseException) -> str:
    """Give an error's message without line breaks, and not endlessly long."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]}..."


def hung(timeout: float | None) -> Answer:
    """Give the answer of an adapter that did not return in time."""
    return Answer("hung", message=f"did not return within {timeout:g} s")


class InProcess:
    """An adapter in this process; with a timeout, in a thread, which is left behind if it hangs."""

    def __init__(self, adapter: Adapter, timeout: float | None) -> None:
        self.adapter, self.timeout = adapter, timeout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is open."""

    def ask(self, case: Case) -> Answer:
        """Ask about one case."""
        if self.timeout is None:
            return ask(self.adapter, case)
        answers: list[Answer] = []
        thread = threading.Thread(target=lambda: answers.append(ask(self.adapter, case)), daemon=True)
        thread.start()
        thread.join(self.timeout)
        return answers[0] if answers else hung(self.timeout)
