"""Dialects in the engine: hand-computed numbers. Whole vectors in every dialect: tests/conformance."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.dialects import CHOICES, REFCRP, SOURCES, as_dialect
from refcrp.errors import ParameterError, RuleCompatibilityError

F = Fraction
SIGNED = ("zennit", "relevance-propagation-jl", "lrp-toolbox", "refcrp")


def relevance(x, w, b, rule, dialect):
    """Divide 1 through one neuron, exactly; the stabilizer moves a result by less than 1e-5."""
    model = rc.Sequential([L.Dense(np.array([w]), None if b is None else np.array([b]))])
    lrp = rc.LRP(model, rule, dialect=dialect, dtype=object, normalize_output_relevance=True)
    return [float(R) for R in lrp(np.array([x])).relevance[0]]


@pytest.mark.parametrize(
    ("rule", "dialects", "expected"),
    [
        (rc.ZPlusRule(), SIGNED, (F(1, 7), F(6, 7))),
        (rc.ZPlusRule(), ["captum"], (2, 0)),
        (rc.ZPlusRule(), ["innvestigate"], (F(1, 7), F(6, 7))),
        (rc.WSquareRule(), ["zennit", "zennit-crp"], (F(4, 41), F(36, 41))),
        (rc.WSquareRule(), ["refcrp", "relevance-propagation-jl", "innvestigate"], (F(1, 10), F(9, 10))),
        (rc.AlphaBetaRule(2, 1), ["innvestigate"], (F(2 * 1, 13) * 2, F(2 * 6, 13) * 2)),
        (rc.EpsilonRule(0.5), ["refcrp", "zennit", "captum"], (F(1, 7), F(6, 7))),
    ],
)
def test_one_neuron(rule, dialects, expected):
    """x = (1, -2), w = (1, -3), b = -1/2: z = 1 + 6 - 1/2 = 13/2."""
    for dialect in dialects:
        np.testing.assert_allclose(
            relevance([1.0, -2.0], [1.0, -3.0], -0.5, rule, dialect), np.array(expected, float), atol=1e-5
        )


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        ("zennit", (F(10, 9), F(-8, 27))),
        ("captum", (F(15, 13), F(-4, 13))),
        # (3.75, -1) over 3.75 - 1 + 0.625
        ("refcrp", (F(10, 9), F(-8, 27))),
    ],
)
def test_gamma(dialect, expected):
    """x = (1, 1), w = (3, -1), b = 1/2."""
    R = relevance([1.0, 1.0], [3.0, -1.0], 0.5, rc.GammaRule(0.25), dialect)
    np.testing.assert_allclose(R, np.array(expected, float), atol=1e-5)


def test_gamma_of_negative_contributions():
    """x = (1, -2), w = (1, 1): z = -1. Raised weights: (1.25, -2.5)/-1.25; raised contributions: (1, -2.5)/-1.5."""
    plain = relevance([1.0, -2.0], [1.0, 1.0], None, rc.GammaRule(0.25), "refcrp")
    np.testing.assert_allclose(plain, [-1, 2], atol=1e-5)
    general = relevance([1.0, -2.0], [1.0, 1.0], None, rc.GammaRule(0.25), "zennit")
    np.testing.assert_allclose(general, [-2 / 3, 5 / 3], atol=1e-5)


@pytest.mark.parametrize(
    ("stabilizer", "w", "expected"),
    [
        ("signed", 1.0, F(2, 3)),
        ("signed", -1.0, F(2, 3)),
        ("signed", 0.0, 0),
        ("positive", 1.0, F(2, 3)),
        ("positive", -1.0, 2),
        ("at zero", 1.0, 1),
        ("at zero", -1.0, 1),
    ],
)
def test_stabilizers(stabilizer, w, expected):
    """z = w, ε = 1/2."""
    dialect = rc.Dialect("own", epsilon=0.5, stabilizer=stabilizer)
    assert relevance([1.0], [w], None, rc.ZeroRule(), dialect) == [float(expected)]


def test_epsilon_rule_beside_the_stabilizer():
    """z = -2, ε = 1/4: -2 - 1/4; or -2 + 1/4 + 1/2 with a stabilizer of 1/2."""
    assert relevance([1.0], [-2.0], None, rc.EpsilonRule(0.25), "refcrp") == [8 / 9]
    dialect = rc.Dialect("own", epsilon=0.5, stabilizer="positive", epsilon_rule="positive")
    assert relevance([1.0], [-2.0], None, rc.EpsilonRule(0.25), dialect) == [8 / 5]


@pytest.mark.parametrize(
    ("dialect", "seed"), [("refcrp", 1.0), ("zennit", 1.0), ("zennit-crp", 2.5), ("captum", 2.5)]
)
def test_seed(dialect, seed):
    model = rc.Sequential([L.Dense(np.array([[2.0, 0.5]]))])
    x = np.ones((1, 2))
    lrp = rc.LRP(model, dialect=dialect)
    np.testing.assert_allclose(lrp(x).relevance.sum(), seed, rtol=1e-6)
    np.testing.assert_allclose(lrp(x, normalize_output_relevance=True).relevance.sum(), 1, rtol=1e-6)
    own = rc.LRP(model, dialect=dialect, normalize_output_relevance=False)
    np.testing.assert_allclose(own(x).relevance.sum(), 2.5, rtol=1e-6)


def test_batch_norm():
    model = rc.Sequential([L.BatchNorm(np.array([1.0]), np.array([4.0]), epsilon=0.0), L.Flatten()])
    x = np.array([[[[5.0]]]])
    for dialect, R in ("refcrp", 2.5 / 2), ("zennit", 1), ("captum", 2.5 / 2):
        lrp = rc.LRP(model, dialect=dialect, normalize_output_relevance=True)
        np.testing.assert_allclose(lrp(x).relevance, [[[[R]]]], rtol=1e-6)


def test_a_rule_of_ones_own_keeps_its_stabilizer():
    @dataclass(frozen=True)
    class Halved(rc.Rule):
        def stabilize(self, z):
            return 2 * z

    assert relevance([1.0], [3.0], None, Halved(), "zennit") == [0.5]


def test_what_a_dialect_lacks_is_refused():
    model = rc.Sequential([L.Conv2d(np.ones((1, 1, 2, 2)), padding=1, name="first")])
    with pytest.raises(RuleCompatibilityError, match=r"'captum'.*no flat"):
        rc.LRP(model, rc.FlatRule(), dialect="captum")
    with pytest.raises(RuleCompatibilityError, match=r"first.*'lrp-toolbox'.*no padding"):
        rc.LRP(model, rc.ZeroRule(), dialect="lrp-toolbox")
    with pytest.raises(RuleCompatibilityError, match="needs a layer with weights"):
        rc.LRP(rc.Sequential([L.AvgPool(2)]), rc.ZPlusRule(), dialect="zennit")


def test_names():
    assert as_dialect("zennit") is rc.DIALECTS["zennit"]
    assert as_dialect(REFCRP) is REFCRP
    with pytest.raises(ParameterError, match="did you mean 'zennit'"):
        rc.LRP(rc.Sequential([L.Flatten()]), dialect="zenit")
    with pytest.raises(ParameterError, match="no dialect 3"):
        as_dialect(3)


def test_choices_are_checked():
    with pytest.raises(ParameterError, match="seed must be one of 'one', 'output', got 'two'"):
        rc.Dialect("own", seed="two")
    with pytest.raises(ParameterError, match="epsilon"):
        rc.Dialect("own", epsilon=0)


def test_every_choice_has_a_sentence_a_field_and_a_source():
    assert CHOICES.keys() == SOURCES.keys()
    for choice, options in CHOICES.items():
        assert getattr(REFCRP, choice) in options
        for sentence in options.values():
            assert len(sentence.split()) > 4


def test_differences():
    assert rc.DIALECTS["zennit-crp"].differences(rc.DIALECTS["zennit"]) == {"seed": "output"}
    assert REFCRP.differences(REFCRP) == {}


def test_repr_names_the_dialect():
    model = rc.Sequential([L.Flatten()])
    assert "dialect 'zennit'" in repr(rc.LRP(model, dialect="zennit"))
    assert "dialect" not in repr(rc.LRP(model))
