import re
from dataclasses import replace
from fractions import Fraction
from unittest import SkipTest

import numpy as np
import pytest

import refcrp as rc
from refcrp import conformance
from refcrp.conformance import NotSupported, check, check_case, exact
from refcrp.conformance.measure import measure, scale_of
from refcrp.errors import ParameterError


def outcome(report, case):
    return next(o for o in report.outcomes if o.case == case)


def test_a_right_implementation_passes(vectors, toy):
    report = check(toy(), vectors=vectors)
    assert report.passed
    assert report.count("pass") == len(vectors)
    assert report.whole.largest("scaled") < 1
    assert report.verdict.startswith("PASS: 7 of 7 vectors; the largest error is ")


def test_in_float32(vectors, toy):
    types = set()

    def adapter(case):
        types.add(case.x.dtype.name)
        types.update(a.dtype.name for spec in case.layers for a in spec.arrays.values())
        return toy()(case)

    report = check(adapter, dtype=np.float32, vectors=vectors)
    assert report.passed
    assert report.dtype == "float32"
    assert types == {"float32"}
    assert "dense-epsilon-batch" not in {o.case for o in report.outcomes}  # is float64-only
    assert 0 < report.whole.largest("relative") < 1e-6


def test_single_precision_is_not_double_precision(vectors, toy):
    report = check(lambda case: toy()(case.astype("float32")), vectors=vectors)
    assert not report.passed
    sentence = "right to single precision only, as if computed or handed over in float32"
    assert outcome(report, "dense-zero-bias").looks_like == sentence


# The deliberately wrong ones of the issue, and a few more: what is spoiled, what is said of all failures.
WRONG = [
    ({"sign": -1}, 7, "All 7 failures look like: all relevance has the opposite sign."),
    ({"bias": False}, 2, "All 2 failures look like: the bias is missing from the denominators."),
    ({"at_zero": 0}, 1, "sign(0) is taken as 0, so that denominators of zero pass nothing on."),
    ({"at_zero": -1}, 1, "sign(0) is taken as -1, so that denominators of zero become -ε"),
    ({"padding": True}, 1, "the flat and w-square rules count padding as inputs."),
    ({"softmax": True}, 1, "relevance starts as the softmax probability of the explained output."),
    ({"epsilon": 1e-6}, 6, "All 6 failures look like: the stabilizer is 1e-06 in size."),
]


@pytest.mark.parametrize(("mistake", "count", "sentence"), WRONG, ids=[str(row[0]) for row in WRONG])
def test_a_wrong_implementation_is_caught_and_told_why(vectors, toy, mistake, count, sentence):
    report = check(toy(**mistake), vectors=vectors)
    assert not report.passed
    assert report.count("fail") == count
    assert sentence in " ".join(report.text().split())


def test_a_dialect_is_recognized(vectors):
    def captum(case):
        return np.array([[2 / (1 + 2e-9), 0.0]])

    report = check(captum, vectors=vectors, select="dense-zplus-signs")
    (failure,) = report.failures
    assert failure.looks_like.startswith("matches dialect captum: ")
    assert "in z-plus the bias is not clipped" in failure.looks_like
    assert "z-plus counts positive weights" in failure.looks_like


def test_what_goes_wrong_is_told_and_the_rest_runs(vectors, toy):
    def adapter(case):
        R = toy()(case)
        match case.id:
            case "dense-zplus-signs":
                raise ValueError("no\nluck")
            case "dense-zplus-bias":
                return R * np.nan
            case "dense-zero-bias":
                return R[0]
            case "dense-zero-denominator":
                return "relevance"
            case "dense-epsilon-batch":
                return None
            case "network":
                return R + 1j
        return R

    report = check(adapter, vectors=vectors)
    assert report.count("fail") == 6
    assert report.count("pass") == 1
    problems = {o.case: o.problem for o in report.outcomes}
    assert re.fullmatch(
        r"raised ValueError: no luck \(test_check.py, line \d+\)", problems["dense-zplus-signs"]
    )
    assert problems["dense-zplus-bias"] == "nan at index (0, 0), and not finite in 2 of 2 values"
    assert problems["dense-zero-bias"] == "returned shape (2,), expected (1, 2)"
    assert problems["dense-zero-denominator"].startswith("returned str")
    assert problems["dense-epsilon-batch"] == "returned None, expected an array"
    assert problems["network"].startswith("returned ndarray of element type complex128")
    assert outcome(report, "dense-zero-bias").looks_like == "right, but the batch axis is missing"


