import itertools
import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

import refcrp
from refcrp.conformance import vectors
from refcrp.conformance.cases import RULES
from refcrp.conformance.exact import explain, rounded, sensitivity
from refcrp.conformance.flags import FLAGS
from refcrp.conformance.schema import LAYER_FIELDS
from refcrp.conformance.vectors import load_vectors, vectors_as_json, write_vectors
from refcrp.dialects import DIALECTS
from refcrp.errors import ModelFormatError

DATA = Path(refcrp.__file__).parent.parent / "data"
BUILT_IN = {case.id: case for case in load_vectors()}

# Worked out by hand: by dialect, "all" standing for those that are not named. None: the dialect lacks it.
ONE, OUTPUT = (
    ("refcrp", "zennit", "relevance-propagation-jl"),
    ("zennit-crp", "captum", "innvestigate", "lrp-toolbox", "montavon-tutorial"),
)
ZENNITS = ("zennit", "zennit-crp")
MERGELESS = ("lrp-toolbox", "montavon-tutorial")
UNREAD = ("innvestigate",)  # whose source was not read for these layers
WINNER = (*ZENNITS, "innvestigate")
HAND = {
    "zero-bias": {"all": [1.5, -1]},
    "zero-denominator": {"all": [1e9, -1e9], ZENNITS: [1e6, -1e6], "innvestigate": [1e7, -1e7], "lrp-toolbox": [1e16, -1e16]},
    "epsilon": {"all": [1 / 4, 2 / 4]},
    "epsilon-negative": {"all": [1 / 4, 2 / 4], "montavon-tutorial": [1 / 2, 2 / 2]},
    "epsilon-zero-denominator": {"all": [2, -2]},
    "zplus-bias": {"all": [1 / 7, 6 / 7], "captum": [2, 0], "montavon-tutorial": None},
    "wsquare-bias": {"all": [1 / 10, 9 / 10], ZENNITS: [4 / 41, 36 / 41], ("captum", "montavon-tutorial"): None},
    "gamma-bias": {"all": [10 / 9, -8 / 27], "captum": [15 / 13, -4 / 13], ("innvestigate", "lrp-toolbox"): None},
    "generalized-gamma-negative": {"all": None, ("refcrp", "relevance-propagation-jl", *ZENNITS): [-1 / 5, 6 / 5]},
    "alpha-beta-bias": {"all": [4 / 5, -1, 2 / 5], "innvestigate": [4 / 5, 1, 2 / 5], ("captum", "montavon-tutorial"): None},
    "flat": {"all": [1 / 4] * 4, ("captum", "montavon-tutorial"): None},
    "flat-padding": {"all": [1] * 4, ("captum", "lrp-toolbox", "montavon-tutorial"): None},
    "zbox": {"all": [1, 0], ("captum", "lrp-toolbox"): None},
    "max-pool-tie": {"all": [1, 0, 0, 0], ("lrp-toolbox", "montavon-tutorial"): [1 / 2, 1 / 2, 0, 0]},
    "max-pool-zeros": {"all": [0] * 4, WINNER: [1, 0, 0, 0], "lrp-toolbox": [1 / 4] * 4},
    "max-pool-near-tie": {"all": [0, 1], "relevance-propagation-jl": [1 - 2.0**-12, 0], "montavon-tutorial": [4095 / 8191, 4096 / 8191]},
    "avg-pool": {"all": [1 / 4, 2 / 4, 3 / 4, -2 / 4], "lrp-toolbox": None},
    "batch-norm": {"all": [3 / 5], ZENNITS: [1], ("innvestigate", "lrp-toolbox", "montavon-tutorial"): None},
    "layer-norm": {"all": None, ("refcrp", "relevance-propagation-jl"): [-1.5, 4.5]},
    "seed": {ONE: [1 / 2, 1 / 2], OUTPUT: [1, 1]},
    "residual": {"all": [4 / 19, 8 / 19, 5 / 27, 14 / 27], MERGELESS: None},
    "add-zero-sum": {"all": [2e9, -2e9], ZENNITS: [2e6, -2e6], "innvestigate": [2e7, -2e7], MERGELESS: None},
    "add-epsilon": {"all": [(4 + 2 - 8) / -2.5], MERGELESS: None},
    "concat": {"all": [4 / 2 + 2, 3 * 2 / 2 + 1], ("captum", *MERGELESS): None},
    "conv-transpose": {"all": [7, 14], (*UNREAD, *MERGELESS): None},
    "conv-uneven-flat": {"all": None, "refcrp": [1 / 4, 3 / 4, 3 / 4, 9 / 4]},
    "upsample-bilinear": {"all": [3, 8], (*UNREAD, *MERGELESS, "relevance-propagation-jl"): None},
    "permute": {"all": [1, 3, 5, 2, 4, 6], (*UNREAD, *MERGELESS, "relevance-propagation-jl"): None},
    "crp": {ONE: [1 / 2, 0, 0, 1 / 2, 1 / 2, 1 / 2], OUTPUT: [1, 0, 0, 1, 1, 1]},
}  # fmt: skip


