"""Tables of the best: for each concept the n entries of the highest score.

An entry says how much a concept counts in one sample, explained for one target. Entries have a total order:
the higher score first, then the lower sample, then the lower target. So the best n of any entries are the
same, bit for bit, in whatever order and grouping they come together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from refcrp.arrays import Array
from refcrp.errors import ParameterError
from refcrp.selection import Indices

__all__ = [
    "ENTRY",
    "KINDS",
    "best",
    "best_over_groups",
    "empty_entries",
    "entries_of",
    "improvements",
    "kind_of",
    "merge_tables",
]

ENTRY = np.dtype([("score", "<f8"), ("sample", "<i8"), ("target", "<i4"), ("position", "<i4")])

# What is ranked, in the order of the tables' second axis.
KINDS = (("relevance", "sum"), ("relevance", "max"), ("activation", "sum"), ("activation", "max"))
RELEVANCE = tuple(k for k, (by, _) in enumerate(KINDS) if by == "relevance")
ACTIVATION = tuple(k for k, (by, _) in enumerate(KINDS) if by == "activation")


def kind_of(by: str, over: str) -> int:
    """Give the number of a ranking."""
    if (by, over) not in KINDS:
        raise ParameterError(
            f"by={by!r}, over={over!r}: expected by 'relevance' or 'activation', over 'sum' or 'max'"
        )
    return KINDS.index((by, over))


def empty_entries(*shape: int) -> Array:
    """Give places that no sample has taken yet: score -∞, everything else -1."""
    return np.full(shape, np.array((-np.inf, -1, -1, -1), dtype=ENTRY))


def entries_of(score: Array, sample: Array, target: Array, position: Array) -> Array:
    """Put scores and what belongs to them together; the arrays broadcast."""
    entries = np.empty(np.broadcast_shapes(*map(np.shape, (score, sample, target, position))), dtype=ENTRY)
    entries["score"] = score
    entries["score"] += 0.0  # -0.0 and 0.0 are one score
    entries["sample"], entries["target"], entries["position"] = sample, target, position
    return entries


def best(entries: Array, n: int) -> Array:
    """Give the n best along the last axis, sorted; no two may be of the same sample and target."""
    m = entries.shape[-1]
    rows = entries.reshape(-1, m)
    score = -rows["score"]
    order = np.argsort(score, axis=-1, kind="stable")
    sorted_score = np.take_along_axis(score, order, axis=-1)
    ties = (sorted_score[:, 1:] == sorted_score[:, :-1]) & (sorted_score[:, 1:] < np.inf)
    tied = np.flatnonzero(ties.any(axis=-1))  # few: numbers are seldom equal
    order[tied] = np.lexsort((rows["target"][tied], rows["sample"][tied], score[tied]), axis=-1)
    chosen = order[:, :n] + m * np.arange(len(rows))[:, None]
    return np.asarray(np.take(rows.reshape(-1), chosen).reshape(*entries.shape[:-1], -1))


def once(entries: Array, *, by_sample: bool) -> Array:
    """Empty all but the best entry of each sample and target, or of each sample, along the last axis."""
    target, sample = entries["target"], entries["sample"]
    keys = (target, -entries["score"], sample) if by_sample else (-entries["score"], target, sample)
    entries = np.take_along_axis(entries, np.lexsort(keys, axis=-1), axis=-1)
    same = entries["sample"][..., 1:] == entries["sample"][..., :-1]
    if not by_sample:
        same &= entries["target"][..., 1:] == entries["target"][..., :-1]
    entries[..., 1:][same] = empty_entries()
    return entries


def improvements(table: Array, entries: Array, groups: Indices) -> Iterator[tuple[Indices, Array]]:
    """Find what new entries change in a table.

    Parameters
    ----------
    table : (groups, kinds, concepts, n) array of `ENTRY`
    entries : (m, kinds, concepts) array of `ENTRY`
        Of samples that the table has not seen.
    groups : (m,) array of int

    Yields
    ------
    rows : (r,) array of int
        Which rows of the table, numbered through (groups, kinds, concepts), change.
    better : (r, n) array of `ENTRY`
        What they become.
    """
    n, concepts = table.shape[-1], table[0, ..., 0].size
    by_group = np.argsort(groups, kind="stable")
    bounds = np.flatnonzero(np.diff(groups[by_group], prepend=-1, append=-1))
    columns = whole(np.take(entries.reshape(-1, concepts), by_group, axis=0)).swapaxes(0, 1).copy()
    for start, stop in itertools.pairwise(bounds):
        group = groups[by_group[start]]
        old, new = table[group].reshape(concepts, n), columns[:, start:stop].view(ENTRY)[..., 0]
        enters = np.flatnonzero(precede(new, old[:, -1:]).any(axis=1))
        if len(enters):
            both = np.concatenate([whole(old)[enters], columns[enters, start:stop]], axis=1)
            yield group * concepts + enters, best(both.view(ENTRY)[..., 0], n)


def whole(entries: Array) -> Array:
    """See entries (...) as numbers (..., 3), which NumPy copies faster than records."""
    return entries.view(np.int64).reshape(*entries.shape, ENTRY.itemsize // 8)


def precede(a: Array, b: Array) -> Array:
    """Tell where entries come before others."""
    ties = (a["score"] == b["score"]) & (
        (a["sample"] < b["sample"]) | ((a["sample"] == b["sample"]) & (a["target"] < b["target"]))
    )
    return np.asarray((a["score"] > b["score"]) | ties)


def merge_tables(tables: Sequence[Array]) -> Array:
    """Give the best of several tables (groups, kinds, concepts, n), which may have entries in common."""
    together, n = np.concatenate(tables, axis=-1), tables[0].shape[-1]
    merged = np.empty_like(tables[0])
    for kinds, by_sample in ((RELEVANCE, False), (ACTIVATION, True)):
        merged[:, kinds] = best(once(together[:, kinds], by_sample=by_sample), n)
    return merged


def best_over_groups(table: Array, kind: int) -> Array:
    """Give the best of all groups together: (groups, kinds, concepts, n) to (concepts, n)."""
    together = np.concatenate(list(table[:, kind]), axis=-1)
    return best(once(together, by_sample=kind in ACTIVATION), table.shape[-1])
