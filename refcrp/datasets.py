"""The data that ships with refcrp."""

from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np

from refcrp.arrays import Array

__all__ = ["load_digits"]


def load_digits() -> tuple[Array, Array]:
    """Give 100 handwritten digits, 10 of each class, that the built-in LeNet-5 was not trained on.

    Returns
    -------
    x : (100, 1, 28, 28) float32 array
        Grey values in [0, 1]; white ink on black.
    labels : (100,) array of int

    Notes
    -----
    From the MNIST data base; source and licence are attributes of the file data/digits.h5.
    """
    import h5py  # noqa: PLC0415 - imported where it is used

    with as_file(files("refcrp_data") / "digits.h5") as path, h5py.File(path, "r") as file:
        images = np.asarray(file["images"])
        labels = np.asarray(file["labels"], dtype=np.int64)
    return (images.astype(np.float32) / np.float32(255))[:, None], labels
