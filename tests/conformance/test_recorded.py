"""What zennit, zennit-crp and Captum really printed (data/conformance/record_libraries.py), against their dialects."""

import json
from dataclasses import replace
from importlib.resources import as_file, files

import h5py
import numpy as np
import pytest

import refcrp as rc
from refcrp.conformance import cases, exact
from refcrp.conformance.measure import scale_of, spread
from refcrp.dialects import CHOICES, DIALECTS

LIBRARIES = ("zennit", "zennit-crp", "captum")
TOLERANCE = 2.0  # in units of u · scale; ours is a claim about equations, and these are short sums
COMPOSITES = {
    "EpsilonPlus": rc.EpsilonPlus(),
    "EpsilonPlusFlat": rc.EpsilonPlusFlat(),
    "EpsilonGammaBox": rc.EpsilonGammaBox(0, 1),
    "EpsilonAlpha2Beta1": rc.EpsilonAlpha2Beta1(),
    "EpsilonAlpha2Beta1Flat": rc.EpsilonAlpha2Beta1Flat(),
    "default": None,
}
LENET5 = [
    *(
        f"zennit/{name}/{dtype}"
        for name in COMPOSITES
        if name != "default"
        for dtype in ("float64", "float32")
    ),
    "zennit-crp/EpsilonPlusFlat/float64",
    "captum/default/float64",
]


@pytest.fixture(scope="module")
def recorded():
    with as_file(files("refcrp_data") / "conformance" / "recorded.h5") as path, h5py.File(path, "r") as file:
        yield file


@pytest.fixture(scope="module")
def stored():
    return {case.id: case for case in cases(None)}


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_recorded_vector_is_what_the_dialect_expects(recorded, stored, library):
    theirs = recorded["vectors"][library]
    ids = [name.decode() for name in theirs["ids"]]
    parts = np.split(theirs["values"][()], np.cumsum(theirs["sizes"])[:-1])
    for name, values in zip(ids, parts, strict=True):
        case = stored[name]
        expected = case.expected[library]
        off = spread(values.reshape(expected.shape), expected, scale_of(case, library), "float64")
        assert off.max() <= TOLERANCE, f"{name}: {off.max()} u·scale"


@pytest.mark.parametrize("library", LIBRARIES)
def test_nothing_that_the_dialect_has_is_missing(recorded, stored, library):
    """A new vector has to be recorded, too, before the dialect is claimed for it."""
    ids = {name.decode() for name in recorded["vectors"][library]["ids"]}
    has_it = {name for name, case in stored.items() if library in case.expected}
    conditional = {name for name in has_it if stored[name].conditions is not None}
    assert ids == (has_it if library == "zennit-crp" else has_it - conditional)


OPTIONS = [
    (library, field, option)
    for library in LIBRARIES
    for field, options in CHOICES.items()
    for option in options
    if option != getattr(DIALECTS[library], field)
    and not field.startswith(DIALECTS[library].lacks)
    and (library, field) != ("zennit", "seed")  # the caller says how relevance starts
    and (field, DIALECTS[library].gamma_contributions) != ("gamma_bias", "products")  # has no such choice
]


@pytest.mark.parametrize(("library", "field", "option"), OPTIONS)
def test_the_recorded_numbers_decide_every_choice(recorded, stored, library, field, option):
    """With any other option some vector would be off by far more than rounding."""
    other = replace(DIALECTS[library], **{field: option})
    ids = (name.decode() for name in recorded["vectors"][library]["ids"])
    assert any(is_off(stored[name], library, other) for name in ids)


@np.errstate(all="ignore")
def is_off(case, library, other):
    expected = case.expected[library]
    limit = 1e-3 * np.abs(expected).max()
    if not np.allclose(exact.explain(case, library, exact=False), expected, rtol=0, atol=1e-3 * limit):
        return False  # too badly conditioned to tell in floats
    return not np.allclose(exact.explain(case, other, exact=False), expected, rtol=0, atol=limit)


def test_the_recorded_lenet5(recorded):
    found = []
    recorded["lenet5"].visititems(lambda name, item: found.append(name) if hasattr(item, "shape") else None)
    assert sorted(found) == sorted(LENET5)


@pytest.mark.parametrize("name", LENET5)
def test_lenet5_under_the_composites_of_the_libraries(recorded, lenet5, digits, name):
    library, composite, dtype = name.split("/")
    item = recorded["lenet5"][name]
    conditions = json.loads(item.attrs["conditions"]) if "conditions" in item.attrs else None
    lrp = rc.LRP(lenet5.astype(dtype), COMPOSITES[composite], dialect=library)
    R = lrp(digits[0][:4].astype(dtype), conditions=conditions).relevance
    assert R.dtype == dtype
    limit = {"float64": 1e-12, "float32": 1e-5}[dtype]
    np.testing.assert_allclose(R, item[()], rtol=0, atol=limit * np.abs(item).max())


def test_lenet5_tells_the_dialects_apart(recorded, lenet5, digits):
    """The limit is tight enough to notice a stabilizer of 1e-9 where zennit has 1e-6."""
    theirs = recorded["lenet5/zennit/EpsilonPlus/float64"][()]
    lrp = rc.LRP(lenet5.astype("float64"), rc.EpsilonPlus(), dialect="refcrp")
    ours = lrp(digits[0][:4].astype("float64")).relevance
    assert np.abs(ours - theirs).max() > 1e-10 * np.abs(theirs).max()


def test_the_versions_are_said(recorded):
    assert {name: recorded.attrs[name].decode() for name in (*LIBRARIES, "torch")} == {
        "zennit": "0.5.1",
        "zennit-crp": "0.6.0",
        "captum": "0.9.0",
        "torch": "2.13.0",
    }
