"""The file: a process that dies at any moment leaves it whole."""

import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import reference_nets as nets

import refcrp as rc
from refcrp import errors
from refcrp.concepts import store

COUNT, BATCH = 12, 4


def collect(path=None, **options):
    asked = {"n": 3, "batch_size": BATCH} | options
    return rc.ReferenceSamples.collect(
        nets.small_lrp(), nets.small_data(COUNT), ["first", "second"], path, **asked
    )


@pytest.fixture(scope="module")
def states():
    """What there is after each batch."""
    return [collect(shard=(0, stop)) for stop in range(0, COUNT + 1, BATCH)]


class PowerOffError(Exception):
    """Stands for the end of the process."""


def dying_write(at, share):
    """Write as `store.write` does, but end the process at the `at`-th time, after a share of what is written."""
    calls = [0]

    def write(array, index, values):
        calls[0] += 1
        if calls[0] < at:
            array[index] = values
            return
        if share:
            target = np.asarray(array[index]).copy()
            new = np.broadcast_to(np.asarray(values, array.dtype), target.shape)
            half = np.frombuffer(new.tobytes(), np.uint8).copy()
            stop = int(len(half) * share)
            half[stop:] = np.frombuffer(target.tobytes(), np.uint8)[stop:]
            array[index] = half.view(array.dtype).reshape(target.shape)
        raise PowerOffError

    return write, calls


def count_writes(tmp_path, monkeypatch):
    write, calls = dying_write(10**9, 0)
    with monkeypatch.context() as patched:
        patched.setattr(store, "write", write)
        collect(tmp_path / "all.h5")
    return calls[0]


@pytest.mark.parametrize("share", [0, 0.4, 1])
def test_death_at_every_write(tmp_path, monkeypatch, states, share):
    total = count_writes(tmp_path, monkeypatch)
    assert total > 20
    reached = []
    for at in range(1, total + 1):
        path = tmp_path / f"{at}.h5"
        with monkeypatch.context() as patched:
            patched.setattr(store, "write", dying_write(at, share)[0])
            with pytest.raises(PowerOffError):
                collect(path)
        found = rc.ReferenceSamples.open(path)
        state = states[found.explained // BATCH]
        assert nets.same_bits(found, state), f"write {at}"
        reached.append(found.explained)
        if at % 3 == 0:  # continuing where it ended, with other batches
            assert nets.same_bits(collect(path, batch_size=5), states[-1])
    assert reached == sorted(reached)
    assert set(reached) == set(range(0, COUNT + 1, BATCH))


def test_death_while_the_journal_is_applied_again(tmp_path, monkeypatch, states):
    total = count_writes(tmp_path, monkeypatch)
    path = tmp_path / "refs.h5"
    with monkeypatch.context() as patched:
        patched.setattr(store, "write", dying_write(total - 2, 0.5)[0])
        with pytest.raises(PowerOffError):
            collect(path)
        for at in (1, 2, 3):
            patched.setattr(store, "write", dying_write(at, 0.5)[0])
            with pytest.raises(PowerOffError):
                collect(path)
    assert nets.same_bits(rc.ReferenceSamples.open(path), states[-1])


def test_a_damaged_journal_is_not_believed(tmp_path, monkeypatch, states):
    total = count_writes(tmp_path, monkeypatch)
    path = tmp_path / "refs.h5"
    with monkeypatch.context() as patched:  # sealed, and nothing applied
        patched.setattr(store, "write", dying_write(total - 3, 0)[0])
        with pytest.raises(PowerOffError):
            collect(path)
    assert rc.ReferenceSamples.open(path).complete
    with h5py.File(path, "r+") as file:
        file["journal/room"][5] ^= 1
    found = rc.ReferenceSamples.open(path)
    assert nets.same_bits(found, states[-2])


def test_reading_changes_nothing(tmp_path):
    path = tmp_path / "refs.h5"
    collect(path)
    before = path.read_bytes()
    path.chmod(0o444)
    rc.ReferenceSamples.open(path)
    assert path.read_bytes() == before


def test_hdf5_structures_do_not_change(tmp_path):
    """All that differs between an empty file and a full one are numbers in datasets."""
    path = tmp_path / "refs.h5"
    collect(path, shard=(0, 0))
    before = np.frombuffer(path.read_bytes(), np.uint8)
    collect(path)
    changed = np.frombuffer(path.read_bytes(), np.uint8) != before
    with h5py.File(path) as file:
        for name in ("layers/0000", "layers/0001", "targets", "journal/seal", "journal/room"):
            start, size = file[name].id.get_offset(), file[name].nbytes
            changed[start : start + size] = False
    assert not changed.any()


# Real processes ---------------------------------------------------------------------------------------------

CHILD = """
import os, sys
sys.path.insert(0, sys.argv[1])
import refcrp as rc, reference_nets as nets
from refcrp.concepts import store
real = store.write
def write(array, index, values):
    real(array, index, values)
    os.write(1, b".")
store.write = write
rc.ReferenceSamples.collect(
    nets.small_lrp(), nets.small_data(24), ["first", "second"], sys.argv[2], n=3, batch_size=1
)
"""


def test_kill_9_again_and_again(tmp_path):
    path = tmp_path / "refs.h5"
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(path)]
    explained = []
    for writes in (30, 61, None):
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        written = child.stdout.read(writes)
        if writes is not None:
            child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()
        child.stdout.close()
        assert child.wait() == (0 if writes is None else -signal.SIGKILL)
        explained.append(rc.ReferenceSamples.open(path).explained)
        batches = (len(written) + len(rest)) // 8  # each is at most eight writes
        assert explained[-1] - ([0, *explained][-2]) >= batches - 1
    assert explained == sorted(explained)
    assert 0 < explained[0] < explained[1] < explained[2] == 24
    whole = rc.ReferenceSamples.collect(nets.small_lrp(), nets.small_data(24), ["first", "second"], n=3)
    assert nets.same_bits(rc.ReferenceSamples.open(path), whole)


