import os
import subprocess
import sys

import numpy as np
import pytest
from command_line import run
from PIL import Image

import refcrp as rc
from refcrp import layers as L


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
    assert lines[-1] == "picture     explanation.png"
    assert (tmp_path / "explanation.png").stat().st_size > 10_000


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
    assert run(capsys, "explain", "--model", "net.h5")[1] == run(capsys, "explain")[1]


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


def test_normalised_pictures(capsys, lenet5):
    Image.fromarray((rc.load_digits()[0][45, 0] * 255).astype(np.uint8)).save("photo.png")
    scaled = rc.Sequential([L.Scale(np.float32([2.0]), np.float32([0.5])), *lenet5], input_shape=(1, 28, 28))
    rc.save_model(scaled, "scaled.h5")
    plain = run(capsys, "explain", "photo.png")[1].splitlines()
    normalised = run(capsys, "explain", "photo.png", "--model", "scaled.h5", "--mean", 0.5, "--std", 2)[1]
    assert normalised.splitlines()[1:3] == plain[1:3]


WRONG = [
    ([], "the following arguments are required"),
    (["bogus"], "invalid choice: 'bogus'"),
    (["show"], "the following arguments are required: model"),
    (["show", "nothing.h5"], "nothing.h5: no such file"),
    (["show", "text.txt"], "text.txt: not a readable HDF5 file"),
    (["explain", "nothing.png"], "nothing.png: cannot be read as an image"),
    (["explain", "text.txt"], "text.txt: cannot be read as an image"),
    (["explain", "text.npy"], "text.npy: cannot be read as a .npy array"),
    (["explain", "small.png"], "the picture has 9 x 9 pixels, the model wants 28 x 28; --resize scales it"),
    (["explain", "nan.npy"], "nan.npy: nan at index"),
    (["explain", "flat.npy"], "got shape (1, 784), expected (?, 1, 28, 28)"),
    (["explain", "two.npy"], "two.npy: holds 2 samples, expected one"),
    (["explain", "two.npy", "--invert"], "cannot be resized, inverted or normalised"),
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
def test_a_reader_that_leaves_early(unbuffered):
    process = subprocess.Popen(
        [sys.executable, "-m", "refcrp", "show", "lenet5"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(), err) == (0, b"")
