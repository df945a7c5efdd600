import re
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras_files as K
import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ModelFormatError, ParameterError
from refcrp.layers.base import array_field

PAGE = Path(__file__).parents[2] / "docs" / "write-a-layer.md"


@dataclass(frozen=True, eq=False, repr=False)
class Shift(L.OwnRelevanceLayer):
    """Has a parameter, and a setting of each kind."""

    keeps_size = True

    by: np.ndarray = array_field()
    count: int = 1
    rate: float = 0.5
    flag: bool = False
    axes: tuple = (1, 2)
    word: str = "none"

    def apply(self, x):
        return x + self.by

    def output_shape(self, shape):
        return shape

    def linearize(self, a, rule):
        return L.Identity().linearize(a, rule)


def test_saved_and_loaded(tmp_path):
    layer = Shift(np.array([2.0]), 3, 0.25, True, (4, 5), "wörd", name="shift")
    rc.save_model(rc.Sequential([layer, L.ReLU()]), tmp_path / "net.h5")
    again = rc.load_model(tmp_path / "net.h5", layers={"Shift": Shift})["shift"]
    assert type(again) is Shift
    assert again.settings() == layer.settings()
    assert again.forward(np.ones((1, 1))).item() == 3
    with pytest.raises(ModelFormatError, match=r"unknown layer class 'Shift'.*layers=\{'Shift': Shift\}"):
        rc.load_model(tmp_path / "net.h5")


def test_an_own_class_goes_before_refcrps(tmp_path):
    class ReLU(L.ReLU):
        pass

    rc.save_model(rc.Sequential([L.ReLU()]), tmp_path / "net.h5")
    assert type(rc.load_model(tmp_path / "net.h5", layers={"ReLU": ReLU})[0]) is ReLU
    assert type(rc.load_model(tmp_path / "net.h5")[0]) is L.ReLU


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["Shift"], "layers: expected a mapping"),
        ({"Shift": "Shift"}, r"layers\['Shift'\] is 'Shift', expected a function"),
        ({"Shift": lambda step: L.ReLU()}, "expected a class of layers"),
        ({"Shift": dict}, "expected a class of layers"),
    ],
)
def test_mappings_that_are_none(tmp_path, layers, message):
    rc.save_model(rc.Sequential([L.ReLU()]), tmp_path / "net.h5")
    with pytest.raises(ParameterError, match=message):
        rc.load_model(tmp_path / "net.h5", layers=layers)


def test_undeclared_arrays_are_not_stored(tmp_path):
    @dataclass(frozen=True, eq=False, repr=False)
    class Loose(L.ReLU):
        weight: object = None

    with pytest.raises(ModelFormatError, match="cannot store weight="):
        rc.save_model(rc.Sequential([Loose(np.ones(2))]), tmp_path / "net.h5")


# Keras ------------------------------------------------------------------------------------------------------


def keras_net(path, kind="Gain"):
    parts = [K.keras_input((1, 2, 3)), K.layer(kind, "gain", factor=2.0), K.layer("ReLU", "relu")]
    return K.write(path, K.sequential(parts), {"gain": {"gain": [1, 2, 3]}})


def test_keras(tmp_path):
    def gain(step):
        return L.Scale(step.weight("gain", shape=(3,)) * step.number("factor", 1))

    path = keras_net(tmp_path / "net.h5")
    with pytest.raises(
        ModelFormatError, match=r"layer 'gain' \(Gain\): this class of layer is not supported"
    ):
        rc.load_model(path)
    model = rc.load_model(path, layers={"Gain": gain})
    np.testing.assert_array_equal(model["gain"].weight, [2, 4, 6])
    several = rc.load_model(
        path, layers={"Gain": lambda step: [gain(step), L.Identity()], "ReLU": lambda s: L.Tanh()}
    )
    assert isinstance(several["relu"], L.Tanh)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda step: 1 / 0, r"layer 'gain' \(Gain\): layers\['Gain'\] raised ZeroDivisionError: division"),
        (lambda step: None, r"layers\['Gain'\] gave None, expected a layer"),
        (lambda step: ["relu"], r"gave \['relu'\], expected a layer"),
        (lambda step: L.Dense(np.ones((2, 2))), "Dense"),
    ],
)
def test_functions_that_are_wrong(tmp_path, function, message):
    with pytest.raises(ModelFormatError, match=message):
        rc.load_model(keras_net(tmp_path / "net.h5"), layers={"Gain": function})


