"""Where relevance goes: what each layer received, lost on the way, and passed on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import as_integer
from refcrp.errors import ParameterError
from refcrp.pull import Pull, per_sample
from refcrp.tables import aligned

__all__ = ["COLUMNS", "LOST", "Book", "Ledger", "LedgerEntry"]

LOST = ("masked", "bias", "stabilizer", "dropped")
COLUMNS = ("received", *LOST, "passed")


@dataclass(frozen=True, eq=False)
class LedgerEntry:
    """The account of one layer, each number for every row of the explanation, (k n,).

    Attributes
    ----------
    layer : str
    received
        Relevance that arrives at the layer's output.
    masked
        Dropped by conditions on the layer's channels.
    bias
        Absorbed by biases.
    stabilizer
        Absorbed by what keeps denominators away from zero.
    dropped
        Not divided at all: empty windows of max pooling, outputs that no share of the rule covers.
    passed
        Relevance that leaves at the layer's input.
    """

    layer: str
    received: Array
    masked: Array
    bias: Array
    stabilizer: Array
    dropped: Array
    passed: Array

    @property
    def rounding(self) -> Array:
        """``received - masked - bias - stabilizer - dropped - passed``: zero, but for rounding."""
        return np.asarray(self.received - sum(getattr(self, name) for name in LOST) - self.passed)


@dataclass(frozen=True, eq=False)
class Ledger(Mapping[str, LedgerEntry]):
    """The accounts of all layers, by name, from the output down.

    ``ledger["conv2"].bias`` gives the relevance that conv2's biases absorbed, for every row of the
    explanation; ``print(ledger)`` a table, summed over rows; ``ledger.row(3)`` the accounts of one row.

    Examples
    --------
    >>> import refcrp as rc
    >>> model = rc.Sequential([rc.layers.Dense([[1.0, -2.0]], [1.0], name="neuron")])
    >>> print(rc.LRP(model, normalize_output_relevance=False)([[4.0, 1.0]]).ledger)
    layer   received    bias  stabilizer  dropped  passed
    neuron    3.0000  1.0000     1.0e-09   0.0000  2.0000
    all       3.0000  1.0000     1.0e-09   0.0000  2.0000
    """

    entries: tuple[LedgerEntry, ...]

    def __getitem__(self, layer: str) -> LedgerEntry:
        return self._by_name[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def _by_name(self) -> dict[str, LedgerEntry]:
        return {entry.layer: entry for entry in self.entries}

    @property
    def rows(self) -> int:
        """How many rows the explanation has: conditions times samples."""
        return len(self.entries[0].received)

    def row(self, number: int) -> Ledger:
        """Give the accounts of one row of the explanation.

        Raises
        ------
        ParameterError
            If there is no such row.
        """
        if as_integer(number, "ledger: row") >= self.rows:
            raise ParameterError(f"ledger: no row {number}; the explanation has rows 0 to {self.rows - 1}")
        chosen = slice(number, number + 1)
        return Ledger(tuple(replace(e, **{c: getattr(e, c)[chosen] for c in COLUMNS}) for e in self.entries))

    def total(self, column: str) -> Any:
        """Sum a column over layers and rows."""
        return sum(getattr(entry, column).sum() for entry in self.entries)

    @property
    def summary(self) -> str:
        """One line: what started at the output, and where it went."""
        lost = [f"{name} {number(self.total(name))}" for name in LOST if np.any(self.total(name) != 0)]
        start, end = self.entries[0].received.sum(), self.entries[-1].passed.sum()
        return f"output {number(start)} = " + " + ".join([f"input {number(end)}", *lost])

    def __str__(self) -> str:
        shown = [c for c in COLUMNS if c != "masked" or np.any(self.total(c) != 0)]
        table = [("layer", *shown)]
        for entry in self.entries:
            table.append((entry.layer, *(number(getattr(entry, c).sum()) for c in shown)))
        ends = {"received": self.entries[0].received.sum(), "passed": self.entries[-1].passed.sum()}
        table.append(("all", *(number(ends.get(c, self.total(c))) for c in shown)))
        of = "" if self.rows == 1 else f"sums of {self.rows} rows; ledger.row(0) gives the first\n"
        return of + "\n".join(aligned(table, ("  ",), right=range(1, len(shown) + 1)))

    def __repr__(self) -> str:
        return f"Ledger({len(self)} layers, {self.rows} rows: {self.summary})"


def number(value: Any) -> str:
    """Write a number with four significant places after the point of usual ones."""
    value = float(value)
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e6 else f"{value:.1e}"


class Book:
    """The accounts of one backward pass, while it goes on."""

    def __init__(self) -> None:
        self.pages: dict[int, list[Array]] = {}  # by layer: (columns, conditions, n), one for each batch
        self.around: dict[int, Array] = {}  # what came around a layer whose turn has come

    def enter(self, layer: int, pull: Pull, R: Array, kept: Array, R_in: Sequence[Array]) -> None:
        """Account for one layer: relevance that arrived, what conditions kept, and what it passed on."""
        received, unmasked = per_sample(R, pull.output), per_sample(kept, pull.output)
        passed = sum(per_sample_of_input(part, unmasked) for part in R_in)
        page = np.stack(np.broadcast_arrays(received, received - unmasked, *pull.losses(kept), passed))
        page = page.reshape(len(COLUMNS), -1, page.shape[-1])
        if layer in self.around:
            page[:2] += self.around.pop(layer)
        self.pages.setdefault(layer, []).append(page)

    def mask(self, layer: int, R: Array, output: Array) -> None:
        """Account for relevance that has come around `layer` and is dropped there, as received and masked."""
        dropped = per_sample(R, output)
        self.around[layer] = self.around.get(layer, 0) + dropped.reshape(-1, dropped.shape[-1])

    def spread(self, which: Array) -> None:
        """Repeat what was entered so far for all conditions; `which` names the row of each."""
        self.pages = {layer: [np.concatenate(pages, axis=1)[:, which]] for layer, pages in self.pages.items()}

    def ledger(self, names: Sequence[str]) -> Ledger:
        """Close the book; `names` are the layers'."""
        entries = []
        for layer in sorted(self.pages, reverse=True):
            columns = np.concatenate(self.pages[layer], axis=1).reshape(len(COLUMNS), -1)
            entries.append(LedgerEntry(names[layer], *columns))
        return Ledger(tuple(entries))


def per_sample_of_input(R_in: Array, sums: Array) -> Array:
    """Sum relevance of an input (..., n, *shape) to (..., n), the shape of `sums` already taken."""
    return per_sample(R_in, np.empty((1,) * (R_in.ndim - sums.ndim + 1)))
