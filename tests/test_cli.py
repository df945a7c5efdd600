import os
import subprocess
import sys
from argparse import Namespace

import h5py
import numpy as np
import pytest
from command_line import run
from PIL import Image

import refcrp as rc
from refcrp import layers as L
from refcrp.commands.analyzer import input_range


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_explain_with_no_arguments(capsys, tmp_path):
    status, out, err = run(capsys, "explain")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("input       built-in digit")
    assert lines[1] == "prediction  4"
    assert lines[4].split() == ["concept", "channel", "relevance", "share"]
    assert sum(line.startswith("conv2 ") for line in lines) == 5
    assert any(line.startswith("relevance   conv2 ") for line in lines)
    assert any(line.startswith("ledger      output 1.0000 = input ") for line in lines)
    assert lines[-2] == "references  built-in, the best of 10,000 digits"
    assert lines[-1] == "picture     explanation.png"
    assert (tmp_path / "explanation.png").stat().st_size > 50_000


def test_explain_with_many_arguments(capsys, tmp_path, lenet5):
    rc.save_model(lenet5, "net.h5")
    options = ["--digit", 61, "--model", "net.h5", "--layer", 0, "--channels", 2, 4, "--output", 8]
    status, out, _ = run(capsys, "explain", *options, "--composite", "EpsilonGammaBox", "--out", "six.svg")
    assert status == 0
    assert "explained   output 8" in out
    assert [line.split()[1] for line in out.splitlines() if line.startswith("conv1")] == ["2", "4"]
    assert (tmp_path / "six.svg").read_text().startswith("<?xml")


def test_explain_a_picture(capsys, digits):
    pixels = np.rint(digits[0][61, 0] * 255).astype(np.uint8)
    Image.fromarray(pixels).save("six.png")
    Image.fromarray(255 - pixels).resize((56, 56)).convert("RGB").save("photo.png")
    np.save("six.npy", digits[0][61])
    _, expected, _ = run(capsys, "explain", "--digit", 61)
    for arguments in ["six.png"], ["six.npy"]:
        status, out, _ = run(capsys, "explain", *arguments)
        assert status == 0
        assert out.splitlines()[1:] == expected.splitlines()[1:]
    status, out, _ = run(capsys, "explain", "photo.png", "--resize", "--invert")
    assert (status, out.splitlines()[1]) == (0, "prediction  6")


def test_a_model_that_ends_in_softmax_is_stripped(capsys, lenet5):
    rc.save_model(rc.Sequential([*lenet5, L.Softmax()]), "net.h5")
    expected = run(capsys, "explain", "--no-references")
    assert expected[0] == 0
    assert run(capsys, "explain", "--model", "net.h5") == expected


def test_layers_with_few_channels(capsys, lenet5):
    status, out, _ = run(capsys, "explain", "--layer", "conv1", "--top", 6)
    assert status == 0
    assert sum(line.startswith("conv1 ") for line in out.splitlines()) == 6


def test_show(capsys):
    status, out, _ = run(capsys, "show", "lenet5")
    assert status == 0
    assert "2  conv2    Conv2d(6 => 16, 5x5, relu)  (16, 8, 8)        2,416" in out
    assert out.splitlines()[-2].strip() == "44,426"
    rc.save_model(rc.Sequential([L.ReLU(), L.Flatten()]), "net.h5")
    assert "?" in run(capsys, "show", "net.h5")[1]


