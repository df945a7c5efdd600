"""The ledger: where relevance goes."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ParameterError
from refcrp.explanation import Explanation
from refcrp.ledger import COLUMNS, LOST

RULES = [
    rc.ZeroRule(),
    rc.EpsilonRule(0.25),
    rc.GammaRule(),
    rc.GeneralizedGammaRule(),
    rc.ZPlusRule(),
    rc.AlphaBetaRule(),
    rc.WSquareRule(),
    rc.FlatRule(),
    rc.ZBoxRule(-1, 2),
]


def convnet(rng, pool=L.MaxPool):
    return rc.Sequential(
        [
            L.Conv2d(
                rng.normal(size=(3, 2, 3, 3)), rng.normal(size=3), padding=1, activation="relu", name="c1"
            ),
            pool(2),
            L.Conv2d(rng.normal(size=(4, 3, 2, 2)), rng.normal(size=4), activation="relu", name="c2"),
            L.Scale(rng.normal(size=4), rng.normal(size=4)),
            L.Flatten(),
            L.LayerNorm(rng.normal(size=16), rng.normal(size=16)),
            L.Dense(rng.normal(size=(3, 16)), rng.normal(size=3)),
        ],
        input_shape=(2, 6, 6),
    )


def assert_balanced(explanation):
    """Each layer's columns add up, and what one passes the next receives."""
    ledger = explanation.ledger
    entries = list(ledger.values())
    for above, below in itertools.pairwise(entries):
        np.testing.assert_allclose(above.passed, below.received, rtol=1e-13)
    for entry in entries:
        size = sum(np.abs(getattr(entry, column)) for column in COLUMNS)
        # The largest terms of the sums are larger than the sums: ZBox subtracts large ones.
        assert (np.abs(entry.rounding) <= 1e-12 * (size + 100)).all(), entry.layer
    R = explanation.relevance
    np.testing.assert_allclose(entries[-1].passed, R.reshape(len(R), -1).sum(axis=1), rtol=1e-9)
    return ledger


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("pool", [L.MaxPool, L.AvgPool])
def test_columns_add_up(rule, pool, rng):
    composite = rc.Composite(
        rc.GlobalTypeMap(
            [(rc.ConvLayer, rule), (L.Dense, rule), (L.Scale, rule), (L.LayerNorm, rc.LayerNormRule())]
        )
    )
    lrp = rc.LRP(convnet(rng, pool), composite)
    x = rng.normal(size=(3, 2, 6, 6))
    ledger = assert_balanced(lrp(x))
    assert next(iter(ledger)) == "dense1"
    assert list(ledger)[-1] == "c1"
    assert_balanced(lrp(x, conditions=[{"c2": [1]}, {"c2": [0, 2], "c1": [2], "y": [1]}, {"y": [0, 2]}]))
    assert_balanced(rc.CRP(lrp, "c2", rc.TopNFeatures(3))(x, output=1))


@pytest.mark.parametrize("dialect", sorted(rc.DIALECTS))
def test_columns_add_up_in_every_dialect(dialect, rng):
    padding = 0 if dialect == "lrp-toolbox" else 1
    first = L.Conv2d(rng.normal(size=(3, 2, 3, 3)), rng.normal(size=3), padding=padding)
    features = 12 + 15 * padding
    last = L.Dense(rng.normal(size=(3, features)), np.ones(3))
    model = rc.Sequential([first, L.MaxPool(2), L.Flatten(), last])
    assert_balanced(rc.LRP(model, dialect=dialect)(rng.normal(size=(2, 2, 6, 6))))


def test_a_sum_by_hand():
    """x = (1, -2), W = (1, -3), b = 1/2: z = 7.5 = 1 + 6 + 1/2."""
    model = rc.Sequential([L.Dense(np.array([[1.0, -3.0]]), np.array([0.5]), name="out")])
    entry = rc.LRP(model, rc.EpsilonRule(0.5))(np.array([[1.0, -2.0]])).ledger["out"]
    assert entry.received == [1]
    np.testing.assert_allclose(entry.bias, 0.5 / 8, rtol=1e-15)
    np.testing.assert_allclose(entry.stabilizer, 0.5 / 8, rtol=1e-15)
    np.testing.assert_allclose(entry.passed, 7 / 8, rtol=1e-15)
    assert entry.masked == entry.dropped == 0


def test_exact_numbers_add_up_exactly(rng):
    model = rc.Sequential(
        [
            L.Conv2d(rng.integers(-4, 5, size=(2, 1, 2, 2)) / 4, np.array([0.25, -0.5]), activation="relu"),
            L.MaxPool(2),
            L.Flatten(),
            L.Dense(rng.integers(-4, 5, size=(2, 2)) / 4, np.array([0.5, 0.25])),
        ]
    )
    ledger = rc.LRP(model, rc.ZPlusRule() and rc.EpsilonRule(0.125), dtype=object)(
        rng.integers(-8, 9, size=(2, 1, 3, 3)) / 8
    ).ledger
    for entry in ledger.values():
        assert all(isinstance(value, Fraction) for value in entry.received)
        assert (entry.rounding == 0).all()


