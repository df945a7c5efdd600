"""Every rule and every dialect's choice, against fractions computed by hand."""

from dataclasses import replace
from fractions import Fraction

import pytest

from refcrp.conformance.arithmetic import EXACT
from refcrp.conformance.equations import RULES, Reading, add, concat, max_pool, stabilized, zero
from refcrp.conformance.matrices import Matrix
from refcrp.dialects import DIALECTS

F = Fraction
NEGLIGIBLE = 1e-300  # a stabilizer that fractions do not notice


def reading(dialect="refcrp", mistake=None, parameters=None, **choices):
    choices = {"epsilon": NEGLIGIBLE} | choices
    return Reading(replace(DIALECTS[dialect], **choices), EXACT, parameters or {}, mistake)


def dense(W, b):
    rows = [[(i, F(w)) for i, w in enumerate(row)] for row in W]
    return Matrix(rows, [F(b_j) for b_j in b], (len(W),))


def divided(rule, a, W, b, R, *args, **choices):
    return RULES[rule](dense(W, b), [F(v) for v in a], [F(v) for v in R], reading(*args, **choices))


def assert_near(values, expected):
    assert all(abs(v - e) < F(1, 10**200) for v, e in zip(values, expected, strict=True)), values


DISAGREEMENTS = [
    # rule, a, W, b, {dialects: relevance}
    (
        "zplus",
        (1, -2),
        (1, -3),
        F(-1, 2),
        {
            "refcrp zennit zennit-crp relevance-propagation-jl lrp-toolbox innvestigate": (F(1, 7), F(6, 7)),
            "captum": (2, 0),
        },
    ),
    (
        "zplus",
        (1, -2),
        (1, -3),
        F(1),
        {"refcrp zennit": (F(1, 8), F(6, 8)), "innvestigate": (F(1, 7), F(6, 7)), "captum": (F(1, 2), 0)},
    ),
    (
        "wsquare",
        (1, -2),
        (1, -3),
        F(-1, 2),
        {
            "zennit zennit-crp": (F(4, 41), F(36, 41)),
            "refcrp relevance-propagation-jl lrp-toolbox innvestigate": (F(1, 10), F(9, 10)),
        },
    ),
    (
        "gamma",
        (1, 1),
        (3, -1),
        F(1, 2),
        {
            # 3.75 and -1 over 3.75 - 1 + 0.625; for zennit (generalized) positive products count more
            "refcrp relevance-propagation-jl montavon-tutorial": (F(10, 9), F(-8, 27)),
            "zennit zennit-crp": (F(10, 9), F(-8, 27)),
            "captum": (F(15, 13), F(-4, 13)),
        },
    ),
    (
        "gamma",
        (1, -1),
        (3, 1),
        F(1, 2),
        {
            # 3.75 - 1.25 + 0.625, against 3.75 - 1 + 0.625 where only the positive product is raised
            "refcrp": (F(30, 25), F(-10, 25)),
            "zennit": (F(30, 27), F(-8, 27)),
            "captum": (F(15, 12), F(-5, 12)),
        },
    ),
    (
        "alpha_beta",
        (1, 2),
        (3, -1),
        F(1, 2),
        {
            # 2 · 3 / 3.5 and -1 · -2 / -2
            "refcrp zennit relevance-propagation-jl lrp-toolbox": (F(12, 7), -1),
            "innvestigate": (F(12, 7), F(-4, 3)),
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "a", "W", "b", "expected"), DISAGREEMENTS)
def test_dialects_by_hand(rule, a, W, b, expected):
    for dialects, relevance in expected.items():
        for dialect in dialects.split():
            assert_near(divided(rule, a, [W], [b], [1], dialect), relevance)


RULES_BY_HAND = [
    ("zero", {}, (1, 2), (3, 4), 1, (F(3, 12), F(8, 12))),
    ("zero", {}, (1, 2), (3, -4), 1, (F(-3, 4), 2)),
    ("epsilon", {"epsilon": 0.5}, (1, 2), (3, 4), 1, (F(6, 25), F(16, 25))),
    ("epsilon", {"epsilon": 0.5}, (1, 2), (3, -4), 1, (F(3) / F("-4.5"), F(-8) / F("-4.5"))),
    ("generalized_gamma", {"gamma": 1.0}, (1, -2), (3, 1), 1, (F(6, 6), F(-2, 6))),  # z = 2 > 0
    ("generalized_gamma", {"gamma": 1.0}, (1, -2), (1, 3), -2, (F(-1, 15), F(12, 15))),  # z = -7 < 0
    ("generalized_gamma", {"gamma": 1.0}, (1, -2), (4, 2), 0, (0, 0)),  # z = 0
    ("zplus", {}, (1, 2), (3, -4), 1, (F(3, 4), 0)),
    ("alpha_beta", {"alpha": 1.0, "beta": 0.0}, (1, 2), (3, -4), 1, (F(3, 4), 0)),
    ("alpha_beta", {"alpha": 3.0, "beta": 2.0}, (1, 2), (3, -4), -8, (3, F(-2) * 8 / 16)),
    ("wsquare", {}, (0, -7), (3, -4), 5, (F(9, 25), F(16, 25))),
    ("flat", {}, (0, -7), (3, 0), 5, (F(1, 2), F(1, 2))),
    ("zbox", {"low": -1.0, "high": 2.0}, (1, 1), (3, -4), 1, (F(6, 10), F(4, 10))),
]


@pytest.mark.parametrize(("rule", "parameters", "a", "W", "b", "expected"), RULES_BY_HAND)
def test_rules_by_hand(rule, parameters, a, W, b, expected):
    assert_near(divided(rule, a, [W], [b], [1], parameters=parameters), expected)
    twice = divided(rule, a, [W, W], [b, b], [1, -3], parameters=parameters)
    assert_near(twice, [-2 * R for R in expected])


def test_choices_that_no_known_dialect_combines():
    none = divided("alpha_beta", (1, 2), [(3, -4)], [1], [1], alpha_beta_bias="none")
    assert_near(none, (2, -1))
    weights = divided(
        "zplus", (1, -2), [(1, 3)], [8], [1], zplus_contributions="weights", zplus_bias="positive"
    )
    assert_near(weights, (F(1, 3), -2))


EPS = F(1e-9)


@pytest.mark.parametrize(
    ("how", "at_two", "at_zero", "at_minus_two"),
    [
        ("signed", 2 + EPS, EPS, -2 - EPS),
        ("positive", 2 + EPS, EPS, -2 + EPS),
        ("at zero", 2, EPS, -2),
    ],
)
def test_stabilizers(how, at_two, at_zero, at_minus_two):
    assert [stabilized(F(z), how, EPS) for z in (2, 0, -2)] == [at_two, at_zero, at_minus_two]
    assert [stabilized(F(z), how, EPS, "no stabilizer") for z in (2, 0, -2)] == [2, 0, -2]
    if how != "positive":  # which asks for no sign
        assert stabilized(F(0), how, EPS, "zero at zero") == 0
        assert stabilized(F(0), how, EPS, "negative at zero") == -EPS


def test_stabilizers_are_in_the_denominators():
    assert divided("zero", (1, 1), [(1, 2)], [0], [1], epsilon=1e-9) == [1 / (3 + EPS), 2 / (3 + EPS)]
    assert divided("zero", (1, 1), [(1, -3)], [0], [1], epsilon=1e-9) == [1 / (-2 - EPS), -3 / (-2 - EPS)]
    assert divided("zero", (1, -1), [(1, 1)], [0], [1], epsilon=1e-9) == [1 / EPS, -1 / EPS]
    assert divided("flat", (1,), [(7,)], [0], [1], epsilon=1e-9) == [1 / (1 + EPS)]
    half = {"epsilon": 0.5}
    epsilon = divided("epsilon", (1, 1), [(1, -3)], [0], [1], epsilon=1e-9, parameters=half)
    assert epsilon == [F(-2, 5), F(6, 5)]  # its own, not the dialect's
    both = divided("epsilon", (1, 1), [(1, -3)], [0], [1], "montavon-tutorial", epsilon=1e-9, parameters=half)
    assert both == [1 / (EPS - F(3, 2)), -3 / (EPS - F(3, 2))]
    signed = divided("epsilon", (1, -1), [(1, 1)], [0], [1], "innvestigate", parameters=half)
    assert signed == [2, -2]


def test_zero_denominators_under_mistakes():
    for mistake, expected in [
        (None, [1 / EPS, -1 / EPS]),
        ("zero at zero", [0, 0]),
        ("negative at zero", [-1 / EPS, 1 / EPS]),
        ("no stabilizer", [0, 0]),
    ]:
        assert divided("zero", (1, -1), [(1, 1)], [0], [1], "refcrp", mistake, epsilon=1e-9) == expected


def test_padding_counts_only_by_mistake():
    M = Matrix([[(0, F(3))]], [F(5)], (1,), on_padding=[[F(4), F(0)]])
    for rule, right, wrong in [("flat", 1, F(1, 3)), ("wsquare", 1, F(9, 25))]:
        assert_near(RULES[rule](M, [F(2)], [F(1)], reading()), [right])
        assert_near(RULES[rule](M, [F(2)], [F(1)], reading(mistake="padding counted")), [wrong])


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("stabilized", (6 / (3 + EPS), 0, 0, -4 / (-4 - EPS) * -1)),
        ("winner", (2, 0, 0, -1)),
        ("shared", (1, 0, 1, -1)),
    ],
)
def test_max_pooling_by_hand(choice, expected):
    how = reading(max_pool=choice, epsilon=1e-9)
    a = [F(3), F(1), F(3), F(-4)]
    windows = [[0, 1, 2], [3]]
    assert max_pool(windows, a, [F(2), F(-1)], how, how.stabilize) == list(expected)