def test_hangs_are_left_behind(vectors, toy):
    from threading import Event

    never = Event()
    report = check(
        lambda case: never.wait() if case.id == "network" else toy()(case), vectors=vectors, timeout=0.5
    )
    assert outcome(report, "network").problem == "did not return within 0.5 s"
    assert report.count("pass") == 6
    never.set()


def test_not_supported(vectors, toy):
    def adapter(case):
        if case.layers[0].rule.name == "flat":
            raise NotSupported("no flat rule")
        return toy()(case)

    report = check(adapter, vectors=vectors)
    assert report.passed
    assert report.count("not supported") == 1
    assert "No flat rule" in report.text() or "no flat rule" in report.text()

    def nothing(case):
        raise NotSupported("nothing at all")

    report = check(nothing, vectors=vectors)
    assert not report.passed
    assert report.verdict == "FAIL: the adapter supports none of 7 vectors"
    assert NotSupported.__mro__[1:3] == (rc.RefcrpError, NotImplementedError)


def test_adapters_see_no_answers_and_share_no_arrays(vectors, toy):
    def adapter(case):
        assert not case.expected
        assert case.scale is None
        R = toy()(case)
        case.x[:] = 0
        case.layers[0].arrays["weight"][:] = 0
        return R

    assert check(adapter, vectors=vectors).passed
    assert check(adapter, vectors=vectors).passed


def test_results_of_other_types(vectors, toy):
    exactly = {case.id: case.expected["refcrp"] for case in vectors}
    fractions = np.vectorize(Fraction, otypes=[object])
    for convert in (list, np.longdouble, fractions):
        assert check(lambda case, to=convert: to(exactly[case.id]), vectors=vectors).passed


def test_cases(vectors):
    cases = conformance.cases
    assert [c.id for c in cases(vectors=vectors)] == [c.id for c in vectors]
    assert len(cases("captum", vectors=vectors)) == 4
    assert len(cases(None, vectors=vectors)) == 7
    assert len(cases(dtype="float32", vectors=vectors)) == 6
    assert [c.id for c in cases(select="flat", vectors=vectors)] == ["conv2d-flat-padding"]
    assert [c.id for c in cases(select="zero-denominator", vectors=vectors)] == ["dense-zero-denominator"]
    assert len(cases(select=["zero", "bias"], vectors=vectors)) == 1
    with pytest.raises(ParameterError, match="no test vector is left: dialect captum, float32, select"):
        cases("captum", "float32", select="flat", vectors=vectors)
    with pytest.raises(ParameterError, match="no dialect 'capture'; did you mean 'captum'"):
        cases("capture", vectors=vectors)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dtype": "float16"}, "dtype must be float32 or float64, got 'float16'"),
        ({"dtype": "floaty"}, "dtype must be float32 or float64, got 'floaty'"),
        ({"tolerance": 0}, "tolerance must be a number > 0"),
        ({"timeout": -1}, "timeout must be a number > 0"),
        ({"dialect": "capture"}, "no dialect 'capture'"),
    ],
)
def test_wrong_settings(vectors, toy, settings, message):
    with pytest.raises(ParameterError, match=message):
        check(toy(), vectors=vectors, **settings)


def test_not_an_adapter(vectors):
    with pytest.raises(ParameterError, match="expected a function or 'MODULE:FUNCTION', got 3"):
        check(3, vectors=vectors)


