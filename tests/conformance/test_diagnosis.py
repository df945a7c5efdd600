from dataclasses import replace

import numpy as np
import pytest

from refcrp.conformance import Case, LayerSpec, RuleSpec, exact
from refcrp.conformance.adapters import own
from refcrp.conformance.diagnosis import Clue, diagnose, summarize, variations
from refcrp.dialects import CHOICES, DIALECTS

REFCRP = DIALECTS["refcrp"]


def case_of(vectors, name):
    return next(case for case in vectors if case.id == name)


def sentences(case, got, dtype="float64"):
    return [clue.sentence for clue in diagnose(case, np.asarray(got), "refcrp", dtype, 64)]


def test_every_choice_that_shows_is_found(vectors):
    shown = set()
    for case in vectors:
        for field, options in CHOICES.items():
            for option in options:
                other = exact.explain(case, replace(REFCRP, **{field: option}), exact=False)
                if not np.allclose(other, case.expected["refcrp"], rtol=1e-12):
                    shown.add((field, option))
                    keys = [clue.key for clue in diagnose(case, other, "refcrp", "float64", 64)]
                    assert f"{field} {option}" in keys
    assert {("zplus_bias", "whole"), ("zplus_bias", "none"), ("seed", "output")} <= shown


def convolutions():
    """A convolution and a transposed one whose kernels are not symmetric."""
    settings = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    for kind, more, width in (("conv2d", {}, 2), ("conv_transpose2d", {"output_padding": (0, 0)}, 4)):
        weight = {"weight": np.array([[[[1.0, 3]]]])}
        spec = LayerSpec(kind, "conv", RuleSpec("zero"), weight, settings | more)
        R = np.arange(1.0, width + 1).reshape(1, 1, 1, width)
        case = Case(kind, "tests kernels", (spec,), np.array([[[[1.0, 2, 4]]]]), R)
        yield replace(case, expected={"refcrp": exact.rounded(exact.explain(case))})


def test_a_flipped_kernel_is_recognised():
    """As if the layer, and so the engine, had the kernel the other way round."""
    for case in convolutions():
        (spec,) = case.layers
        flipped = replace(spec, arrays={"weight": spec.arrays["weight"][..., ::-1]})
        got = own.explain(replace(case, layers=(flipped,)))
        assert sentences(case, got) == ["kernels are flipped: true convolution in place of cross-correlation"]


@pytest.mark.parametrize("mistake", exact.MISTAKES)
def test_every_mistake_that_shows_is_found(vectors, mistake):
    shown = 0
    for case in (*vectors, *convolutions()):
        with np.errstate(all="ignore"):
            other = exact.explain(case, exact=False, mistake=mistake)
        if not np.allclose(other, case.expected["refcrp"], rtol=1e-12):
            shown += 1
            assert exact.MISTAKES[mistake] in sentences(case, other)
    assert shown


def test_only_what_matters_for_a_case_is_tried(vectors):
    keys = {key for key, _, _ in variations(case_of(vectors, "dense-zplus-signs"), REFCRP)}
    assert "zplus_bias none" in keys
    assert "epsilon 1e-06" in keys
    assert not {
        key for key in keys if key.startswith(("gamma", "max_pool", "near_tie", "seed", "epsilon_rule"))
    }
    assert "seed output" in {key for key, _, _ in variations(case_of(vectors, "network"), REFCRP)}


def test_a_right_answer_has_no_clues_of_other_ways(vectors):
    for case in vectors:
        expected = case.expected["refcrp"]
        assert not [
            c for c in diagnose(case, expected * (1 + 1e-13), "refcrp", "float64", 64) if c.key in CHOICES
        ]


def test_nan_in_an_answer_that_is_otherwise_known(vectors):
    case = case_of(vectors, "network")
    got = case.expected["captum"].copy()
    got[1, 1] = np.nan
    assert CHOICES["seed"]["output"] in sentences(case, got)
    assert sentences(case, np.full((2, 2), np.nan)) == []


LAYOUTS = [
    (lambda R: R[0], "right, but the batch axis is missing"),
    (lambda R: np.moveaxis(R, 1, -1), "right, but channels come last: (batch, height, width, channel)"),
    (lambda R: R.swapaxes(2, 3), "right, but height and width are swapped"),
    (lambda R: R.reshape(1, -1), "right, but of shape (1, 12)"),
    (lambda R: np.moveaxis(R, 1, -1).reshape(R.shape), "right, but in the order of an array with channels last"),
    (lambda R: -2 * R, "2 times too large and negated"),
    (lambda R: R / 3, "everything is 3 times too small"),
    (lambda R: 0 * R, "everything is zero"),
    (lambda R: np.where(R > 7, 0, R), "right but for values that are zero (5 of 12)"),
    (lambda R: R * np.where(R > 7, -1, 1), "right but for the sign of some values"),
    (lambda R: R * (1 + 1e-13), "right but for rounding, of which there is more than any order of summation explains"),
    (lambda R: R + np.pi, None),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "sentence"), LAYOUTS, ids=[str(row[1]) for row in LAYOUTS])
def test_shapes_and_patterns(vectors, spoil, sentence):
    R = np.arange(1.0, 13).reshape(1, 2, 2, 3)
    if "swapped" in (sentence or ""):
        R = R.reshape(1, 3, 2, 2)
    shaped = replace(case_of(vectors, "conv2d-flat-padding"), expected={"refcrp": R}, scale=R + 1)
    shaped = replace(shaped, layers=(), x=R)
    found = [c.sentence for c in clues_without_oracle(shaped, spoil(R))]
    assert (sentence in found[0]) if sentence else found == []


def clues_without_oracle(case, got):
    """Diagnose a case that has no layers, so that nothing but its shape is to be seen."""
    return [c for c in diagnose(case, got, "refcrp", "float64", 64) if not c.key.startswith("mistake")]


def test_samples(vectors):
    case = case_of(vectors, "dense-epsilon-batch")
    R = case.expected["refcrp"]
    assert sentences(case, R.T) == [] or R.shape[0] == R.shape[1]
    assert sentences(case, R / 2)[-1] == "everything is 2 times too small, and there are 2 samples: a mean?"
    assert sentences(case, R * [[3.0], [0.7]]) == [
        "right but for a factor, another one for each sample (3, 0.7)"
    ]
    assert sentences(case, R.T) == ["right, but transposed: (feature, batch)"]


def test_conditions_in_the_other_order(vectors):
    R = np.arange(1.0, 13).reshape(6, 2)  # 3 conditions, 2 samples
    case = replace(case_of(vectors, "network"), expected={"refcrp": R}, scale=R, layers=(), x=R[:2])
    got = R.reshape(3, 2, 2).swapaxes(0, 1).reshape(6, 2)
    (clue,) = clues_without_oracle(case, got)
    assert clue.sentence == "right, but sample-major: all conditions of the first sample come first"


def test_the_fewest_explanations():
    a, b, c = Clue("a", "does a"), Clue("b", "does b"), Clue("c", "does c")
    found = summarize([("1", [a]), ("2", [b, a]), ("3", [b, c]), ("4", [b]), ("5", [])])
    assert [(f.key, f.sentence, f.cases) for f in found] == [
        ("b", "does b", ("2", "3", "4")),
        ("a", "does a", ("1",)),
    ]
    assert summarize([]) == ()


def test_reasons_of_one_dialect_are_told_together():
    first, second = Clue("dialect d", "matches dialect d: x; y"), Clue("dialect d", "matches dialect d: y; z")
    (finding,) = summarize([("1", [first]), ("2", [second])])
    assert finding.sentence == "matches dialect d: x; y; z"
