"""The data that ships with refcrp."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import numpy as np

from refcrp.arrays import Array
from refcrp.errors import ParameterError

if TYPE_CHECKING:
    from refcrp.concepts.references import ReferenceSamples

__all__ = ["as_input", "load_digits", "load_references"]


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

    Examples
    --------
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> x[labels == 3].shape
    (10, 1, 28, 28)
    """
    import h5py  # noqa: PLC0415 - imported where it is used

    with as_file(files("refcrp_data") / "digits.h5") as path, h5py.File(path, "r") as file:
        images = np.asarray(file["images"])
        labels = np.asarray(file["labels"], dtype=np.int64)
    return as_input(images), labels


def load_references(name: str) -> tuple[ReferenceSamples, tuple[Array, Array]]:
    """Give the reference samples of a built-in model, and the data that they are from.

    Parameters
    ----------
    name : str
        ``"lenet5"``, the only one.

    Returns
    -------
    refs : ReferenceSamples
        The best 8 of 10,000 handwritten digits for each channel of conv1 and conv2, explained for their label
        under `EpsilonPlus`.
    data : (x, labels)
        The digits that are among them, (n, 1, 28, 28) float32 and (n,) int; `refs` has their places in here.

    Raises
    ------
    ParameterError
        If there is no such model.

    Notes
    -----
    From the MNIST data base; source and licence are attributes of the file data/lenet5_references.h5.

    Examples
    --------
    Channel 3 of conv2 stands for what zeros and sixes have in common.

    >>> import refcrp as rc
    >>> refs, (x, labels) = rc.load_references("lenet5")
    >>> labels[refs.top("conv2", channel=3, n=4).samples]
    array([0, 6, 6, 0])
    """
    import h5py  # noqa: PLC0415 - imported where it is used

    from refcrp.concepts.references import ReferenceSamples  # noqa: PLC0415 - digits load without it

    if name != "lenet5":
        raise ParameterError(f"load_references: no built-in model {name!r}; there is lenet5")
    with as_file(files("refcrp_data") / "lenet5_references.h5") as path:
        refs = ReferenceSamples.open(path)
        with h5py.File(path, "r") as file:
            images = np.asarray(file["images"])
            labels = np.asarray(file["labels"], dtype=np.int64)
    return refs, (as_input(images), labels)


def as_input(images: Array) -> Array:
    """Make bytes (n, height, width) the input of a model: (n, 1, height, width) float32 in [0, 1]."""
    return (images.astype(np.float32) / np.float32(255))[:, None]