def test_max_pooling_drops_the_relevance_of_empty_windows_where_it_is_stabilized():
    a = [F(0), F(0)]
    for choice, expected in [("stabilized", [0, 0]), ("winner", [1, 0]), ("shared", [F(1, 2), F(1, 2)])]:
        how = reading(max_pool=choice)
        assert max_pool([[0, 1]], a, [F(1)], how, how.stabilize) == expected


def test_near_ties_go_to_the_first_but_are_divided_by_the_maximum():
    a = [F(1), F(2) - F(1, 1000), F(2)]
    how = reading(near_tie=0.001)
    assert_near(max_pool([[0, 1, 2]], a, [F(1)], how, how.stabilize), [0, a[1] / 2, 0])
    exact = reading(near_tie=0.0001)
    assert_near(max_pool([[0, 1, 2]], a, [F(1)], exact, exact.stabilize), [0, 0, 1])
    below_zero = [-v for v in a[1:]]
    assert_near(max_pool([[1, 0]], below_zero, [F(1)], how, how.stabilize), [0, F(2) / a[1]])


# Merge layers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seed", "expected"), [((1, 0), (F(4, 19), F(8, 19))), ((0, 1), (F(5, 27), F(14, 27)))]
)
def test_a_residual_connection_by_hand(seed, expected):
    """X + relu(W x + b) with W = [[3, 4], [5, 6]], b = [7, 8], at x = (1, 2): 1 + 18 and 2 + 25."""
    M, x, how = dense([[3, 4], [5, 6]], [7, 8]), [F(1), F(2)], reading()
    branch = M(x)
    assert branch == [18, 25]
    R_identity, R_branch = add([x, branch], [F(R) for R in seed], how.stabilize)
    through = zero(M, x, R_branch, how)
    assert_near([p + q for p, q in zip(R_identity, through, strict=True)], expected)


def test_add_stabilizes_the_sum():
    how = reading(epsilon=1e-9)
    assert add([[F(1)], [F(-1)], [F(0)]], [F(2)], how.stabilize) == [[2 / EPS], [-2 / EPS], [0]]
    assert add([[F(1)], [F(2)]], [F(1)], how.stabilize) == [[1 / (3 + EPS)], [2 / (3 + EPS)]]
    mistaken = reading(mistake="zero at zero")
    assert add([[F(1)], [F(-1)]], [F(2)], mistaken.stabilize) == [[0], [0]]


def test_concat_splits():
    assert concat([2, 0, 1], [F(1), F(2), F(3)]) == [[1, 2], [], [3]]
