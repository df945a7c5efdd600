"""Tables of the best: for each concept the n entries of the highest score.

An entry says how much a concept counts in one sample, explained for one target. Entries have a total order:
the higher score first, then the lower sample, then the lower target. So the best n of any entries are the
same, bit for bit, in whatever order and grouping they come together.
"""

from __future__ import annotations

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
    order = np.lexsort((entries["target"], entries["sample"], -entries["score"]), axis=-1)[..., :n]
    return np.take_along_axis(entries, order, axis=-1)


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
    for group in np.unique(groups):
        old = table[group].reshape(concepts, n)
        new = entries[groups == group].reshape(-1, concepts).T
        enters = np.flatnonzero(precede(new, old[:, -1:]).any(axis=1))
        if len(enters):
            yield group * concepts + enters, best(np.concatenate([old[enters], new[enters]], axis=1), n)


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
