"""One HDF5 file that a kill at any moment leaves whole (docs/reference-samples.md).

All datasets are there, in their full size, before the file gets its name; from then on only numbers in their
places are overwritten, never HDF5's own structures. What a batch changes is first written into a journal,
sealed by a checksum, then applied, and the seal is broken: a process that dies before the seal has changed
nothing, and what one that dies after it has left undone is done when the file is next opened.
"""

from __future__ import annotations

import json
import os
import secrets
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refcrp.arrays import Array
from refcrp.concepts.tables import ENTRY, KINDS
from refcrp.errors import ReferenceFileError
from refcrp.selection import Indices

__all__ = ["Change", "Contents", "create", "opened", "read"]

FORMAT, VERSION = "refcrp-reference-samples", 1
SEALED = 0x7265666372703031  # "refcrp01"
LIBRARY = "earliest"  # newer formats mark a file that was not closed, and refuse to open it again


@dataclass(frozen=True, eq=False)
class Contents:
    """What the file holds.

    Attributes
    ----------
    settings : mapping
        What was asked, as JSON can say it.
    targets : (samples, most) array of int32
        For what each sample was explained.
    tables : tuple of (groups, kinds, concepts, n) arrays of `ENTRY`
        One for each layer.
    """

    settings: Mapping[str, Any]
    targets: Array
    tables: tuple[Array, ...]

    def apply(self, change: Change) -> None:
        """Write what a batch changes; any part of it may be there already."""
        for number in np.unique(change.where[:, 0]):
            chosen = change.where[:, 0] == number
            write(flat(self.tables[number]), change.where[chosen, 1], change.entries[chosen])
        write(self.targets, change.ids, change.targets)


@dataclass(frozen=True, eq=False)
class Change:
    """What a batch changes.

    Attributes
    ----------
    where : (r, 2) array of int64
        Which table, and which row of it, numbered through (groups, kinds, concepts).
    entries : (r, n) array of `ENTRY`
        What the rows become.
    ids : (m,) array of int64
        The samples of the batch.
    targets : (m, most) array of int32
        Their targets.
    """

    where: Array
    entries: Array
    ids: Indices
    targets: Array

    def parts(self) -> list[Array]:
        """Give the arrays in the order and with the types of the journal."""
        types = (("<i8", self.where), (ENTRY, self.entries), ("<i8", self.ids), ("<i4", self.targets))
        return [np.ascontiguousarray(array, dtype=dtype) for dtype, array in types]


@dataclass(frozen=True, eq=False)
class Journal:
    """Room for one change: its bytes, and the seal (magic number, rows, samples, checksum)."""

    seal: Array
    room: Array

    def put(self, change: Change) -> None:
        """Write a change down, and seal it."""
        data = np.concatenate([array.reshape(-1).view(np.uint8) for array in change.parts()])
        write(self.room, slice(0, len(data)), data)
        write(self.seal, slice(1, 4), [len(change.where), len(change.ids), 0])
        write(self.seal, 3, checksum(self.seal[1:3], data))
        write(self.seal, 0, SEALED)

    def clear(self) -> None:
        """Break the seal."""
        write(self.seal, 0, 0)

    def pending(self, contents: Contents) -> Change | None:
        """Give the change that was sealed and perhaps not applied."""
        magic, rows, samples, expected = (int(number) for number in self.seal)
        n, most = contents.tables[0].shape[-1], contents.targets.shape[1]
        sizes = np.cumsum([16 * rows, rows * n * ENTRY.itemsize, 8 * samples, 4 * samples * most])
        if magic != SEALED or min(rows, samples) < 0 or sizes[-1] > len(self.room):
            return None
        data = np.array(self.room[: sizes[-1]])
        if checksum(self.seal[1:3], data) != expected:
            return None
        where, entries, ids, targets = np.split(data, sizes[:3])
        return Change(
            where.view("<i8").reshape(rows, 2),
            entries.view(ENTRY).reshape(rows, n),
            ids.view("<i8"),
            targets.view("<i4").reshape(samples, most),
        )


def write(array: Array, index: Any, values: Any) -> None:
    """Overwrite a part of the file; all writing goes through here."""
    array[index] = values


def flat(table: Array) -> Array:
    """Number the rows of a table through; a view."""
    return table.reshape(-1, table.shape[-1])


def checksum(counts: Array, data: Array) -> int:
    """Sum up a change as it lies in the journal."""
    return zlib.crc32(data.tobytes(), zlib.crc32(np.asarray(counts, dtype="<i8").tobytes()))


# The file ---------------------------------------------------------------------------------------------------


