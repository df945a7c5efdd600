import os
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ModelFormatError, ParameterError, RefcrpError
from refcrp.io import hdf5


@pytest.fixture
def path(small_model, tmp_path):
    rc.save_model(small_model, tmp_path / "net.h5")
    return tmp_path / "net.h5"


def test_models_that_cannot_be_stored(small_model, tmp_path):
    for dtype in object, np.longdouble:
        with pytest.raises(ModelFormatError, match="cannot store parameters"):
            rc.save_model(small_model.astype(dtype), tmp_path / "net.h5")

    class ReLU(L.ReLU):
        pass

    with pytest.raises(ModelFormatError, match="not one of refcrp's own layers, but its class is called so"):
        rc.save_model(rc.Sequential([ReLU()]), tmp_path / "net.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_save_that_fails_leaves_the_old_file(path, small_model, monkeypatch):
    before = path.read_bytes()

    def fail(*arguments):
        raise RefcrpError("out of paper")

    monkeypatch.setattr(hdf5, "write_layer", fail)
    with pytest.raises(RefcrpError, match="out of paper"):
        rc.save_model(small_model, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_save_that_is_killed_leaves_the_old_file(path):
    before = path.read_bytes()
    code = (
        "import os, refcrp as rc; from refcrp.io import hdf5\n"
        "hdf5.write_layer = lambda *arguments: os.kill(os.getpid(), 9)\n"
        f"rc.save_model(rc.load_model('lenet5'), {str(path)!r})"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert path.read_bytes() == before


def test_an_activation_of_ones_own_is_not_stored_as_another(tmp_path):
    class Own(L.ReLU):
        pass

    with pytest.raises(ModelFormatError, match="not one of refcrp's own layers"):
        rc.save_model(rc.Sequential([L.Dense(np.eye(2), activation=Own())]), tmp_path / "net.h5")


def test_settings_that_cannot_be_stored(tmp_path):
    with pytest.raises(ModelFormatError, match="cannot store negative_slope"):
        rc.save_model(rc.Sequential([L.LeakyReLU(Fraction(1, 3))]), tmp_path / "net.h5")


def test_targets_that_are_no_files(small_model, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in tmp_path, tmp_path / "pipe":
        with pytest.raises(ModelFormatError, match="not a file"):
            rc.save_model(small_model, path)
        with pytest.raises(ModelFormatError, match="not a file"):
            rc.load_model(path)
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*nowhere'"):
        rc.save_model(small_model, tmp_path / "nowhere" / "net.h5")
    with pytest.raises(ParameterError, match="built-in model's name"):
        rc.save_model(small_model, "lenet5")
    with pytest.raises(ParameterError, match="expected a model"):
        rc.save_model("lenet5", tmp_path / "net.h5")
    rc.save_model(small_model, tmp_path / ("x" * 251 + ".h5"))


def test_damage_to_weights_is_noticed(path, small_model):
    whole = path.read_bytes()
    for array in (a for layer in small_model for a in layer.arrays().values()):
        place = whole.index(array.tobytes()) + array.nbytes // 2
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ModelFormatError, match="not a readable HDF5 file"):
            rc.load_model(path)


def test_saving_through_a_link(path, small_model, tmp_path):
    (tmp_path / "link.h5").symlink_to(path)
    path.write_bytes(b"")
    rc.save_model(small_model, tmp_path / "link.h5")
    assert (tmp_path / "link.h5").is_symlink()
    assert len(rc.load_model(path)) == 6


def test_permissions(small_model, tmp_path):
    mask = os.umask(0o027)
    try:
        rc.save_model(small_model, tmp_path / "net.h5")
        assert (tmp_path / "net.h5").stat().st_mode & 0o777 == 0o640
        (tmp_path / "net.h5").chmod(0o600)
        rc.save_model(small_model, tmp_path / "net.h5")
        assert (tmp_path / "net.h5").stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(mask)