def test_show_a_graph(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rc.save_model(rc.Sequential([rc.Residual(L.Dense(np.eye(2)), name="block"), L.ReLU()]), "graph.h5")
    status, out, _ = run(capsys, "show", "graph.h5")
    assert status == 0
    rows = [line.split() for line in out.splitlines()]
    assert rows[0][-1] == "reads"
    assert rows[1][-1] == "input"
    assert rows[2][-2:] == ["0,", "input"]
    assert rows[3][-1] == "1"


def test_convert(capsys, lenet5):
    status, out, _ = run(capsys, "convert", "lenet5", "mine.h5")
    assert (status, out) == (0, "mine.h5: 8 layers, 44,426 parameters, float32\n")
    assert repr(rc.load_model("mine.h5")) == repr(lenet5)


@pytest.fixture
def scaled(lenet5):
    """A network that takes pixels as (v - 0.5) / 2, and the photo of a four."""
    Image.fromarray((rc.load_digits()[0][45, 0] * 255).astype(np.uint8)).save("photo.png")
    layers = [L.Scale(np.float32([2.0]), np.float32([0.5])), *lenet5]
    model = rc.Sequential(layers, input_shape=(1, 28, 28))
    rc.save_model(model, "scaled.h5")
    return model


def test_normalised_pictures(capsys, scaled):
    plain = run(capsys, "explain", "photo.png")[1].splitlines()
    normalised = run(capsys, "explain", "photo.png", "--model", "scaled.h5", "--mean", 0.5, "--std", 2)[1]
    assert normalised.splitlines()[1:3] == plain[1:3]
    not_normalised = run(capsys, "explain", "photo.png", "--model", "scaled.h5")[1]
    assert not_normalised.splitlines()[1:3] != plain[1:3]


def test_a_normalisation_in_the_file_is_used(capsys, scaled):
    status, out, _ = run(capsys, "convert", "scaled.h5", "knows.h5", "--mean", 0.5, "--std", 2)
    assert status == 0
    assert out.endswith("float32; pixels become (v - 0.5) / 2\n")
    assert rc.load_model("knows.h5").normalization == rc.Normalization(0.5, 2)
    assert "pixels, 0 to 1, become (v - 0.5) / 2" in run(capsys, "show", "knows.h5")[1].splitlines()
    assert "become" not in run(capsys, "show", "scaled.h5")[1]

    plain = run(capsys, "explain", "photo.png")[1].splitlines()
    for what in (["photo.png"], ["--digit", 45]):
        stored = run(capsys, "explain", *what, "--model", "knows.h5")[1].splitlines()
        assert stored[1:3] == plain[1:3]
    # what is given goes before what is stored, and only that: std stays 2
    other = run(capsys, "explain", "photo.png", "--model", "knows.h5", "--mean", 0)[1].splitlines()
    both = run(capsys, "explain", "photo.png", "--model", "scaled.h5", "--mean", 0, "--std", 2)[1]
    assert other == both.splitlines()
    assert other[1:3] != plain[1:3]


def test_an_array_is_taken_as_it_is(capsys, scaled, digits):
    rc.save_model(scaled.with_normalization(mean=0.5, std=2), "knows.h5")
    np.save("four.npy", (digits[0][45] - np.float32(0.5)) / np.float32(2))
    plain = run(capsys, "explain")[1].splitlines()
    assert run(capsys, "explain", "four.npy", "--model", "knows.h5")[1].splitlines()[1:3] == plain[1:3]


def test_the_box_is_that_of_normalised_pixels():
    def box(normalization, low=None, high=None):
        return [np.ravel(v).tolist() for v in input_range(Namespace(low=low, high=high), normalization)]

    assert box(None) == [[0], [1]]
    assert box(rc.Normalization(0.5, 2)) == [[-0.25], [0.25]]
    assert box(rc.Normalization((0, 0.5), (1, 0.25))) == [[0, -2], [1, 2]]
    assert box(rc.Normalization(0.5, 2), low=-3.0) == [[-3], [0.25]]
    assert box(rc.Normalization(0.5, 2), high=0.0) == [[-0.25], [0]]


def test_check(capsys, lenet5):
    status, out, _ = run(capsys, "check", "lenet5")
    assert status == 0
    assert out.splitlines()[-1] == "all layers are supported"
    rc.save_model(rc.Sequential([L.Dense(np.eye(2)), L.Softmax(), L.Dense(np.eye(2))]), "net.h5")
    status, out, _ = run(capsys, "check", "net.h5")
    assert status == 1
    assert out.splitlines()[-1] == "not supported: softmax1"


WRONG = [
    ([], "the following arguments are required"),
    (["bogus"], "invalid choice: 'bogus'"),
    (["show"], "the following arguments are required: model"),
    (["show", "nothing.h5"], "nothing.h5: no such file"),
    (
        ["show", "text.txt"],
        "text.txt: by what is in it not a model file: neither refcrp HDF5, Keras (HDF5, .keras) nor ONNX",
    ),
    (["explain", "nothing.png"], "nothing.png: cannot be read as an image"),
    (["explain", "text.txt"], "text.txt: cannot be read as an image"),
    (["explain", "text.npy"], "text.npy: cannot be read as a .npy array"),
    (["explain", "small.png"], "the picture has 9 x 9 pixels, the model wants 28 x 28; --resize scales it"),
    (["explain", "nan.npy"], "nan.npy: nan at index"),
    (["explain", "flat.npy"], "got shape (1, 784), expected (?, 1, 28, 28)"),
    (["explain", "two.npy"], "two.npy: holds 2 samples, expected one"),
    (
        ["explain", "two.npy", "--invert"],
        "--invert: expected with a picture; two.npy is an array, taken as it",
    ),
    (["explain", "two.npy", "--mean", "0"], "--mean: expected with a picture; two.npy is an array"),
    (
        ["explain", "--mean", "0", "--std", "1"],
        "--mean, --std: expected with a picture; a built-in digit is no",
    ),
    (["explain", "--digit", "3", "--resize", "--invert"], "--resize, --invert: expected with a picture"),
    (["explain", "small.png", "--resize", "--std", "0"], "std must be a finite number, above zero"),
    (
        ["explain", "small.png", "--resize", "--mean", "1", "2"],
        "2 numbers, expected one, or one for each of 1",
    ),
    (["convert", "lenet5", "out.h5", "--mean", "inf"], "mean must be a finite number"),
    (["convert", "lenet5", "out.h5", "--std", "1", "2"], "2 numbers, expected one, or one for each of 1"),
    (["show", "junk.onnx"], "junk.onnx: by what is in it not a model file"),
    (["check", "junk.onnx"], "junk.onnx: by what is in it not a model file"),
    (["explain", "promises.npy"], "promises.npy: cannot be read as a .npy array"),
    (["explain", "--output", "9" * 26], "expected an integer >= 0"),
    (["explain", "small.png", "--model", "relu.h5"], "does not say how many channels"),
    (["explain", "deep.png"], "has more than 8 bits a channel"),
    (["explain", "clear.png"], "is partly transparent"),
    (["explain", "--layer", "²"], "no layer '²'"),
    (["explain", "--layer=--1"], "no layer '--1'"),
    (["explain", "small.png", "--digit", "3"], "not allowed with argument"),
    (["explain", "--digit", "100"], "the built-in digits are numbered 0 to 99"),
    (["explain", "--model", "lenet"], "lenet: no such file, nor a built-in model (lenet5)"),
    (["explain", "--layer", "conv3"], "no layer 'conv3'; did you mean 'conv2' or 'conv1'?"),
    (["explain", "--layer", "8"], "no layer 8; the model has layers 0 to 7"),
    (["explain", "--top", "17"], "layer 'conv2' has only 16 channels"),
    (["explain", "--top", "0"], "expected an integer >= 1, got 0"),
    (["explain", "--top", "many"], "invalid int value: 'many'"),
    (["explain", "--channels", "16"], "no channel 16: layer 'conv2' has 16, numbered 0 to 15"),
    (["explain", "--channels", "1", "--top", "1"], "not allowed with argument"),
    (["explain", "--output", "10"], "no output neuron 10"),
    (["explain", "--composite", "Epsilon"], "invalid choice: 'Epsilon'"),
    (["explain", "--composite", "EpsilonGammaBox", "--low", "2"], "low must not exceed high"),
    (["explain", "--out", "picture.xyz"], "--out picture.xyz: the ending must be one of"),
    (["explain", "--out", "no/folder/picture.png"], "No such file or directory"),
    (["explain", "--model", "dense.h5"], "the model has no convolution; choose a --layer: dense1"),
    (["explain", "small.png", "--model", "dense.h5"], "the model takes inputs of shape (4,), not images"),
    (["explain", "small.png", "--model", "two.h5"], "the model wants 2 channels"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), WRONG, ids=[" ".join(row[0]) or "nothing" for row in WRONG]
)
def test_wrong_arguments_are_one_line_and_status_2(capsys, tmp_path, arguments, message):
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "junk.onnx").write_bytes(bytes(range(256)))
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "small.png")
    np.save(tmp_path / "nan.npy", np.full((1, 28, 28), np.nan))
    np.save(tmp_path / "promises.npy", np.zeros((1, 28, 28)))
    honest = (tmp_path / "promises.npy").read_bytes()
    (tmp_path / "promises.npy").write_bytes(
        honest.replace(b"(1, 28, 28), }          ", b"(1, 28, 28000000000), } ")
    )
    rc.save_model(rc.Sequential([L.ReLU(), L.Flatten()]), tmp_path / "relu.h5")
    np.save(tmp_path / "two.npy", np.zeros((2, 1, 28, 28)))
    Image.fromarray(np.zeros((28, 28), np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.zeros((28, 28, 4), np.uint8)).save(tmp_path / "clear.png")
    np.save(tmp_path / "flat.npy", np.zeros(784))
    rc.save_model(rc.Sequential([L.Dense(np.ones((2, 4)))]), tmp_path / "dense.h5")
    rc.save_model(rc.Sequential([L.Conv2d(np.ones((2, 2, 1, 1)))]), tmp_path / "two.h5")
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("refcrp")
    assert message in err
    assert not (tmp_path / "explanation.png").exists()


def test_names_that_do_not_fit_the_terminal():
    rc.save_model(rc.Sequential([L.ReLU(name="卷积")]), "net.h5")
    answer = subprocess.run(
        [sys.executable, "-m", "refcrp", "show", "net.h5"],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        check=True,
    )
    assert b"??" in answer.stdout


def test_as_a_module_and_version():
    answer = subprocess.run(
        [sys.executable, "-m", "refcrp", "--version"], capture_output=True, text=True, check=True
    )
    assert answer.stdout == f"refcrp {rc.__version__} ({rc.backend()})\n"
    answer = subprocess.run(
        [sys.executable, "-m", "refcrp", "show", "nothing"], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(("arguments", "status"), [(["show", "lenet5"], 0), (["check", "unknown.h5"], 1)])
def test_a_reader_that_leaves_early(tmp_path, unbuffered, arguments, status):
    with h5py.File(tmp_path / "unknown.h5", "w") as file:
        file.attrs["format"] = np.bytes_("refcrp-model")
        file.create_group("layers/0000").attrs["class"] = np.bytes_("Fold")
    process = subprocess.Popen(
        [sys.executable, "-m", "refcrp", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), err) == (status, b"")
