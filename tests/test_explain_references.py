"""`refcrp explain` with reference samples: the built-in ones, and those of a model of one's own."""

import h5py
import numpy as np
import pytest
from command_line import run

import refcrp as rc
from refcrp.commands.samples import Prepare


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def own(lenet5, digits):
    """A model, data as bytes without channels, and samples that `refcrp atlas` could have collected."""
    rc.save_model(lenet5.with_normalization(mean=0.5, std=0.25), "net.h5")
    with h5py.File("data.h5", "w") as file:
        file["images"] = np.rint(255 * digits[0][:20, 0]).astype(np.uint8)
        file["labels"] = digits[1][:20]
    x = (digits[0][:20] - np.float32(0.5)) / np.float32(0.25)
    lrp = rc.LRP(lenet5, rc.EpsilonPlus())
    rc.ReferenceSamples.collect(lrp, (x, digits[1][:20]), "conv2", "refs.h5", n=3)
    return ["--model", "net.h5", "--references", "refs.h5", "--data", "data.h5"]


def test_own_reference_samples(capsys, tmp_path, own):
    status, out, err = run(capsys, "explain", *own, "--samples", 2, "--out", "card.html")
    assert (status, err) == (0, "")
    assert out.splitlines()[-2:] == ["references  refs.h5, the best of 20 samples", "picture     card.html"]
    assert (tmp_path / "card.html").read_text(encoding="utf-8").count("<img ") == 2 + 5 * (1 + 2 * 2)


def test_pages(capsys, tmp_path):
    status, out, _ = run(capsys, "explain", "--out", "card.html", "--layer", "conv1", "--top", 1)
    assert (status, "built-in" in out) == (0, True)
    assert (tmp_path / "card.html").read_text(encoding="utf-8").count("<img ") == 2 + 1 + 12
    status, out, _ = run(capsys, "explain", "--out", "none.html", "--no-references")
    assert (status, "references" in out) == (0, False)
    assert (tmp_path / "none.html").read_text(encoding="utf-8").count("<img ") == 2 + 5
    status, out, _ = run(capsys, "explain", "--layer", "dense1", "--out", "dense.png")
    assert (status, "references  none: the built-in ones are of conv1, conv2" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--references", "refs.h5"], "--references and --data belong together"),
        (["--data", "data.h5"], "--references and --data belong together"),
        (["--references", "no.h5", "--data", "data.h5"], "no.h5: no such file"),
        (["--references", "refs.h5", "--data", "no.h5"], "no.h5: no such file"),
        (["--references", "data.h5", "--data", "data.h5"], "data.h5: not a file of reference samples"),
        (["--references", "refs.h5", "--data", "refs.h5"], "refs.h5: no dataset 'images'"),
        (["--references", "refs.h5", "--data", "text"], "text: cannot be read as an HDF5 file"),
        (
            ["--references", "refs.h5", "--data", "data.h5"],
            "data/some of them",
        ),  # lenet5 has no normalisation
        (["--references", "refs.h5", "--no-references"], "not allowed with argument"),
        (["--samples", "9"], "only the best 8"),
        (["--crop", "round"], "invalid choice: 'round'"),
    ],
)
def test_wrong(capsys, tmp_path, own, arguments, message):
    (tmp_path / "text").write_text("hello")
    status, out, err = run(capsys, "explain", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (tmp_path / "explanation.png").exists()


def test_images_become_input():
    stored = np.array([[[0, 51], [102, 255]]], dtype=np.uint8)
    x = Prepare(rc.Normalization(0.2, 0.5))(stored)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, [[[[-0.4, 0], [0.4, 1.6]]]], atol=1e-6)
    np.testing.assert_array_equal(Prepare()(stored / 255), (stored / 255)[:, None])
    numbers = np.zeros((2, 3, 4, 5), np.float64)
    assert Prepare(rc.Normalization(0.2, 0.5))(numbers) is numbers