def test_two_processes_cannot_write_one_file(tmp_path):
    path = tmp_path / "refs.h5"
    collect(path, shard=(0, 4))
    code = "import sys, refcrp as rc; rc.ReferenceSamples.open(sys.argv[1])"
    with store.opened(path):
        other = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
        )
    assert other.returncode == 1
    assert "another process" in other.stderr


# Files that are not ours ------------------------------------------------------------------------------------


def foreign_files(folder):
    (folder / "text.h5").write_text("not HDF5 at all")
    (folder / "empty.h5").write_bytes(b"")
    with h5py.File(folder / "other.h5", "w") as file:
        file["images"] = np.zeros(3)
    rc.save_model(nets.small_model(), folder / "model.h5")
    collect(folder / "cut.h5")
    data = (folder / "cut.h5").read_bytes()
    (folder / "cut.h5").write_bytes(data[: len(data) // 2])
    for name, edit in (
        ("version.h5", newer),
        ("shape.h5", reshaped),
        ("link.h5", linked),
        ("text2.h5", garbled),
    ):
        collect(folder / name)
        with h5py.File(folder / name, "r+") as file:
            edit(file)
    return sorted(folder.glob("*.h5"))


def newer(file):
    file.attrs["version"] = 2


def reshaped(file):
    del file["targets"]
    file["targets"] = np.zeros((3, 1), "<i4")


def linked(file):
    del file["targets"]
    other = Path(file.filename).with_name("other.bin")
    with h5py.File(other, "w") as there:
        there["targets"] = np.zeros((COUNT, 1), "<i4")
    file["targets"] = h5py.ExternalLink(other, "targets")


def garbled(file):
    file["settings"][:4] = 0


def test_foreign_and_damaged_files(tmp_path):
    for path in foreign_files(tmp_path):
        before = path.read_bytes()
        for use in (rc.ReferenceSamples.open, collect):
            with pytest.raises(errors.ReferenceFileError, match=path.name):
                use(path)
        assert path.read_bytes() == before, path


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        rc.ReferenceSamples.open(tmp_path / "none.h5")
    with pytest.raises(errors.ReferenceFileError, match="no folder"):
        collect(tmp_path / "none" / "refs.h5")