def create(path: Path, contents: Contents) -> None:
    """Write a new file beside `path`, then give it its name, unless that is taken."""
    import h5py  # noqa: PLC0415 - imported where it is used

    if not path.parent.is_dir():
        raise ReferenceFileError(f"{path}: there is no folder {path.parent}")
    changes = sum(16 * len(flat(t)) + t.nbytes for t in contents.tables)
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with h5py.File(temporary, "x", libver=LIBRARY) as file:
            file.attrs["format"] = np.bytes_(FORMAT)
            file.attrs["version"] = VERSION
            text = np.frombuffer(json.dumps(contents.settings).encode(), dtype=np.uint8)
            file.create_dataset("settings", data=text)
            file.create_dataset("targets", data=contents.targets.astype("<i4"))
            for k, (name, table) in enumerate(zip(contents.settings["layers"], contents.tables, strict=True)):
                dataset = file.create_dataset(f"layers/{k:04d}", data=table)
                dataset.attrs["name"] = np.bytes_(name.encode())
            file.create_dataset("journal/seal", data=np.zeros(4, dtype="<i8"))
            size = changes + 8 * len(contents.targets) + 4 * contents.targets.size
            room = file.create_dataset("journal/room", (size,), np.uint8, fill_time="never")
            room[-1:] = 0  # it takes its place in the file, which most file systems give when it is written
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        give_name(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def give_name(temporary: Path, path: Path) -> None:
    """Call the file `path`, and never overwrite one that is called so."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise ReferenceFileError(f"{path}: a file of that name is there already") from None
    except OSError:  # a file system without links
        if path.exists():
            raise ReferenceFileError(f"{path}: a file of that name is there already") from None
        temporary.rename(path)


def read(path: Path) -> Contents:
    """Read a file, with what its journal has pending, and leave it as it is."""
    with hdf5(path, "r") as file:
        contents, journal = checked(path, file, lambda dataset: dataset[()])
    pending = journal.pending(contents)
    if pending is not None:
        contents.apply(pending)
    return contents


@contextmanager
def opened(path: Path) -> Iterator[tuple[Contents, Journal]]:
    """Open a file to be continued: its arrays lie in the file; no other process may open it meanwhile."""
    with hdf5(path, "r") as file:  # HDF5 would write into an empty file on opening it to be changed
        checked(path, file, lambda dataset: dataset)
    with hdf5(path, "r+") as file:
        contents, journal = checked(path, file, lambda dataset: in_file(path, dataset))
        pending = journal.pending(contents)
        if pending is not None:
            contents.apply(pending)
        journal.clear()
        yield contents, journal


def in_file(path: Path, dataset: Any) -> Array:
    """Map a dataset of the file into memory."""
    if dataset.size == 0:
        return np.empty(dataset.shape, dataset.dtype)
    return np.asarray(np.memmap(path, dataset.dtype, "r+", dataset.id.get_offset(), dataset.shape))


@contextmanager
def hdf5(path: Path, mode: str) -> Iterator[Any]:
    """Open an HDF5 file; what is wrong with it is a `ReferenceFileError`."""
    import h5py  # noqa: PLC0415 - imported where it is used

    try:
        file = h5py.File(path, mode)
    except FileNotFoundError:
        raise
    except BlockingIOError:
        raise ReferenceFileError(f"{path}: another process has it open") from None
    except OSError as error:
        raise ReferenceFileError(f"{path}: not a readable HDF5 file: {error}") from error
    with file:
        yield file


def checked(path: Path, file: Any, get: Any) -> tuple[Contents, Journal]:
    """Get what is in the file by `get`, believing nothing before it is checked."""
    try:
        if file.attrs.get("format") != np.bytes_(FORMAT):
            raise ReferenceFileError(f"{path}: not a file of reference samples")
        if file.attrs["version"] != VERSION:
            raise ReferenceFileError(
                f"{path}: format version {file.attrs['version']}, this refcrp reads version {VERSION}"
            )
        settings = json.loads(file["settings"][()].tobytes())
        groups = settings["neurons"] if settings["per_class"] else 1
        shape = (groups, len(KINDS), None, settings["n"])
        expected: list[tuple[Any, tuple[Any, ...], Any]]
        expected = [(file["targets"], (settings["data"]["samples"], settings["max_targets"]), "<i4")]
        expected += [(file[f"layers/{k:04d}"], shape, ENTRY) for k in range(len(settings["layers"]))]
        expected += [(file["journal/seal"], (4,), "<i8"), (file["journal/room"], (None,), "u1")]
        for dataset, shape, dtype in expected:
            fits = len(shape) == dataset.ndim and all(
                a in (None, b) for a, b in zip(shape, dataset.shape, strict=True)
            )
            is_here = dataset.file == file and dataset.id.get_offset() is not None
            if not fits or dataset.dtype != np.dtype(dtype) or not is_here:
                raise ReferenceFileError(
                    f"{path}: {dataset.name} is {dataset.dtype} {dataset.shape}, expected {dtype} {shape}"
                )
        targets, *tables, seal, room = (get(dataset) for dataset, _, _ in expected)
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, ReferenceFileError):
            raise
        raise ReferenceFileError(f"{path}: damaged: {error}") from error
    return Contents(settings, targets, tuple(tables)), Journal(seal, room)
