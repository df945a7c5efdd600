"""The engine against the exact oracle, on every vector: equal on fractions, and its ledger adds up."""

import functools
import itertools

import numpy as np
import pytest

import refcrp as rc
from refcrp.conditions import condition_masks
from refcrp.conformance import exact
from refcrp.conformance.vectors import load_vectors
from refcrp.dialects import DIALECTS
from refcrp.ledger import COLUMNS, Book

ROOTS = {
    "batch_norm",
    "layer_norm",
    "group_norm",
    "instance_norm",
}  # layers with a square root: no exact value in the engine
CASES = {case.id: case for case in load_vectors()}


@functools.cache
def kinds(case_id):
    return {spec.kind for spec in CASES[case_id].layers}


def analyzer(case, dialect, dtype=None):
    return rc.LRP(case.model, case.rules, dialect=dialect, dtype=dtype)


@np.errstate(all="ignore")
def explained(case, dialect, dtype=None):
    """Give the relevance of the input, and a book of where it went."""
    lrp = analyzer(case, dialect, dtype)
    book, trace = Book(), lrp.trace(case.x)
    conditions = case.conditions or [{}]
    masks = condition_masks(conditions, lrp.model, trace.outputs)
    if case.relevance_out is not None:
        R = rc.exact(case.relevance_out) if dtype is object else case.relevance_out
    else:
        R = lrp.seed(trace, [np.asarray(case.output)[:, None]], lrp.starts_at_one(None))[0]
    R, _ = trace.pull(np.stack([R] * len(conditions)), masks=masks, book=book)
    return R.reshape(-1, *case.x.shape[1:]), book.ledger(case.model.names)


def exact_cases(dialect):
    return [c for c in CASES.values() if dialect in c.expected and not kinds(c.id) & ROOTS]


def test_equal_on_fractions():
    for case in exact_cases("refcrp"):
        R, ledger = explained(case, "refcrp", object)
        assert (exact.explain(case) == R).all(), case.id
        assert all((entry.rounding == 0).all() for entry in ledger.values()), case.id


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "refcrp"])
def test_equal_on_fractions_in_a_dialect(dialect):
    """Where it differs from the default by more than its ε, and on every fifth vector besides."""
    cases = exact_cases(dialect)
    chosen = [c for k, c in enumerate(cases) if "dialects-differ" in c.flags or k % 5 == 0]
    assert len(chosen) > 20
    for case in chosen:
        R, _ = explained(case, dialect, object)
        assert (exact.explain(case, dialect) == R).all(), case.id


def test_the_ledger_adds_up_in_float64():
    """To 1e-12 of what flows on every network; where denominators cancel, as the scale allows."""
    networks = 0
    for case in CASES.values():
        _, ledger = explained(case, "refcrp")
        entries = list(ledger.values())
        for above, below in itertools.pairwise(entries) if case.model.is_chain else ():
            np.testing.assert_array_equal(above.passed, below.received)
        is_network = "network" in case.flags and "zero-denominator" not in case.flags
        networks += is_network
        for entry in entries:
            flow = sum(np.abs(getattr(entry, column)) for column in COLUMNS).max()
            allowed = 1e-12 * max(flow, 1) + (0 if is_network else 64 * 2**-53 * case.scale.sum())
            assert (np.abs(entry.rounding) <= allowed).all(), (case.id, entry.layer)
    assert networks > 30
