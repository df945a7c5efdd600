import contextlib
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ModelFormatError, ParameterError

sys.path.insert(0, str(Path(__file__).parent / "io"))
import keras_files as K

LINEAR = (
    *("ZeroRule", "EpsilonRule", "GammaRule", "GeneralizedGammaRule", "ZPlusRule", "AlphaBetaRule"),
    *("WSquareRule", "FlatRule", "ZBoxRule"),
)


def remarks(check):
    return {entry.name: " / ".join(entry.remarks) for entry in check.entries if entry.remarks}


def test_rules_of_each_layer():
    model = rc.Sequential(
        [
            L.Conv2d(np.ones((2, 1, 1, 1)), activation="relu", name="conv"),
            L.MaxPool(2, name="pool"),
            L.GroupNorm(1, name="norm"),
            L.Scale(np.ones(2), name="scale"),
            L.ReLU(name="relu"),
        ]
    )
    check = rc.check_model(model)
    assert check.ok
    assert check.is_model
    rules = {entry.name: entry.rules for entry in check.entries}
    assert rules["conv"] == LINEAR
    assert rules["pool"] == ("ZeroRule", "EpsilonRule")
    assert rules["relu"] == ("ZeroRule", "EpsilonRule", "PassRule")
    assert rules["scale"] == (*LINEAR, "PassRule")
    assert "LayerNormRule" in rules["norm"]
    rows = [line.split() for line in str(check).splitlines()]
    assert rows[1] == ["name", "layer", "rules"]
    assert rows[2][:1] + rows[2][-5:] == ["conv", "all", "but", "PassRule", "and", "LayerNormRule"]
    assert (
        len(
            {
                line.index(word)
                for line, word in zip(str(check).splitlines()[1:4], ("rules", "all", "Zero"), strict=True)
            }
        )
        == 1
    )


def test_every_rule_that_is_listed_runs_and_no_other(rng):
    x = rng.normal(size=(1, 2, 4, 4))
    for layer in (
        L.Conv2d(rng.normal(size=(2, 2, 1, 1))),
        L.AvgPool(2),
        L.MaxPool(2),
        L.InstanceNorm(),
        L.GELU(),
    ):
        (entry,) = rc.check_model(rc.Sequential([layer])).entries
        for name in (*LINEAR, "PassRule", "LayerNormRule"):
            rule = rc.ZBoxRule(-9, 9) if name == "ZBoxRule" else getattr(rc, name)()
            try:
                layer.relevance(np.ones_like(layer.forward(x)), x, rule=rule)
                runs = True
            except rc.errors.RuleCompatibilityError:
                runs = False
            assert runs == (name in entry.rules), (layer, name)


def test_softmax(lenet5):
    at_the_end = rc.check_model(rc.Sequential([*lenet5, L.Softmax(name="end")]))
    assert at_the_end.ok
    assert at_the_end.entries[-1].rules == ()
    assert "strip_softmax" in remarks(at_the_end)["end"]
    fused = rc.check_model(rc.Sequential([L.Dense(np.eye(2), activation="softmax", name="last")]))
    assert fused.ok
    assert "strip_softmax" in remarks(fused)["last"]
    before = rc.check_model(rc.Sequential([L.Softmax(name="inside"), L.Dense(np.eye(2))]))
    assert not before.ok
    assert not before.entries[0].is_supported
    assert str(before).splitlines()[-1] == "not supported: inside"


def test_remarks_on_activations_and_norms():
    model = rc.Sequential(
        [
            L.BatchNorm(np.zeros(2), np.ones(2), np.ones(2), np.ones(2), name="left"),
            L.GELU(name="gelu"),
            L.Dense(np.eye(2), activation="tanh", name="fused"),
            L.HardTanh(0, 6, name="clip"),
            L.Dense(np.eye(2), name="dense"),
            L.BatchNorm(np.zeros(2), np.ones(2), name="folded"),
            L.ReLU(name="relu"),
        ]
    )
    check = rc.check_model(model)
    found = remarks(check)
    assert set(found) == {"left", "gelu", "fused", "folded"}
    assert found["gelu"].startswith("gelu: relevance passes unchanged")
    assert found["fused"].startswith("tanh: ")
    assert found["folded"] == "refcrp.canonize(model) folds it into the layer beside it"
    assert found["left"].startswith("refcrp.canonize(model) leaves it: ")
    assert [n for n in rc.canonize(model).names if n in ("left", "folded")] == ["left"]
    assert check.ok