def by_hand(name, dialect):
    table = HAND[name]
    return next(
        (values for key, values in table.items() if dialect == key or dialect in key), table.get("all")
    )


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", HAND)
def test_worked_out_by_hand(name, dialect):
    expected, right = BUILT_IN[f"{name}-hand-1"].expected, by_hand(name, dialect)
    if right is None:
        assert dialect not in expected
    else:
        np.testing.assert_allclose(expected[dialect].ravel(), right, rtol=1e-5, atol=1e-12)


def test_every_vector_by_hand_is_in_the_table():
    assert {name for name in BUILT_IN if name.endswith("-hand-1")} == {f"{name}-hand-1" for name in HAND}


# The set ----------------------------------------------------------------------------------------------------


def test_every_weighted_rule_in_every_setting():
    rules = set(RULES) - {"pass", "layer_norm"}
    for kind, prefix, settings in (
        ("conv2d", "conv", "plain padded strided-unseen dilated grouped depthwise one-pixel no-bias everything wide-padding"),
        ("dense", "dense", "bias no-bias batch single positive-input negative-input zero-input zero-denominator bias-only signed-relevance huge tiny"),
        ("conv2d", "conv", "positive-input negative-input zero-input zero-denominator bias-only signed-relevance huge tiny cancellation"),
        ("scale", "scale", "features maps no-bias"),
        ("conv_transpose2d", "conv-transpose", "plain strided padded unseen everything"),
        ("conv2d", "conv-uneven", "after before sides"),
        ("conv2d", "conv", "sequence"),
    ):  # fmt: skip
        for setting in settings.split():
            found = [
                c for c in BUILT_IN.values() if c.id.startswith(f"{prefix}-{setting}-") and len(c.layers) == 1
            ]
            assert {c.layers[0].rule.name for c in found} >= rules, setting
            assert {c.layers[0].kind for c in found} == {kind}


def test_every_flag_and_layer_is_there():
    assert {flag for case in BUILT_IN.values() for flag in case.flags} == set(FLAGS)
    kinds = {spec.kind for case in BUILT_IN.values() for spec in case.layers}
    assert kinds == set(LAYER_FIELDS) - {"softmax"}  # relevance is defined on what comes before it


def test_every_choice_of_a_dialect_shows_somewhere():
    """For any two dialects there is a vector that tells them apart, by far more than any rounding."""
    told = ("zennit", "zennit-crp", "captum", "innvestigate", "lrp-toolbox", "montavon-tutorial", "relevance-propagation-jl", "refcrp")  # fmt: skip
    for a, b in itertools.combinations(told, 2):
        both = [(c.expected[a], c.expected[b]) for c in BUILT_IN.values() if {a, b} <= c.expected.keys()]
        assert any(np.abs(R - Q).max() > 1e-4 * np.abs(R).max() for R, Q in both), (a, b)


def test_conditions_of_several_kinds():
    conditions = [c.conditions for c in BUILT_IN.values() if c.conditions]
    assert any(len(rows) > 1 for rows in conditions)
    assert any(len(row) > 1 for rows in conditions for row in rows)  # AND
    assert any(len(kept) > 1 for rows in conditions for row in rows for kept in row.values())  # OR
    assert any(len(c.x) > 1 and len(c.conditions) > 1 for c in BUILT_IN.values() if c.conditions)


def test_graphs_of_several_kinds():
    graphs = [c for c in BUILT_IN.values() if "merge" in c.flags]
    assert len(graphs) > 40
    assert any(len(names) == 3 for c in graphs for names in c.inputs)
    assert any(c.conditions for c in graphs)
    assert any(not c.model.is_chain and "conv2d" in c.words and "add" in c.words for c in graphs)
    assert {spec.settings["axis"] for c in graphs for spec in c.layers if spec.kind == "concat"} == {1, 2, 3}


