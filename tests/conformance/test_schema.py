import re
from pathlib import Path

import h5py
import numpy as np
import pytest

import refcrp
from refcrp.conformance.cases import LAYERS, RULES, LayerSpec, RuleSpec
from refcrp.conformance.flags import FLAGS, IMPLIED, MAX_CONDITION, has, implied_flags
from refcrp.conformance.schema import LAYER_FIELDS, RULE_PARAMETERS, lint
from refcrp.conformance.vectors import load_vectors, write_vectors
from refcrp.dialects import DIALECTS

ROOT = Path(refcrp.__file__).parent.parent
PAGE = ROOT / "docs" / "conformance-schema.md"
BUILT_IN = {case.id: case for case in load_vectors()}


def test_the_built_in_vectors_are_good():
    assert lint(ROOT / "data" / "conformance" / "vectors.h5") == []


NAME = "conv-padded-zplus"
HERE = f"vectors/{NAME}"


@pytest.fixture
def path(tmp_path):
    write_vectors(
        [BUILT_IN[name] for name in (NAME, "crp-one-pixel-channels", "residual-hand-1")], tmp_path / "some.h5"
    )
    return tmp_path / "some.h5"


def put(group, key, values, **attributes):
    if key in group:
        attributes = dict(group[key].attrs) | attributes
        del group[key]
    group.create_dataset(key, data=values, chunks=np.shape(values) or None, fletcher32=bool(np.shape(values)))
    for name, value in attributes.items():
        group[key].attrs[name] = value


def spoil(key):
    """Say how to replace a dataset of the vector by what a function makes of it."""

    def by(change, at=HERE):
        return lambda file: put(file[at], key, change(file[at][key][()]))

    return by


def attribute(key, value, at=HERE):
    return lambda file: file[at].attrs.__setitem__(key, value)


def with_nan(values):
    values[(0,) * values.ndim] = np.nan
    return values


CRP = "vectors/crp-one-pixel-channels"
LAYER = f"{HERE}/layers/00"
GRAPH = "vectors/residual-hand-1"
SUM = f"{GRAPH}/layers/01"
TEXT = np.bytes_

SPOILT = {
    "id": (lambda file: file.move(HERE, "vectors/Conv_Padded"), "Conv_Padded: id: expected kebab-case"),
    "reason": (attribute("reason", TEXT("because")), "reason: expected a sentence"),
    "flag unknown": (attribute("flags", TEXT("layer padding dialects-differ odd")), "flags: unknown odd"),
    "flags none": (attribute("flags", TEXT(" ")), "flags: expected at least one"),
    "flag twice": (attribute("flags", TEXT("layer layer padding dialects-differ")), "none twice"),
    "flag missing": (attribute("flags", TEXT("layer dialects-differ")), "flags: padding: there, and should not"),
    "flag wrong": (attribute("flags", TEXT("layer padding dialects-differ batch")), "flags: batch: there"),
    "float64-only": (spoil("input")(lambda x: x + 2.0**-40), "'float64-only' is missing"),
    "condition number": (attribute("condition_number", 1.0), "condition_number: 1.0, the arrays say"),
    "kind": (attribute("kind", TEXT("conv3d"), LAYER), "unknown kind 'conv3d'"),
    "rule": (attribute("rule", TEXT("zminus"), LAYER), "or rule 'zminus'"),
    "rule parameter": (attribute("rule.gamma", 0.5, LAYER), "parameters of rule zplus: expected none, found gamma"),
    "rule not for it": (attribute("rule", TEXT("layer_norm"), LAYER), "layers: LayerNormRule"),
    "setting": (attribute("slope", 0.5, LAYER), "settings: expected dilation, groups, padding, stride, found"),
    "setting missing": (lambda file: file[LAYER].attrs.__delitem__("groups"), "settings: expected dilation, groups"),
    "weight missing": (lambda file: file[LAYER].__delitem__("weight"), "datasets: expected weight, found none"),
    "weight shape": (spoil("weight")(lambda w: w[:, :1], LAYER), "layers: .*expected"),
    "relevance missing": (lambda file: file[HERE].__delitem__("relevance_out"), "either 'relevance_out' or 'output'"),
    "relevance shape": (spoil("relevance_out")(lambda R: R[:, :1]), r"relevance_out: shape \(1, 1, 3, 3\)"),
    "expected shape": (spoil("expected")(lambda R: R[:, :, :1]), r"refcrp: expected finite numbers of shape"),
    "expected NaN": (spoil("expected")(with_nan), "refcrp: expected finite numbers"),
    "expected gone": (lambda file: file[HERE].__delitem__("expected"), "expected: for dialects refcrp"),
    "dialect gone": (
        lambda file: put(file[HERE], "expected", file[HERE]["expected"][1:], dialects=TEXT("zennit zennit-crp relevance-propagation-jl captum innvestigate")),
        "expected: for dialects refcrp, ",
    ),
    "scale gone": (lambda file: file[HERE].__delitem__("scale"), "scale: expected finite numbers"),
    "scale negative": (spoil("scale")(lambda s: -s), "scale: expected numbers that are not negative"),
    "input NaN": (spoil("input")(with_nan), "layers: .*nan"),
    "output": (spoil("output")(lambda j: j + 7, CRP), "output: .* but there are 3 neurons"),
    "output count": (spoil("output")(lambda j: np.append(j, 0), CRP), "output: 2 neurons for"),
    "condition layer": (lambda file: put(file[CRP], "conditions/00/conv9", [0]), "conditions: 'conv9': "),
    "condition channel": (spoil("conv1")(lambda c: c + 9, f"{CRP}/conditions/00"), "conditions: 'conv1': "),
    "condition without output": (
        lambda file: (file[CRP].__delitem__("output"), put(file[CRP], "relevance_out", np.ones((1, 3)))),
        "conditions: expected one at least, and 'output'",
    ),
    "inputs": (attribute("inputs", TEXT("x bodi"), SUM), r"inputs: expected 'x' or names of layers before it, got \['x', 'bodi'\]"),
    "inputs not before": (attribute("inputs", TEXT("x relu"), SUM), "inputs: expected 'x' or names"),
    "inputs none": (attribute("inputs", TEXT(" "), SUM), r"names of layers before it, got \[\]"),
    "inputs several": (attribute("inputs", TEXT("sum x"), f"{GRAPH}/layers/02"), "inputs: expected one for relu"),
    "inputs unread": (attribute("inputs", TEXT("x x"), SUM), "layers: no layer reads 'body'"),
    "axis": (attribute("axis", 1, SUM), "settings: expected none, found axis"),
    "two layers of a name": (attribute("name", TEXT("conv1"), f"{CRP}/layers/02"), "different names"),
    "no checksum": (
        lambda file: (file[HERE].move("input", "old"), file[HERE].create_dataset("input", data=file[HERE]["old"])),
        "/conv-padded-zplus/input: no checksum",
    ),
    "root": (lambda file: file.attrs.__delitem__("licence"), "attribute 'licence' is missing"),
    "root dialects": (attribute("dialects", TEXT("refcrp"), "/"), "attribute 'dialects' names refcrp, the vectors have"),
    "root derived": (attribute("derived", TEXT("nobody"), "/"), "attribute .derived. names nobody, which"),
    "no vectors": (lambda file: [file["vectors"].__delitem__(name) for name in list(file["vectors"])], "no vectors"),
    "not readable": (lambda file: file[HERE].__delitem__("input"), "not a readable file"),
}  # fmt: skip


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_wrong_is_found(path, what):
    change, message = SPOILT[what]
    assert lint(path) == []
    with h5py.File(path, "r+") as file:
        change(file)
    problems = lint(path)
    assert any(re.search(message, problem) for problem in problems), problems


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "text.h5").write_text("vectors")
    assert len(lint(tmp_path / "text.h5")) == 1


