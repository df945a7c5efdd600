"""Reading from HDF5 files that are not trusted: what is read is checked first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from refcrp.arrays import Array
from refcrp.errors import ModelFormatError

__all__ = ["CheckedReader"]

MAX_BYTES = 16 * 2**30  # of one array; far more than any network has, far less than a forged shape asks for
MAX_ATTRIBUTE_BYTES = 4096
MAX_TUPLE = 256  # integers in an attribute; a layer may read many others


class CheckedReader:
    """Reads from one file; knows its name for the error messages."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, where: str, what: str) -> ModelFormatError:
        """Make the error for something wrong at `where` in the file."""
        return ModelFormatError(f"{self.path}: {where}: {what}")

    def attribute(self, group: h5py.Group, key: str, expected: type | None = None) -> Any:
        """Read an attribute as str, bool, int, float or tuple of int."""
        if key not in group.attrs:
            raise self.fail(group.name, f"attribute {key!r} is missing")
        stored = group.attrs.get_id(key)
        string = h5py.check_string_dtype(stored.dtype)
        # Text of variable length lies in a heap whose damage makes the HDF5 library loop for ever.
        if stored.dtype.hasobject or stored.get_storage_size() > MAX_ATTRIBUTE_BYTES:
            raise self.fail(group.name, f"attribute {key!r}: expected a number, or text of a fixed length")
        value = group.attrs[key]
        if string is not None and isinstance(value, bytes):
            value = value.decode()
        elif (
            isinstance(value, np.ndarray)
            and value.ndim == 1
            and value.dtype.kind in "iu"
            and value.size <= MAX_TUPLE
        ):
            value = tuple(int(n) for n in value)
        elif isinstance(value, np.generic) and value.dtype.kind in "iufb":
            value = value.item()
        is_plain = isinstance(value, (str, bool, int, float, tuple))
        if not is_plain or (expected is not None and type(value) is not expected):
            wanted = expected.__name__ if expected else "text, a number, or integers"
            raise self.fail(group.name, f"attribute {key!r} is {value!r}, expected {wanted}")
        return value

    def member(self, group: h5py.Group, key: str, kind: type) -> Any:
        """Get a group or dataset that lies in this file itself."""
        if key not in set(group):
            raise self.fail(group.name, f"{kind.__name__.lower()} {key!r} is missing")
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise self.fail(group.name, f"{key!r} is a link; expected a {kind.__name__.lower()} of this file")
        member = group[key]
        if not isinstance(member, kind):
            raise self.fail(group.name, f"{key!r} is not a {kind.__name__.lower()}")
        return member

    def array(self, group: h5py.Group, key: str) -> Array:
        """Read a dataset, when its type, size and storage are as they should be."""
        dataset = self.member(group, key, h5py.Dataset)
        where = f"{group.name}/{key}"
        if dataset.dtype.newbyteorder("=") not in (np.float32, np.float64):
            raise self.fail(where, f"element type {dataset.dtype}, expected float32 or float64")
        if dataset.external or dataset.is_virtual:
            raise self.fail(where, "its data lies in another file; expected it in this one")
        # Deflate cannot shrink by more than about 1000, so a larger factor is data that is not there.
        if dataset.shape is None or dataset.nbytes > min(MAX_BYTES, 1100 * dataset.id.get_storage_size()):
            raise self.fail(where, f"shape {dataset.shape} is more than the file holds")
        values = np.asarray(dataset[()], dtype=dataset.dtype.newbyteorder("="))
        if not np.isfinite(values).all():
            raise self.fail(where, "contains NaN or infinity, expected finite numbers")
        return values

    def numbers(self, group: h5py.Group, key: str) -> tuple[float, ...]:
        """Read an attribute that is one number, or several."""
        stored = group.attrs.get_id(key)
        is_number = stored.dtype.kind in "iuf" and stored.shape is not None and len(stored.shape) < 2
        if not is_number or not 0 < np.prod(stored.shape) * stored.dtype.itemsize <= MAX_ATTRIBUTE_BYTES:
            raise self.fail(group.name, f"attribute {key!r}: expected one number, or several")
        return tuple(float(v) for v in np.atleast_1d(group.attrs[key]))