def test_cases_are_shared_and_so_read_only():
    case = BUILT_IN["zplus-bias-hand-1"]
    with pytest.raises(ValueError, match="read-only"):
        case.x[0, 0] = 1


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(DATA / "conformance"))
    import make_vectors

    return make_vectors


def test_the_file_is_what_the_script_makes(script):
    """The inputs of all vectors but networks, whose search takes a while; the whole of every thirtieth."""
    slow = {"vectors_networks", "vectors_more_networks"}
    made = [case for part in script.PARTS if part.__name__ not in slow for case in part.cases()]
    networks = {name for name in BUILT_IN if name.startswith(("net-", "crp-"))} - {case.id for case in made}
    assert {case.id for case in made} == BUILT_IN.keys() - networks
    for case in made:
        assert_same_network(case, BUILT_IN[case.id])
    for case in made[::30]:
        assert_same(script.complete(case), BUILT_IN[case.id])


@pytest.mark.parametrize(
    "name", ["net-mlp-zero", "net-one-pixel-epsilon-plus", "crp-one-pixel-channels", "net-decoder-zero"]
)
def test_networks_expect_what_is_right(name):
    case = BUILT_IN[name]
    for dialect, R in case.expected.items():
        np.testing.assert_array_equal(R, rounded(explain(case, dialect)))
    np.testing.assert_array_equal(case.scale, sensitivity(case))


# Files ------------------------------------------------------------------------------------------------------

SOME = ("zplus-bias-hand-1", "conv-everything-zbox", "avg-pool-padding-not-counted-zero", "batch-norm-maps-epsilon", "layer-norm-maps-layer-norm", "net-lenet-epsilon-gamma-box", "crp-lenet-several", "dense-parameter-alpha3beta2", "concat-height-epsilon", "crp-residual-sum", "residual-hand-1", "upsample-bilinear-corners-zero", "hard-tanh-zero", "reshape-pass", "conv-uneven-sides-flat", "group-norm-bare-layer-norm")  # fmt: skip


@pytest.fixture
def some():
    return [BUILT_IN[name] for name in sorted(SOME)]


def assert_same_network(a, b):
    assert (a.id, a.reason, a.output, a.conditions) == (b.id, b.reason, b.output, b.conditions)
    for mine, theirs in zip(a.layers, b.layers, strict=True):
        assert (mine.kind, mine.name, mine.rule) == (theirs.kind, theirs.name, theirs.rule)
        assert mine.inputs == theirs.inputs
        assert mine.settings == theirs.settings
        assert {k: type(v) for k, v in mine.settings.items()} == {k: type(v) for k, v in theirs.settings.items()}  # fmt: skip
        assert mine.arrays.keys() == theirs.arrays.keys()
        for key, array in mine.arrays.items():
            assert array.tobytes() == theirs.arrays[key].tobytes()
    np.testing.assert_array_equal(a.x, b.x)
    assert (a.relevance_out is None) == (b.relevance_out is None)
    if a.relevance_out is not None:
        np.testing.assert_array_equal(a.relevance_out, b.relevance_out)


def assert_same(a, b):
    assert_same_network(a, b)
    assert a.flags == b.flags
    assert list(a.expected) == list(b.expected)
    for dialect, R in a.expected.items():
        np.testing.assert_array_equal(R, b.expected[dialect])
    np.testing.assert_array_equal(a.scale, b.scale)


def test_round_trip(some, tmp_path):
    write_vectors(some, tmp_path / "some.h5")
    for before, after in zip(some, load_vectors(tmp_path / "some.h5"), strict=True):
        assert_same(before, after)
        assert after.condition_number == before.condition_number