# The normalisation in files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("graph", [False, True])
def test_the_normalisation_is_stored(tmp_path, graph):
    body = [rc.Residual(L.ReLU(), name="block")] if graph else [L.ReLU(name="relu")]
    model = rc.Sequential([*body, L.Flatten(name="flat")], input_shape=(3, 2, 2))
    rc.save_model(model, tmp_path / "without.h5")
    rc.save_model(model.with_normalization(mean=(0.485, 0.456, 0.406), std=0.25), tmp_path / "with.h5")
    with h5py.File(tmp_path / "without.h5") as old, h5py.File(tmp_path / "with.h5") as new:
        assert old.attrs["version"] == (2 if graph else 1)
        assert new.attrs["version"] == 3  # which a refcrp that would not apply it does not read
        np.testing.assert_array_equal(new.attrs["normalization.mean"], [0.485, 0.456, 0.406])
    again = rc.load_model(tmp_path / "with.h5")
    assert again.normalization == rc.Normalization((0.485, 0.456, 0.406), 0.25)
    assert again.names == model.names
    assert [n.sources for n in again.nodes] == [n.sources for n in model.nodes]
    assert rc.load_model(tmp_path / "without.h5").normalization is None


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("normalization.std", None, "attribute 'normalization.std' is missing"),
        ("normalization.std", 0.0, "std must be a finite number, above zero"),
        ("normalization.std", [1.0, -1.0, 1.0], "std must be"),
        ("normalization.mean", np.nan, "mean must be a finite number"),
        ("normalization.mean", [0.0, 1.0], "2 numbers, expected one, or one for each of 3"),
        ("normalization.mean", "0.5", "expected one number, or several"),
        ("normalization.mean", np.bytes_("0.5"), "expected one number, or several"),
        ("normalization.mean", np.zeros((3, 1)), "expected one number, or several"),
        ("normalization.mean", np.zeros(5000), "expected one number, or several"),
        ("normalization.mean", np.zeros(0), "expected one number, or several"),
        ("normalization.mean", h5py.Empty("f"), "expected one number, or several"),
    ],
)
def test_bad_normalisations(tmp_path, key, value, message):
    path = tmp_path / "net.h5"
    rc.save_model(rc.Sequential([L.ReLU()], input_shape=(3, 2, 2)).with_normalization(mean=0.5), path)
    with h5py.File(path, "a", libver="v110") as file:
        del file.attrs[key]
        if value is not None:
            file.attrs[key] = value
    with pytest.raises(ModelFormatError, match=message):
        rc.load_model(path)


def test_old_files_may_have_such_attributes(tmp_path):
    """In versions 1 and 2 all other attributes of the root group are free."""
    rc.save_model(rc.Sequential([L.ReLU()]), tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5", "a", libver="v110") as file:
        file.attrs["normalization.mean"] = "what I like"
    assert rc.load_model(tmp_path / "net.h5").normalization is None


# ONNX -------------------------------------------------------------------------------------------------------


def onnx_net(path, *kinds, domain=""):
    onnx = pytest.importorskip("onnx")
    from onnx import helper

    nodes = [
        helper.make_node(
            kind,
            [f"v{k}", "w"][: 2 if kind == "Gain" else 1],
            [f"v{k + 1}"],
            name=f"n{k}",
            domain=domain if kind == "Gain" else "",
        )
        for k, kind in enumerate(kinds)
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "net",
        [value("v0", 1, (1, 3, 2, 2))],
        [value(f"v{len(kinds)}", 1, None)],
        [onnx.numpy_helper.from_array(np.float32([1, 2, 3]), "w")],
    )
    path.write_bytes(
        helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
        ).SerializeToString()
    )
    return path


