"""Tables of the best, against Python's sort."""

import functools
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refcrp.concepts import tables

N = 3
KINDS = len(tables.KINDS)

# Few values, so that there are ties; a sample and a target determine the score, as they do in a collection.
entry_keys = st.tuples(st.integers(0, 6), st.integers(0, 2))


def score_of(sample, target, salt, kind):
    """A score that many share; of an activation the target does not matter."""
    by_target = target if kind < 2 else 0
    return float((sample * 7 + by_target * 3 + salt + kind) % 4)


def a_table(keys, salt=0):
    """The table (1 group, kinds, 1 concept, N) of samples and targets."""
    table = tables.empty_entries(1, KINDS, 1, N)
    for kind in range(KINDS):
        found = oracle(keys, salt, kind)
        for place, (score, sample, target) in enumerate(found):
            table[0, kind, 0, place] = (score, sample, target, sample + 10)
    return table


def oracle(keys, salt, kind):
    """The best of `keys`: by score, sample, target; of an activation each sample once."""
    best = sorted((-score_of(s, t, salt, kind), s, t) for s, t in set(keys))
    if kind >= 2:
        seen = set()
        best = [e for e in best if not (e[1] in seen or seen.add(e[1]))]
    return [(-score, s, t) for score, s, t in best[:N]]


@given(st.lists(st.lists(entry_keys), min_size=1, max_size=5), st.integers(0, 3), st.randoms())
def test_merging_in_any_order_and_grouping_gives_the_best_of_all(parts, salt, rng):
    shards = [a_table(keys, salt) for keys in parts]
    whole = a_table([key for keys in parts for key in keys], salt)
    while len(shards) > 1:
        chosen = rng.sample(shards, rng.randint(2, len(shards)))
        shards = [s for s in shards if not any(s is c for c in chosen)]
        shards.append(tables.merge_tables(chosen))
    assert tables.merge_tables(shards).tobytes() == whole.tobytes()


@given(st.lists(entry_keys), st.lists(entry_keys))
def test_merging_is_commutative_and_idempotent(a, b):
    x, y = a_table(a), a_table(b)
    assert tables.merge_tables([x, y]).tobytes() == tables.merge_tables([y, x]).tobytes()
    assert tables.merge_tables([x, x]).tobytes() == x.tobytes()


def test_of_two_scores_of_the_same_sample_the_higher_one_counts():
    """As two machines may have it whose arithmetic differs in the last bit."""
    a, b, c = (tables.empty_entries(1, KINDS, 1, 2) for _ in range(3))
    a[0, 0, 0] = [(2.0, 5, 0, 0), (1.0, 6, 0, 0)]
    b[0, 0, 0] = [(2.5, 5, 0, 0), (0.5, 7, 0, 0)]
    c[0, 0, 0, 0] = (1.5, 7, 0, 0)
    merged = tables.merge_tables([tables.merge_tables([a, b]), c])
    assert merged[0, 0, 0].tolist() == [(2.5, 5, 0, 0), (1.5, 7, 0, 0)]
    assert tables.merge_tables([c, tables.merge_tables([b, a])]).tobytes() == merged.tobytes()


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("batch", [1, 2, 7, 30])
def test_batch_after_batch_is_the_best_of_all(groups, batch):
    rng = np.random.default_rng(0)
    concepts, count, n = 2, 30, 4
    scores = rng.integers(0, 5, (count, KINDS, concepts)).astype(float)
    group_of = rng.integers(0, groups, count)
    ids = np.arange(count)
    order = random.Random(3).sample(range(count), count)
    table = tables.empty_entries(groups, KINDS, concepts, n)
    for start in range(0, count, batch):
        these = np.array(order[start : start + batch])
        entries = tables.entries_of(
            scores[these], ids[these, None, None], group_of[these, None, None], ids[these, None, None] * 2
        )
        for rows, better in tables.improvements(table, entries, group_of[these]):
            table.reshape(-1, n)[rows] = better
    for g in range(groups):
        for kind in range(KINDS):
            for c in range(concepts):
                want = sorted((-scores[i, kind, c], i) for i in range(count) if group_of[i] == g)[:n]
                got = [(-e["score"], e["sample"]) for e in table[g, kind, c] if e["sample"] >= 0]
                assert got == want
                assert all(e["position"] == 2 * e["sample"] for e in table[g, kind, c] if e["sample"] >= 0)


def test_only_rows_that_change_are_given():
    table = tables.empty_entries(1, KINDS, 2, 2)
    table["score"], table["sample"] = 1.0, 0
    new = tables.entries_of(np.zeros((1, KINDS, 2)), np.array(5), np.array(0), np.array(0))
    new["score"][0, 1, 1] = 3.0
    found = list(tables.improvements(table, new, np.array([0])))
    assert [rows.tolist() for rows, _ in found] == [[3]]
    assert found[0][1]["score"].tolist() == [[3.0, 1.0]]


def test_of_equal_scores_the_lower_sample_enters_late():
    table = tables.empty_entries(1, KINDS, 1, 1)
    table["score"], table["sample"], table["target"] = 1.0, 5, 0
    for sample, enters in ((6, 0), (4, KINDS)):
        new = tables.entries_of(np.ones((1, KINDS, 1)), np.array(sample), np.array(0), np.array(0))
        assert sum(len(rows) for rows, _ in tables.improvements(table, new, np.array([0]))) == enters


def test_the_best_over_groups_counts_an_activation_once():
    table = functools.reduce(
        lambda a, b: np.concatenate([a, b]), [tables.empty_entries(1, KINDS, 1, 2) for _ in range(2)]
    )
    table[0, :, 0, 0] = (1.0, 8, 0, 0)
    table[1, :, 0, 0] = (1.0, 8, 1, 0)
    assert tables.best_over_groups(table, 0)[0]["target"].tolist() == [0, 1]
    assert tables.best_over_groups(table, 2)[0]["target"].tolist() == [0, -1]


def test_minus_zero_is_zero():
    scores = tables.entries_of(np.array([-0.0]), np.array(0), np.array(0), np.array(0))["score"]
    assert not np.signbit(scores).any()