def test_a_remark_is_printed_once():
    text = str(rc.check_model(rc.Sequential([L.SiLU() for _ in range(40)])))
    assert text.count("passes unchanged") == 1
    assert "silu1, silu2, silu3 and 37 more: silu" in text


def keras_chain(path, *kinds):
    parts = [K.layer(kind, f"l{k}") for k, kind in enumerate(kinds)]
    return K.write(path, K.sequential([K.keras_input((4, 4, 2)), *parts]), {})


def test_keras_operator_by_operator(tmp_path):
    path = keras_chain(tmp_path / "net.h5", "ReLU", "Fold", "Dropout", "Lambda", "Fold")
    check = rc.check_model(path)
    assert not check.ok
    assert not check.is_model
    assert [(e.name, e.kind, e.is_supported) for e in check.entries] == [
        ("l0", "ReLU", True),
        ("l1", "Fold", False),
        ("l2", "Dropout", True),
        ("l3", "Lambda", False),
        ("l4", "Fold", False),
    ]
    text = str(check)
    assert "not supported: Fold, Lambda. A layer of your own for Fold:" in text
    assert "layers={'Fold': my_layer}" in text
    assert "docs/write-a-layer.md" in text
    own = {"Fold": lambda step: L.Identity(), "Lambda": lambda step: L.Identity()}
    mended = rc.check_model(path, layers=own)
    assert mended.ok
    assert [e.kind for e in mended.entries][:2] == ["ReLU()", "Identity()"]


def test_settings_that_are_not_supported(tmp_path):
    part = K.layer("MaxPooling2D", "pool", pool_size=[2, 2], strides=[2, 2], padding="odd")
    check = rc.check_model(K.write(tmp_path / "net.h5", *K.one_layer(part, (4, 4, 2))))
    assert not check.ok
    assert all(entry.is_supported for entry in check.entries)
    assert "layer 'pool' (MaxPooling2D)" in check.problem
    assert check.problem in str(check)


def test_refcrp_files(tmp_path, small_model):
    path = tmp_path / "net.h5"
    rc.save_model(small_model, path)
    assert rc.check_model(path).entries == rc.check_model(small_model).entries
    with h5py.File(path, "a") as file:
        for k in ("0001", "0004"):
            file[f"layers/{k}"].attrs["class"] = np.bytes_("Fold\x1b[2J")
    check = rc.check_model(str(path))
    assert [e.name for e in check.entries if not e.is_supported] == ["maxpool1", "dense1"]
    assert "\x1b[2J" not in str(check)


@pytest.mark.parametrize(
    "junk", [b"", b"junk", b"\x08\x07\x12" + bytes(range(256)), b"\x89HDF\r\n\x1a\n" + bytes(900)]
)
def test_files_that_are_none(tmp_path, junk):
    if junk[:1] == b"\x08":
        pytest.importorskip("onnx")
    path = tmp_path / "net.onnx"
    path.write_bytes(junk)
    with pytest.raises(ModelFormatError, match=r"net\.onnx"):
        rc.check_model(path)
    with pytest.raises(ModelFormatError, match=r"net\.onnx"):
        rc.load_model(path)


def test_damaged_files_raise_as_loading_does(tmp_path, rng):
    paths = [tmp_path / "keras.h5", tmp_path / "own.h5"]
    keras_chain(paths[0], "ReLU", "Flatten")
    rc.save_model(rc.Sequential([L.ReLU(), L.Flatten()]), paths[1])
    for path in paths:
        good = path.read_bytes()
        for _ in range(40):
            data = bytearray(good)
            start = rng.integers(len(data))
            data[start : start + 8] = rng.bytes(len(data[start : start + 8]))
            path.write_bytes(data[: rng.integers(len(data))] if rng.random() < 0.3 else data)
            with contextlib.suppress(ModelFormatError):
                str(rc.check_model(path))


@pytest.mark.parametrize("source", [None, 3, L.ReLU()])
def test_what_cannot_be_checked(source):
    with pytest.raises(ParameterError, match=r"expected a model, a file or a torch\.nn\.Module"):
        rc.check_model(source)
