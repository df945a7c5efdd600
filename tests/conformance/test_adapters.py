"""The adapters: this package, and, where they are installed, the other libraries."""

import importlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from refcrp.conformance import Case, LayerSpec, NotSupported, RuleSpec, cases, check
from refcrp.conformance.adapters import own
from refcrp.dialects import DIALECTS
from refcrp.errors import MissingDependencyError, ParameterError

WITH_DIALECT = {"zennit": "zennit", "zennit_crp": "zennit-crp", "captum": "captum"}
IMPORTED = {"zennit": "zennit", "zennit_crp": "crp", "captum": "captum"}


def dense(rule, weight, bias, name="dense", **parameters):
    arrays = {"weight": np.array(weight, float), "bias": np.array(bias, float)}
    return LayerSpec("dense", name, RuleSpec(rule, parameters), arrays)


def single(spec, x, R=(1.0,)):
    return Case("test", "by hand", (spec,), np.array([x], float), np.array([R], float))


ZPLUS = single(dense("zplus", [[1, -3]], [-0.5]), [1, -2])
WSQUARE = single(dense("wsquare", [[1, -3]], [-0.5]), [1, -2])
GAMMA = single(dense("gamma", [[3, -1]], [0.5], gamma=0.25), [1, 1])
BY_HAND = [
    (ZPLUS, {"zennit": (1 / 7, 6 / 7), "captum": (2, 0), "refcrp": (1 / 7, 6 / 7)}),
    (WSQUARE, {"zennit": (4 / 41, 36 / 41), "captum": None, "refcrp": (1 / 10, 9 / 10)}),
    (GAMMA, {"zennit": (10 / 9, -8 / 27), "captum": (15 / 13, -4 / 13), "refcrp": (30 / 27, -8 / 27)}),
]


def network(conditions=None):
    """Two samples, two outputs; relevance does not pass through the same neurons."""
    layers = (
        dense("epsilon", [[1, 2], [3, -1]], [0, 1], "first", epsilon=1e-6),
        LayerSpec("relu", "relu", RuleSpec("zero")),
        dense("epsilon", [[2, 1], [-1, 4]], [0, 0], "second", epsilon=1e-6),
    )
    x = np.array([[1.0, 1], [2, -1]])
    return Case("test", "by hand", layers, x, output=(1, 0), conditions=conditions)


def adapter(name):
    pytest.importorskip("torch")
    pytest.importorskip(IMPORTED[name], exc_type=ImportError)
    return importlib.import_module(f"refcrp.conformance.adapters.{name}")


@pytest.mark.parametrize("name", WITH_DIALECT)
@pytest.mark.parametrize(("case", "expected"), BY_HAND)
def test_what_is_known_by_hand(name, case, expected):
    known = expected["captum" if name == "captum" else "zennit"]
    explain = adapter(name).explain
    if known is None:
        with pytest.raises(NotSupported, match="Captum has no rule wsquare"):
            explain(case)
    else:
        np.testing.assert_allclose(explain(case), [known], rtol=1e-5)


@pytest.mark.parametrize(("case", "expected"), BY_HAND)
def test_ours_by_hand(case, expected):
    np.testing.assert_allclose(own.explain(case), [expected["refcrp"]], rtol=1e-8)
    np.testing.assert_allclose(own.zennit(case), [expected["zennit"]], rtol=1e-5)


@pytest.mark.parametrize("name", WITH_DIALECT)
def test_every_vector(name):
    report = check(adapter(name).explain, WITH_DIALECT[name], tolerance=2.0)
    assert report.passed, report.text()
    missing = {outcome.problem for outcome in report.outcomes if outcome.status == "not supported"}
    assert missing <= {"zennit has no conditions", "Captum has no conditions"}


@pytest.mark.parametrize("name", WITH_DIALECT)
def test_nothing_is_supported_that_the_dialect_lacks(name):
    explain, dialect = adapter(name).explain, WITH_DIALECT[name]
    lacking = [case for case in cases(None) if dialect not in case.expected]
    assert lacking
    for case in lacking:
        with pytest.raises(NotSupported):
            explain(case)


@pytest.mark.parametrize("name", WITH_DIALECT)
def test_the_type_stays(name):
    assert adapter(name).explain(ZPLUS.astype("float32")).dtype == np.float32
    assert adapter(name).explain(network().astype("float32")).dtype == np.float32


@pytest.mark.parametrize("name", ["zennit", "captum"])
def test_conditions_are_zennit_crps_alone(name):
    with pytest.raises(NotSupported, match="conditions"):
        adapter(name).explain(network(({"first": [0]},)))


def test_zennit_crps_answers_are_condition_major():
    conditions = ({"relu": [0]}, {"first": [1], "relu": [1]}, {"second": [0]})
    explain = adapter("zennit_crp").explain
    together = explain(network(conditions))
    assert together.shape == (6, 2)
    for k, condition in enumerate(conditions):
        np.testing.assert_array_equal(together[2 * k : 2 * k + 2], explain(network((condition,))))
    # first neuron: a = (1, 1), W = (1, 2); the second output is -1 · 3 + 4 · 3 = 9 and gets -3 of it through it
    np.testing.assert_allclose(together[0], [-1, -2], rtol=1e-5)
    np.testing.assert_allclose(together[4], [0, 0])  # the first sample's output is the other neuron


def test_a_library_that_is_missing_is_named():
    hidden = (
        "import sys; sys.modules['torch'] = None\n"
        "from refcrp.errors import MissingDependencyError\n"
        "try:\n    import refcrp.conformance.adapters.zennit\n"
        "except MissingDependencyError as error:\n    print(error)"
    )
    answer = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, check=True)
    assert "torch" in answer.stdout
    assert "pip install 'refcrp[compare]'" in answer.stdout
    assert issubclass(MissingDependencyError, ImportError)


# Ours -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "dtype"), [*((name, "float64") for name in DIALECTS), ("refcrp", "float32")]
)
def test_the_engine_agrees_with_every_vector(dialect, dtype):
    report = check(getattr(own, dialect.replace("-", "_")), dialect, dtype, tolerance=2.0)
    assert report.passed, report.text()
    assert not report.count("not supported")


def test_what_a_dialect_lacks_is_not_supported():
    with pytest.raises(NotSupported, match="captum"):
        own.captum(WSQUARE)


def test_relevance_may_be_given_under_conditions():
    case = network(({"relu": [0]}, {"first": [1]}))
    by_output = own.explain(case)
    given = replace(case, relevance_out=np.array([[0.0, 1], [1, 0]]), output=None)
    np.testing.assert_array_equal(own.explain(given), by_output)
    assert by_output.shape == (4, 2)


def test_the_default_is_refcrps_dialect():
    np.testing.assert_array_equal(own.explain(network()), own.refcrp(network()))


def test_a_dialect_of_ones_own():
    mine = replace(DIALECTS["refcrp"], name="mine", wsquare_bias="squared")
    np.testing.assert_allclose(own.speaking(mine)(WSQUARE), [(4 / 41, 36 / 41)], rtol=1e-8)
    assert own.speaking(mine).__name__ == "mine"


def test_there_is_no_adapter_of_another_name():
    with pytest.raises(AttributeError, match="no attribute 'zenith'"):
        own.zenith  # noqa: B018
    with pytest.raises(ParameterError, match="zennit"):
        own.speaking("zenith")