@pytest.mark.parametrize("domain", ["", "my.own"])
def test_onnx(tmp_path, domain):
    path = onnx_net(tmp_path / "net.onnx", "Relu", "Gain", "Fold", "Gain", domain=domain)
    with pytest.raises(ModelFormatError, match="'Gain' at 'n1' is not supported"):
        rc.load_model(path)
    check = rc.check_model(path)
    assert [(e.name, e.kind, e.is_supported) for e in check.entries] == [
        ("n0", "Relu", True),
        ("n1", "Gain", False),
        ("n2", "Fold", False),
        ("n3", "Gain", False),
    ]
    own = {"Gain": lambda op: L.Scale(op.needed(1)), "Fold": lambda op: L.Identity()}
    model = rc.load_model(path, layers=own)
    np.testing.assert_array_equal(model["n3"].weight, [1, 2, 3])
    assert rc.check_model(path, layers=own).ok
    with pytest.raises(ModelFormatError, match=r"layers\['Gain'\] raised KeyError"):
        rc.load_model(path, layers=own | {"Gain": lambda op: {}["w"]})


# PyTorch ----------------------------------------------------------------------------------------------------


def test_the_page_runs_with_torch(tmp_path, monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = {}
    for block in re.findall(
        r"^```(?:python|py)\n(.*?)^```$", PAGE.read_text(), flags=re.DOTALL | re.MULTILINE
    ):
        if 'load_model("net.' not in block:
            exec(compile(block, PAGE.name, "exec"), names)
    x = np.random.default_rng(0).normal(size=(2, 1, 8, 8))
    expected = names["net"](torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(names["imported"].forward(x), expected, rtol=1e-12, atol=1e-12)


def clamped(x, low):
    return x.clamp(min=low)


def test_torch_functions_and_methods():
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def forward(self, x):
            return torch.cos(clamped(x, 0.0).clamp(max=6.0).abs())

    x = torch.randn(1, 3, 2, 2)
    check = rc.check_model(Net(), x)
    assert {e.kind for e in check.entries if not e.is_supported} == {"clamp", "abs", "cos"}
    assert len(check.entries) == 4

    seen = []

    def hard(call):
        seen.append(call.settings)
        return L.HardTanh(call.get("low", 0.0), 6.0)

    class Cosine(L.Tanh):
        def function(self, x):
            return np.cos(x)

    own = {clamped: hard, "clamp": hard, "abs": lambda call: L.Identity(), torch.cos: lambda call: Cosine()}
    model = rc.from_torch(Net(), x, layers=own)
    np.testing.assert_allclose(model.forward(x.numpy()), np.cos(x.numpy().clip(0, 6)), rtol=1e-6)
    assert seen[0].low == 0.0
    assert seen[1].max == 6.0
    assert rc.check_model(Net(), x, layers=own).ok
    with pytest.raises(ModelFormatError, match="clamped, "):
        rc.from_torch(Net(), x, layers={clamped: hard})
    with pytest.raises(ParameterError, match="example_input"):
        rc.check_model(Net())


def test_torch_modules_are_not_looked_into():
    torch = pytest.importorskip("torch")

    class Twice(torch.nn.Linear):
        def forward(self, x):
            if x.sum() > 1e9:  # cannot be traced
                return x
            return 2 * super().forward(x)

    net = torch.nn.Sequential(Twice(2, 3), torch.nn.ReLU())
    x = torch.randn(4, 2)
    with pytest.raises(ModelFormatError, match="cannot be traced"):
        rc.check_model(net, x)
    own = {Twice: lambda call: L.Dense(2 * call.needed("weight"), 2 * call.needed("bias"))}
    model = rc.from_torch(net, x, layers=own)
    np.testing.assert_allclose(model.forward(x.numpy()), net(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        rc.from_torch(net[0], x, layers=own).forward(x.numpy()),
        net[0](x).detach().numpy(),
        rtol=1e-5,
        atol=1e-6,
    )