def test_check_case(vectors, toy):
    for case in vectors:
        check_case(toy(), case)
    with pytest.raises(
        AssertionError, match=r"(?s)dense-zero-bias: got 1.5, expected 1.2 .*the bias is missing"
    ):
        check_case(toy(bias=False), vectors[2])
    with pytest.raises(AssertionError, match="raised ZeroDivisionError"):
        check_case(lambda case: 1 / 0, vectors[2])
    unknown = replace(vectors[0].layers[0].rule, name="wsquare")
    case = replace(vectors[0], layers=(replace(vectors[0].layers[0], rule=unknown),))
    with pytest.raises(SkipTest, match="no rule wsquare"):
        check_case(toy(), case)
    with pytest.raises(
        ParameterError, match="'dense-zplus-signs' has no expected relevance for dialect 'zennit'"
    ):
        check_case(toy(), vectors[0], "zennit")


def test_which_dialect(vectors, toy):
    report = check(toy(), None, vectors=vectors)
    assert report.dialect == "refcrp"
    best = report.ranking[0]
    assert (best.dialect, best.vectors, best.agrees, best.differs) == ("refcrp", 7, 7, 0)
    assert report.spoken == "it speaks refcrp"
    report = check(toy(bias=False), None, vectors=vectors)
    assert report.spoken == "it speaks refcrp, but for 2 of 7 vectors"
    assert not report.passed
    alike = [
        replace(case, expected=case.expected | {"zennit": case.expected["refcrp"]}) for case in vectors[1:3]
    ]
    report = check(toy(), None, vectors=alike)
    assert (
        report.spoken == "it speaks refcrp (or captum, zennit: no vector that it supports tells them apart)"
    )
    assert (
        check(lambda case: 0 * case.x, None, vectors=vectors).spoken == "it speaks none of the known dialects"
    )


# With the built-in vectors ---------------------------------------------------------------------------------


def built_in(mistake, dtype):
    def adapter(case):
        with np.errstate(all="ignore"):
            return exact.explain(case, exact=False, mistake=mistake).astype(dtype)

    return adapter


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("mistake", "select"),
    [
        ("sign swapped", "scale-"),
        ("bias forgotten", "dense-"),
        ("zero at zero", "epsilon-zero-denominator"),
        ("padding counted", "flat"),
        ("softmax left on", "net-mlp"),
    ],
)
def test_built_in_vectors_catch_the_usual_mistakes(mistake, select, dtype):
    report = check(built_in(mistake, dtype), dtype=dtype, select=select)
    (finding,) = report.diagnosis
    assert finding.endswith(f"like: {exact.MISTAKES[mistake]}")


@pytest.mark.parametrize("name", ["zennit", "captum"])
def test_built_in_vectors_tell_dialects_apart(name):
    report = check(f"refcrp.conformance.adapters.own:{name}", None, select="dense-")
    assert report.passed
    assert report.spoken.startswith(f"it speaks {name}")


# Measuring --------------------------------------------------------------------------------------------------


def test_errors_are_measured_in_their_units():
    expected, scale = np.array([[1.0, -4.0, 0.0]]), np.array([[2.0, 8.0, 1.0]])
    got = expected + np.array([[2.0**-51, -(2.0**-50), 0]])
    errors = measure(got, expected, scale, "float64")
    assert (errors.ulp, errors.relative, errors.scaled, errors.index) == (2.0, 2.0**-52, 2.0, (0, 0))
    errors = measure(got, expected, 0 * scale, "float64")
    assert errors.scaled == np.inf
    errors = measure(expected, expected, 0 * scale, "float64")
    assert (errors.ulp, errors.relative, errors.scaled) == (0, 0, 0)
    errors = measure(got + 1, 0 * expected, scale, "float64")
    assert errors.relative == np.inf
    assert errors.ulp == 0  # no unit in the last place of zero


def test_underflow_is_free_and_only_where_there_is_scale():
    tiny = np.array([[5e-324]])
    assert measure(tiny, 0 * tiny, np.array([[1e-300]]), "float64").scaled == 0
    assert measure(tiny, 0 * tiny, 0 * tiny, "float64").scaled == np.inf


def test_the_scale_is_that_of_the_dialect(vectors):
    cancelling = replace(vectors[0], scale=np.array([[1.0, 1.0]]))
    assert scale_of(cancelling, "refcrp") is cancelling.scale
    assert scale_of(cancelling, "captum")[0, 0] > 2  # 1/0.5, where 1 - 0.5 cancels
