"""What a wrong answer looks like: some other dialect, a common mistake, an array with its axes swapped.

An answer is compared with what it would be if the implementation did one thing differently, for every such
thing that is known; whatever reproduces it explains it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from refcrp.arrays import Array
from refcrp.conformance import exact
from refcrp.conformance.cases import Case
from refcrp.conformance.layouts import layout, pattern
from refcrp.conformance.measure import agrees, scale_of, spread
from refcrp.dialects import CHOICES, DIALECTS, Dialect
from refcrp.errors import RefcrpError

__all__ = ["Clue", "Finding", "diagnose", "summarize"]

MAX_POOLS = {"max_pool", "global_max_pool", "adaptive_max_pool"}

# Which words in a case (rules, kinds of layers, "output": an output neuron is explained) a choice is about;
# those that are not here are about every rule that divides.
ABOUT: dict[str, set[str]] = {
    "epsilon_rule": {"epsilon"},
    "gamma_contributions": {"gamma"},
    "gamma_bias": {"gamma"},
    "zplus_contributions": {"zplus"},
    "zplus_bias": {"zplus"},
    "alpha_beta_bias": {"alpha_beta"},
    "wsquare_bias": {"wsquare"},
    "max_pool": MAX_POOLS,
    "near_tie": MAX_POOLS,
    "batch_norm": {"batch_norm"},
    "seed": {"output"},
}
NUMBERS = {
    "epsilon": "the stabilizer is {:.3g} in size",
    "near_tie": "max pooling takes the first value within {:.3g}, relative, of the maximum",
}

# A way explains an answer that it meets within the tolerance, or, as its own rounding may be larger there,
# that comes this much closer to it than to what was expected, and close indeed.
CLOSER = 1e-3
CLOSE = {"float32": 1e-4, "float64": 1e-10}

ROUGH = 16.0  # tolerances within which an answer may just be imprecise
IMPRECISE = "right but for rounding, of which there is more than any order of summation explains"
SINGLE = "right to single precision only, as if computed or handed over in float32"


@dataclass(frozen=True)
class Clue:
    """One thing that a wrong answer looks like.

    Parameters
    ----------
    key : str
        Equal for equal things in different cases: ``dialect captum``, ``zplus_bias none``.
    sentence : str
    """

    key: str
    sentence: str


@dataclass(frozen=True)
class Finding:
    """One thing that several failures look like: which ones, and what."""

    sentence: str
    cases: tuple[str, ...]
    key: str = ""


def diagnose(case: Case, got: Array, dialect: str, dtype: str, tolerance: float) -> tuple[Clue, ...]:
    """Say what a wrong answer, of whatever shape and values, looks like; nothing if it is like no known way.

    Choices of a single thing and mistakes come first, dialects after them, shapes and factors last.
    """
    expected = case.expected[dialect]
    same = partial(agrees, case=case, dialect=dialect, dtype=dtype, tolerance=tolerance)
    if got.shape != expected.shape:
        return tuple(Clue(sentence, sentence) for sentence in layout(got, expected, same))
    finite = np.isfinite(got)
    if not finite.all():
        # Often a division by zero, in an answer that is otherwise as one of the known ways.
        got = np.where(finite, got, 0)
    clues = tuple(known_ways(case, got, dialect, dtype, tolerance))
    if clues or not finite.all():
        return clues
    off = float(spread(got, expected, scale_of(case, dialect), dtype).max())
    if off < tolerance * ROUGH:
        found: tuple[str, ...] = (IMPRECISE,)
    elif dtype == "float64" and agrees(got, case, dialect, "float32", tolerance):
        found = (SINGLE,)
    else:
        found = layout(got, expected, same) or pattern(got, expected, same)
    return tuple(Clue(sentence, sentence) for sentence in found)


# Known ways -------------------------------------------------------------------------------------------------


def known_ways(case: Case, got: Array, dialect: str, dtype: str, tolerance: float) -> Iterator[Clue]:
    """Give what reproduces an answer of the expected shape, finite."""
    meets = Meeting(case, got, dialect, dtype, tolerance)
    base = DIALECTS[dialect]
    for key, sentence, compute in variations(case, base):
        if meets(attempt(compute)):
            yield Clue(key, sentence)
    for name, expected in case.expected.items():
        if name != dialect and meets(expected):
            reasons = "; ".join(differences(case, base, DIALECTS[name], meets))
            yield Clue(f"dialect {name}", f"matches dialect {name}{': ' if reasons else ''}{reasons}")


class Meeting:
    """Tells whether some other result is what an answer is, rather than what was expected."""

    def __init__(self, case: Case, got: Array, dialect: str, dtype: str, tolerance: float) -> None:
        self.got, self.dtype, self.tolerance = got, dtype, tolerance
        self.expected = case.expected[dialect]
        self.scale = scale_of(case, dialect)
        self.deviation = np.abs(got - self.expected).max(initial=0)

    @np.errstate(all="ignore")
    def __call__(self, other: Array | None) -> bool:
        if other is None or other.shape != self.got.shape or not self.differs(other):
            return False
        scale = np.maximum(self.scale, np.abs(other))
        if (spread(self.got, other, scale, self.dtype) <= self.tolerance).all():
            return True
        left, size = np.abs(self.got - other).max(), np.abs(other).max()
        return bool(left <= CLOSER * self.deviation and left <= CLOSE[self.dtype] * size)

    @np.errstate(all="ignore")
    def differs(self, other: Array) -> bool:
        """Tell whether a result is another one than the expected."""
        if not np.isfinite(other).all():
            return False
        return bool((spread(other, self.expected, self.scale, self.dtype) > self.tolerance).any())


def variations(case: Case, base: Dialect) -> Iterator[tuple[str, str, Callable[[], Array]]]:
    """Give the known single deviations from a dialect that matter for a case: key, sentence, function."""
    words = words_of(case)
    numbers: dict[str, Mapping[Any, str]] = {
        field: {value: text.format(value) for value in (getattr(d, field) for d in DIALECTS.values())}
        for field, text in NUMBERS.items()
    }
    for field, options in {**CHOICES, **numbers}.items():
        for option in options if words & ABOUT.get(field, words) else ():
            if option != getattr(base, field):
                yield f"{field} {option}", options[option], explainer(case, base, **{field: option})
    for word, sentence in exact.MISTAKES.items():
        yield f"mistake {word}", sentence, explainer(case, base, word)


def explainer(
    case: Case, dialect: Dialect, mistake: str | None = None, **changes: Any
) -> Callable[[], Array]:
    """Give the function that computes a variation, when it is asked to."""
    return lambda: exact.explain(case, replace(dialect, **changes), exact=False, mistake=mistake)


@np.errstate(all="ignore")
def attempt(compute: Callable[[], Array]) -> Array | None:
    """Give what is computed, or None where a variation makes no sense for the case."""
    try:
        return compute()
    except (RefcrpError, ZeroDivisionError):
        return None


def words_of(case: Case) -> set[str]:
    """Give the rules and kinds of layers of a case, and ``output`` if an output neuron is explained."""
    return case.words | ({"output"} if case.relevance_out is None else set())


def differences(case: Case, base: Dialect, other: Dialect, meets: Meeting) -> list[str]:
    """Say what another dialect does differently, as far as it shows in a case."""
    words = words_of(case)
    told = {f: v for f, v in other.differences(base).items() if words & ABOUT.get(f, words)}
    if len(told) > 1:
        alone = {f: attempt(explainer(case, base, **{f: v})) for f, v in told.items()}
        shows = {f: told[f] for f, R in alone.items() if R is not None and meets.differs(R)}
        told = shows or told
    return [CHOICES[f][v] if f in CHOICES else NUMBERS[f].format(v) for f, v in told.items()]


# All failures together --------------------------------------------------------------------------------------


def summarize(failures: Sequence[tuple[str, Sequence[Clue]]]) -> tuple[Finding, ...]:
    """Give the fewest things that explain the failures, those that explain most first.

    Parameters
    ----------
    failures : sequence of (id, clues)
        Those without clues are left out.
    """
    left = {case: {clue.key: clue for clue in clues} for case, clues in failures if clues}
    findings: list[Finding] = []
    while left:
        keys = list(dict.fromkeys(key for clues in left.values() for key in clues))
        best = max(keys, key=lambda key: sum(key in clues for clues in left.values()))
        covered = {case: clues[best] for case, clues in left.items() if best in clues}
        findings.append(Finding(joined(best, covered.values()), tuple(covered), best))
        left = {case: clues for case, clues in left.items() if case not in covered}
    return tuple(findings)


def joined(key: str, clues: Iterable[Clue]) -> str:
    """Give one sentence for the same thing in several cases."""
    sentences = list(dict.fromkeys(clue.sentence for clue in clues))
    if len(sentences) == 1:
        return sentences[0]
    parts = dict.fromkeys(p for s in sentences for p in s.partition(": ")[2].split("; ") if p)
    return (
        f"matches {key}{': ' if parts else ''}{'; '.join(parts)}"
        if key.startswith("dialect")
        else sentences[0]
    )