def test_writing_twice_gives_the_same_bytes(some, tmp_path):
    for name in ("a", "b"):
        write_vectors(some, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_case_without_expected_values(some, tmp_path):
    bare = replace(some[0], expected={}, scale=None)
    write_vectors([bare], tmp_path / "bare.h5")
    (again,) = load_vectors(tmp_path / "bare.h5")
    assert again.expected == {}
    assert again.scale is None
    assert_same_network(bare, again)


def test_the_same_id_twice(some, tmp_path):
    with pytest.raises(ModelFormatError, match="two vectors have the id 'avg-pool"):
        write_vectors([some[0], some[0]], tmp_path / "twice.h5")
    assert list(tmp_path.iterdir()) == []


def test_the_built_in_file_is_small():
    assert (DATA / "conformance" / "vectors.h5").stat().st_size < 5e6


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.attrs.modify("version", 2), "version 2"),
        (lambda file: file.attrs.create("format", np.bytes_("refcrp-model")), "refcrp-model"),
        (lambda file: file.attrs.create("format", "of variable length"), "fixed length"),
        (lambda file: file["vectors/zplus-bias-hand-1"].__delitem__("input"), "input"),
        (lambda file: file["vectors/zplus-bias-hand-1"].attrs.__delitem__("reason"), "reason"),
        (lambda file: file["vectors/zplus-bias-hand-1/layers/00"].attrs.__delitem__("rule"), "rule"),
        (lambda file: file["vectors/zplus-bias-hand-1/expected"].attrs.modify("dialects", np.bytes_("refcrp")), "zip"),
        (lambda file: file.__delitem__("vectors"), "vectors"),
        (lambda file: file.move("vectors/zplus-bias-hand-1/input", "vectors/zplus-bias-hand-1/layers/x"), "zplus-bias-hand-1: KeyError"),
    ],
)  # fmt: skip
def test_files_that_are_none(some, tmp_path, spoil, message):
    path = tmp_path / "bad.h5"
    write_vectors(some, path)
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(ModelFormatError, match=message):
        load_vectors(path)


def test_integers_where_numbers_should_be(some, tmp_path):
    path = tmp_path / "bad.h5"
    write_vectors(some, path)
    with h5py.File(path, "r+") as file:
        group = file["vectors/zplus-bias-hand-1"]
        del group["input"]
        group["input"] = [[1, -2]]
    with pytest.raises(ModelFormatError, match="int64, expected float64"):
        load_vectors(path)


def test_no_file_and_no_hdf5(tmp_path):
    with pytest.raises(ModelFormatError, match="no such file"):
        load_vectors(tmp_path / "nothing.h5")
    (tmp_path / "text.h5").write_text("vectors")
    with pytest.raises(ModelFormatError, match=r"text\.h5: not a readable file"):
        load_vectors(tmp_path / "text.h5")


def test_damage_is_noticed(some, tmp_path):
    """One bit changed: a checksum does not fit, or all is as it was."""
    path = tmp_path / "some.h5"
    write_vectors(some, path)
    good, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(good), 80):
        bad = bytearray(good)
        bad[place] ^= 1 << rng.integers(8)
        path.write_bytes(bad)
        try:
            found = load_vectors(path)
        except ModelFormatError:
            refused += 1
        else:
            for before, after in zip(some, found, strict=True):
                assert_same(before, after)
    assert refused > 20


# JSON -------------------------------------------------------------------------------------------------------


def array_of(item):
    return np.array([float.fromhex(v) for v in item["values"]]).reshape(item["shape"])


def test_json_holds_everything(some):
    document = json.loads(vectors_as_json(some))
    assert document["format"] == vectors.FORMAT
    assert document["version"] == vectors.VERSION
    for case, item in zip(some, document["vectors"], strict=True):
        assert (item["id"], item["reason"], tuple(item["flags"])) == (case.id, case.reason, case.flags)
        assert float.fromhex(item["condition_number"]) == case.condition_number
        np.testing.assert_array_equal(array_of(item["input"]), case.x)
        np.testing.assert_array_equal(array_of(item["scale"]), case.scale)
        assert list(item["expected"]) == list(case.expected)
        for dialect, R in case.expected.items():
            np.testing.assert_array_equal(array_of(item["expected"][dialect]), R)
        assert ("output" in item) == (case.output is not None)
        assert ("relevance_out" in item) == (case.relevance_out is not None)
        if case.conditions:
            assert (
                tuple({k: tuple(v) for k, v in row.items()} for row in item["conditions"]) == case.conditions
            )
        for spec, layer in zip(case.layers, item["layers"], strict=True):
            assert (layer["kind"], layer["name"], layer["rule"].pop("name")) == (
                spec.kind,
                spec.name,
                spec.rule.name,
            )
            assert {k: float.fromhex(v) for k, v in layer["rule"].items()} == dict(spec.rule.parameters)
            assert layer.get("inputs") == (None if spec.inputs is None else list(spec.inputs))
            assert layer["arrays"].keys() == spec.arrays.keys()
            for key, array in spec.arrays.items():
                np.testing.assert_array_equal(array_of(layer["arrays"][key]), array)
            for key, value in spec.settings.items():
                found = layer["settings"][key]
                assert (float.fromhex(found) if isinstance(found, str) else found) == (
                    list(value) if isinstance(value, tuple) else value
                )
