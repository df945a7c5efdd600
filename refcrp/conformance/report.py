"""What came of a check: counts, errors and failures, to print, to read and to work on with other programs."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from os import PathLike
from pathlib import Path

import numpy as np

from refcrp.conformance import pages
from refcrp.conformance.diagnosis import Clue, Finding, summarize
from refcrp.conformance.measure import Errors
from refcrp.errors import ParameterError
from refcrp.kernels import show_config

__all__ = ["FORMATS", "Group", "Outcome", "Rank", "Report", "machine", "report_path"]

FORMATS = (".html", ".md", ".json", ".txt")
SHOWN = 20  # failures in the text


@dataclass(frozen=True)
class Outcome:
    """What came of one vector.

    Parameters
    ----------
    case, reason : str
        Its id, and why it exists.
    rule, layer : str
        What it is about; ``network`` and ``LRP`` or ``CRP`` for networks.
    status : str
        ``pass``, ``fail`` or ``not supported``.
    problem : str
        What is wrong.
    clues : tuple of Clue
        What that looks like.
    errors : Errors, optional
        How far off it is, if it is finite and of the right shape.
    """

    case: str
    reason: str
    rule: str
    layer: str
    status: str
    problem: str = ""
    clues: tuple[Clue, ...] = ()
    errors: Errors | None = None

    @property
    def looks_like(self) -> str:
        """The clues as one sentence; dialects first, and all that give the same reason together."""
        reasons: dict[str, list[str]] = {}
        others = []
        for clue in self.clues:
            if clue.key.startswith("dialect "):
                reasons.setdefault(clue.sentence.partition(": ")[2], []).append(clue.key.partition(" ")[2])
            else:
                others.append(clue.sentence)
        told = [
            f"matches dialect{'s' if names[1:] else ''} {', '.join(names)}{': ' if reason else ''}{reason}"
            for reason, names in reasons.items()
        ]
        new = [sentence for sentence in others if not any(sentence in t for t in told)]
        return "; or ".join([*told[:2], *new[:2]])


@dataclass(frozen=True)
class Rank:
    """How well one dialect explains the answers: vectors that it has, with which answers agree and differ."""

    dialect: str
    vectors: int
    agrees: int
    differs: int
    right: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Group:
    """The outcomes of one rule on one kind of layer."""

    rule: str
    layer: str
    outcomes: tuple[Outcome, ...]

    def count(self, status: str) -> int:
        """Count outcomes."""
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def worst(self) -> Outcome | None:
        """The outcome with the largest scaled error, if there is any error to tell."""
        measured = [outcome for outcome in self.outcomes if outcome.errors is not None]
        return max(measured, key=lambda o: o.errors.scaled if o.errors else 0.0, default=None)

    def largest(self, unit: str) -> float | None:
        """Give the largest error in a unit, one of the fields of `Errors`."""
        return max((getattr(o.errors, unit) for o in self.outcomes if o.errors is not None), default=None)


@dataclass(frozen=True)
class Report:
    """What came of a check.

    Parameters
    ----------
    adapter, dialect, dtype : str
    tolerance : float
        In units of u · scale.
    outcomes : tuple of Outcome
        One for each vector, in their order.
    facts : mapping
        The machine and the versions, for the header.
    ranking : tuple of Rank
        The dialects, best first, if the dialect was to be found out.

    Examples
    --------
    >>> import refcrp as rc
    >>> report = rc.conformance.check(lambda case: [[3.0, -2.0]], select="zero-bias-hand-1")
    >>> report.verdict
    'FAIL: 1 of 1 vectors fail, 0 pass'
    >>> report.diagnosis
    ('the failure looks like: the result is the gradient times the input, no relevance is divided',)
    """

    adapter: str
    dialect: str
    dtype: str
    tolerance: float
    outcomes: tuple[Outcome, ...]
    facts: Mapping[str, str] = field(default_factory=dict)
    ranking: tuple[Rank, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing failed, and something passed."""
        return not self.failures and any(outcome.status == "pass" for outcome in self.outcomes)

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """The outcomes that are failures."""
        return tuple(outcome for outcome in self.outcomes if outcome.status == "fail")

    def count(self, status: str) -> int:
        """Count outcomes: ``pass``, ``fail`` or ``not supported``."""
        return self.whole.count(status)

    @property
    def whole(self) -> Group:
        """All outcomes as one group."""
        return Group("all", "", self.outcomes)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The outcomes by rule and kind of layer, networks last."""
        found: dict[tuple[str, str], list[Outcome]] = {}
        for outcome in self.outcomes:
            found.setdefault((outcome.rule, outcome.layer), []).append(outcome)
        ordered = sorted(found, key=lambda key: (key[0] == "network", key))
        return tuple(Group(*key, tuple(found[key])) for key in ordered)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What the failures look like, the fewest things that explain them; those that explain most first."""
        return summarize([(outcome.case, outcome.clues) for outcome in self.failures])

    @property
    def verdict(self) -> str:
        """The result in one line."""
        total, failed, unknown = len(self.outcomes), self.count("fail"), self.count("not supported")
        if unknown == total:
            return f"FAIL: the adapter supports none of {total} vectors"
        beside = f", {unknown} not supported" if unknown else ""
        if failed:
            return f"FAIL: {failed} of {total} vectors fail, {self.count('pass')} pass{beside}"
        worst = self.whole.worst
        assert worst is not None
        assert worst.errors is not None
        return (
            f"PASS: {self.count('pass')} of {total} vectors{beside}; the largest error is "
            f"{worst.errors.scaled:.3g} u·scale, in {worst.case}"
        )

    @property
    def diagnosis(self) -> tuple[str, ...]:
        """What all failures look like, in sentences."""
        total = len(self.failures)
        lines = [f"{some(len(f.cases), total)} like: {f.sentence}" for f in self.findings]
        unlike = sum(not o.clues and o.errors is not None for o in self.failures)
        if unlike:
            lines.append(f"{some(unlike, total)} like no known way")
        silent = [o.problem for o in self.failures if not o.clues and o.errors is None]
        if silent:
            lines.append(f"{some(len(silent), total, 'gave')} nothing to compare, the first: {silent[0]}")
        return tuple(lines)

    @property
    def spoken(self) -> str:
        """Which dialect the implementation speaks, if that was to be found out."""
        if not self.ranking:
            return ""
        best = self.ranking[0]
        if not best.agrees:
            return "it speaks none of the known dialects"
        tied = [r.dialect for r in self.ranking[1:] if r.right == best.right and r.differs == best.differs]
        said = f"it speaks {best.dialect}"
        if best.differs:
            said += f", but for {best.differs} of {best.agrees + best.differs} vectors"
        if tied:
            said += f" (or {', '.join(tied)}: no vector that it supports tells them apart)"
        return said

    def text(self) -> str:
        """Give the report for a terminal."""
        return pages.as_text(pages.blocks(self, SHOWN))

    __str__ = text

    def markdown(self) -> str:
        """Give the report as Markdown."""
        return pages.as_markdown(pages.blocks(self))

    def html(self) -> str:
        """Give the report as one HTML page that needs nothing else."""
        return pages.as_html(pages.blocks(self), f"refcrp verify {self.adapter}")

    def json(self) -> str:
        """Give the report as JSON; `docs/test-your-implementation.md` describes it."""
        return pages.as_json(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the report into a file, in the format that its ending says.

        Raises
        ------
        ParameterError
            If the ending is none of those in `FORMATS`.
        """
        path = report_path(path)
        write = {".html": self.html, ".md": self.markdown, ".json": self.json, ".txt": self.text}
        path.write_text(write[path.suffix.lower()](), encoding="utf-8")


def some(count: int, total: int, verb: str = "look") -> str:
    """Write ``3 of 5 failures look``, in good English for other numbers too."""
    ending = "s" if count == 1 and verb == "look" else ""
    who = (
        "the failure"
        if total == 1
        else f"all {total} failures"
        if count == total
        else f"{count} of {total} failures"
    )
    return f"{who} {verb}{ending}"


def report_path(path: str | PathLike[str]) -> Path:
    """Give a path with an ending that says how to write a report, or raise `ParameterError`."""
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ParameterError(f"report {path}: the ending must be one of {', '.join(FORMATS)}")
    return path


def machine() -> dict[str, str]:
    """Give the versions and the machine that a report is from."""
    config = show_config()
    kernels = dict.fromkeys((config.backend, config.instruction_set))
    return {
        "refcrp": f"{version('refcrp')} ({', '.join(kernels)})",
        "NumPy": np.__version__,
        "Python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