def test_empty_windows_are_dropped_and_masks_masked():
    model = rc.Sequential(
        [L.MaxPool(2, name="pool"), L.Flatten(), L.Dense(np.ones((1, 2)), np.ones(1), name="out")],
        input_shape=(1, 2, 4),
    )
    x = np.array([[[[0.0, 0.0, 1.0, 3.0], [0.0, 0.0, 2.0, 0.0]]]])
    lrp = rc.LRP(model, [rc.ZeroRule(), rc.ZeroRule(), rc.FlatRule()])
    entry = lrp(x).ledger["pool"]
    np.testing.assert_allclose(entry.dropped, 0.5, rtol=1e-8)
    np.testing.assert_allclose(entry.passed, 0.5, rtol=1e-8)
    masked = lrp(x, conditions=[{"flatten1": [0]}, {"pool": [0]}]).ledger
    np.testing.assert_allclose(masked["flatten1"].masked, [0.5, 0], atol=1e-8)
    np.testing.assert_allclose(masked["pool"].dropped, [0.5, 0.5], rtol=1e-8)


def test_generalized_gamma_drops_outputs_at_zero():
    model = rc.Sequential([L.Dense(np.array([[1.0, -1.0], [1.0, 1.0]]))])
    lrp = rc.LRP(model, rc.GeneralizedGammaRule())
    entry = lrp(np.array([[1.0, 1.0]]), output=0).ledger["dense1"]
    assert entry.dropped == 1
    assert entry.passed == 0


def test_shares_that_do_not_add_up_show_as_dropped(rng):
    class Half(rc.Rule):
        def shares(self):
            return (rc.Share((rc.Contribution(),), scale=0.5),)

    model = rc.Sequential([L.Dense(np.ones((1, 4)))])
    np.testing.assert_allclose(rc.LRP(model, Half())(np.ones((1, 4))).ledger["dense1"].dropped, 0.5)


@given(seed=st.integers(0, 2**16), batch_size=st.integers(1, 3))
def test_rows_are_those_of_single_explanations(seed, batch_size):
    rng = np.random.default_rng(seed)
    lrp = rc.LRP(
        convnet(rng), [rc.ZPlusRule()] + [rc.ZeroRule()] * 4 + [rc.LayerNormRule(), rc.EpsilonRule()]
    )
    x = rng.normal(size=(2, 2, 6, 6))
    conditions = [{"c2": [1]}, {"c1": [0, 1]}, {"y": [2], "c2": [0]}]
    together = lrp(x, conditions=conditions, batch_size=batch_size).ledger
    for k, condition in enumerate(conditions):
        for i in range(2):
            single = lrp(x[i : i + 1], conditions=[condition]).ledger
            row = together.row(2 * k + i)
            for layer in single:
                for column in COLUMNS:
                    np.testing.assert_allclose(
                        getattr(row[layer], column), getattr(single[layer], column), rtol=1e-9, atol=1e-12
                    )


def test_the_printed_table_adds_up(rng):
    e = rc.LRP(convnet(rng), [rc.ZPlusRule()] + [rc.ZeroRule()] * 4 + [rc.LayerNormRule(), rc.EpsilonRule()])(
        rng.normal(size=(1, 2, 6, 6))
    )
    header, *rows = str(e.ledger).splitlines()
    assert header.split() == ["layer", "received", "bias", "stabilizer", "dropped", "passed"]
    assert [row.split()[0] for row in rows] == [*e.ledger, "all"]
    for row in rows:
        received, *rest = map(float, row.split()[1:])
        assert received == pytest.approx(sum(rest), abs=3e-4 * max(1, abs(received)))
    assert str(e.ledger.summary).startswith("output 1.0000 = input ")
    total = e.ledger.total
    start, end = next(iter(e.ledger.values())).received, list(e.ledger.values())[-1].passed
    np.testing.assert_allclose(start, end + sum(total(column) for column in LOST), rtol=1e-9)


def test_several_rows_say_so(rng):
    ledger = rc.LRP(rc.Sequential([L.Dense(np.eye(2))]))(np.ones((3, 2))).ledger
    assert "sums of 3 rows" in str(ledger)
    assert ledger.rows == 3
    with pytest.raises(ParameterError, match="rows 0 to 2"):
        ledger.row(3)


def test_an_explanation_of_unknown_origin_has_none():
    e = Explanation(np.ones(1), np.ones(1), np.ones(1), np.zeros(1, int), {}, {})
    with pytest.raises(ParameterError, match="which analyzer"):
        e.ledger  # noqa: B018 - computed when asked for
