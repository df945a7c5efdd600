"""`refcrp atlas`, from the data to the page."""

import h5py
import numpy as np
import pytest
from command_line import run
from PIL import Image

import refcrp as rc
from refcrp.commands import atlas

SMALL = ["--n", 3, "--samples", 2, "--channels", 0, 4]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_layers_of_the_built_in_model(capsys, tmp_path):
    status, out, err = run(capsys, "atlas", "lenet5", "digits", "--out", "pages", *SMALL)
    assert (status, err) == (0, "")
    folder = tmp_path / "pages"
    found = {path.name for path in folder.iterdir()}
    assert found == {"references.h5", "index.html", "concepts-00-conv1.png", "concepts-02-conv2.png"}
    page = (folder / "index.html").read_text()
    assert all(name in page for name in found if name.endswith("png"))
    refs = rc.ReferenceSamples.open(folder / "references.h5")
    expected = rc.ReferenceSamples.collect(
        rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus()), rc.load_digits(), ["conv1", "conv2"], n=3
    )
    np.testing.assert_array_equal(
        refs.top("conv2", channel=4, n=3).samples, expected.top("conv2", channel=4, n=3).samples
    )
    assert "references  pages/references.h5: the best 3 of 100 samples" in out
    assert [line.split()[:2] for line in out.splitlines() if line.startswith("conv2 ")] == [
        ["conv2", "0"],
        ["conv2", "4"],
    ]


def test_an_image_of_the_data(capsys, tmp_path, lenet5):
    rc.save_model(lenet5, "net.h5")
    images, labels = rc.load_digits()
    with h5py.File("data.h5", "w") as file:
        file["images"], file["labels"] = images[:30], labels[:30]
    asked = ["atlas", "net.h5", "data.h5", "--layers", "conv2", "--image", 7, *SMALL]
    status, out, _ = run(capsys, *asked)
    assert status == 0
    names = {path.name for path in (tmp_path / "atlas").iterdir()}
    assert {"explanation.html", "explanation.png", "graph.png", "graph.json", "atlas.png"} <= names
    with Image.open(tmp_path / "atlas" / "atlas.png") as picture:
        assert min(picture.size) > 300
    assert run(capsys, *asked) == (0, out, "")  # goes on where it was, at the end


def test_ctrl_c_leaves_what_can_be_continued(capsys, tmp_path, monkeypatch):
    collect = rc.ReferenceSamples.collect.__func__

    def stop(cls, *arguments, **options):
        collect(cls, *arguments, **options, shard=(0, 40))
        raise KeyboardInterrupt

    asked = ["atlas", "lenet5", "digits", "--layers", "conv2", "--batch-size", 20, *SMALL]
    monkeypatch.setattr(atlas.ReferenceSamples, "collect", classmethod(stop))
    status, out, err = run(capsys, *asked)
    assert status == 130
    assert "has 40 of 100 samples; the same command continues" in out + err
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    status, out, _ = run(capsys, *asked)
    assert (status, "the best 3 of 100 samples" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenet5", "nowhere.h5"], "nowhere.h5"),
        (["nowhere.h5", "digits"], "nowhere.h5: no such file"),
        (["lenet5", "digits", "--layers", "conv3"], "no layer 'conv3'"),
        (["lenet5", "digits", "--channels", 99], "no channel 99"),
        (["lenet5", "digits", "--image", 100], "no sample 100"),
        (["lenet5", "digits", "--n", 0], "--n 0: expected 1 or more"),
        (["lenet5", "digits", "--n", 2, "--samples", 3], "--samples 3: only --n 2 are kept"),
        (["lenet5", "digits", "--output", 3], "--output: expected with --image"),
        (["lenet5", "digits", "--image", 3, "--output", 10], "no output neuron 10"),
    ],
)
def test_wrong(capsys, tmp_path, arguments, message):
    status, out, err = run(capsys, "atlas", *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("refcrp: error: ")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_something_else_is_left_alone(capsys, tmp_path):
    (tmp_path / "refs.h5").write_bytes(b"my diary")
    status, _, err = run(capsys, "atlas", "lenet5", "digits", "--references", "refs.h5")
    assert status == 2
    assert "refs.h5" in err
    assert (tmp_path / "refs.h5").read_bytes() == b"my diary"