def test_all_kinds_and_rules_have_fields():
    assert LAYER_FIELDS.keys() == LAYERS.keys()
    assert RULE_PARAMETERS.keys() == RULES.keys()


def test_a_dialect_lacks_padding_only_where_there_is_some():
    plain, padded = BUILT_IN["conv-plain-zero"], BUILT_IN["conv-padded-zero"]
    assert has(DIALECTS["lrp-toolbox"], plain)
    assert not has(DIALECTS["lrp-toolbox"], padded)
    assert not has(DIALECTS["captum"], BUILT_IN["conv-plain-flat"])


@pytest.mark.parametrize("flag", IMPLIED)
def test_flags_that_follow_are_there_and_not_there(flag):
    found = [flag in implied_flags(case) for case in BUILT_IN.values()]
    assert any(found)
    assert not all(found)


def test_specs_of_the_vectors_are_of_few_words():
    for case in BUILT_IN.values():
        for spec in case.layers:
            assert isinstance(spec, LayerSpec)
            assert isinstance(spec.rule, RuleSpec)
            assert re.fullmatch(r"[a-z0-9_]+", spec.name)  # a name in every language


# The page ---------------------------------------------------------------------------------------------------


def rows(title):
    """Give the first two cells of each row of the table after a heading."""
    section = PAGE.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `([^`]+)` \| (.*?) \|", section, flags=re.MULTILINE))


def test_the_page_explains_every_flag():
    table = rows("Flags")
    assert table == dict(FLAGS)


def test_the_page_has_every_kind_and_every_rule():
    text = PAGE.read_text()
    for kind, needed in LAYER_FIELDS.items():
        if kind != "softmax":
            line = next(line for line in text.splitlines() if f"`{kind}`" in line.partition(" | ")[0])
            for name in needed.arrays | needed.optional | needed.settings:
                assert f"`{name}`" in line, (kind, name)
    for rule, parameters in RULE_PARAMETERS.items():
        assert f"`{rule}`" in text
        for parameter in parameters:
            assert f"`rule.{parameter}`" in text
    assert f"2^{int(np.log2(MAX_CONDITION))}" in text
