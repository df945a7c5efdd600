"""Where samples come from: arrays, an HDF5 file read in slices, or any sequence of (image, label).

A sample's id is its place in the data set.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any, Protocol

import numpy as np

from refcrp.arrays import Array, unchecked_array
from refcrp.errors import ParameterError, ShapeError
from refcrp.selection import Indices, check_range

__all__ = ["Batch", "Data", "HDF5Data", "LoadedBatch", "as_data"]

LOOKED_AT = 16  # samples by which a data set is recognized again


class Batch(Protocol):
    """Some samples, to be loaded where they are needed, perhaps in another process."""

    def load(self) -> LoadedBatch:
        """Give the samples."""


@dataclass(frozen=True, eq=False)
class LoadedBatch:
    """Some samples.

    Attributes
    ----------
    ids : (m,) array of int
    images : (m, ...) array
    labels : sequence or None
        What the data set has for each: an integer, or several.
    """

    ids: Indices
    images: Array
    labels: Sequence[Any] | Array | None

    def load(self) -> LoadedBatch:
        """Give the samples, which are here already."""
        return self


class Data(ABC):
    """A data set: so many samples, to be read some at a time."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, ids: Indices) -> LoadedBatch:
        """Read the samples with these ids."""

    def batch(self, ids: Indices) -> Batch:
        """Give samples in a form that another process can load: by default, loaded."""
        return self.read(ids)

    def images(self, ids: Sequence[int] | Indices) -> Array:
        """Read the images of any samples, in any order.

        Raises
        ------
        FeatureError
            If there is no such sample.
        """
        ids = np.asarray(ids, dtype=np.intp)
        check_range(ids, len(self), "sample", "the data set")
        return self.read(ids).images

    def described(self) -> dict[str, Any]:
        """Say by what the data set is recognized: how many samples, of what shape, and some of them."""
        some = self.read(np.unique(np.linspace(0, len(self) - 1, LOOKED_AT).astype(np.intp)))
        seen = hashlib.sha256(np.ascontiguousarray(some.images).tobytes())
        if some.labels is not None:
            seen.update(repr([np.asarray(label).tolist() for label in some.labels]).encode())
        return {
            "samples": len(self),
            "shape": list(some.images.shape[1:]),
            "dtype": str(some.images.dtype),
            "some of them": seen.hexdigest(),
        }


@dataclass(frozen=True, eq=False)
class ArrayData(Data):
    """Images and labels that can be indexed: arrays, or datasets of an open HDF5 file."""

    all_images: Any
    all_labels: Any = None

    def __post_init__(self) -> None:
        count = None if self.all_labels is None else len(self.all_labels)
        if count is not None and count != len(self.all_images):
            raise ShapeError(f"data: {len(self.all_images)} images, but {count} labels")

    def __len__(self) -> int:
        return len(self.all_images)

    def read(self, ids: Indices) -> LoadedBatch:
        """Read the samples with these ids."""
        labels = None if self.all_labels is None else rows(self.all_labels, ids)
        return LoadedBatch(ids, np.asarray(rows(self.all_images, ids)), labels)


@dataclass(frozen=True, eq=False)
class HDF5Data(Data):
    """Images and labels in an HDF5 file, of which only what is needed is read.

    Parameters
    ----------
    path : path
    images, labels : str
        The names of the datasets, (samples, ...); `labels` None if there are none.
    prepare : callable, optional
        Makes an input of the model of images (m, ...) as they are stored; it must treat each image alone.

    Raises
    ------
    ParameterError
        If the file has no such dataset.
    ShapeError
        If there are not as many labels as images.

    Examples
    --------
    Of a file that holds bytes::

        import numpy as np
        import refcrp as rc

        data = rc.HDF5Data("photos.h5", "pixels", "classes", prepare=lambda x: x / np.float32(255))
        refs = rc.ReferenceSamples.collect(lrp, data, "conv2", "references.h5")
    """

    path: str | PathLike[str]
    images_name: str = "images"
    labels_name: str | None = "labels"
    prepare: Callable[[Array], Array] | None = None
    count: int = field(init=False)

    def __init__(
        self,
        path: str | PathLike[str],
        images: str = "images",
        labels: str | None = "labels",
        *,
        prepare: Callable[[Array], Array] | None = None,
    ) -> None:
        for name, value in (("path", fspath(path)), ("images_name", images), ("labels_name", labels)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "prepare", prepare)
        import h5py  # noqa: PLC0415 - imported where it is used

        with h5py.File(self.path, "r") as file:
            for dataset in filter(None, (images, labels)):
                if not isinstance(file.get(dataset), h5py.Dataset):
                    raise ParameterError(f"{path}: no dataset {dataset!r}; there are {sorted(file)}")
            counts = [len(file[dataset]) for dataset in (images, labels) if dataset is not None]
        if min(counts) != max(counts):
            raise ShapeError(f"{path}: {counts[0]} images, but {counts[1]} labels")
        object.__setattr__(self, "count", counts[0])

    def __len__(self) -> int:
        return self.count

    def read(self, ids: Indices) -> LoadedBatch:
        """Read the samples with these ids."""
        import h5py  # noqa: PLC0415 - imported where it is used

        with h5py.File(self.path, "r") as file:
            images = rows(file[self.images_name], ids)
            labels = None if self.labels_name is None else rows(file[self.labels_name], ids)
        return LoadedBatch(ids, images if self.prepare is None else self.prepare(images), labels)

    def batch(self, ids: Indices) -> Batch:
        """Give samples that are read from the file where they are needed."""
        return LaterBatch(self, ids)


@dataclass(frozen=True, eq=False)
class SequenceData(Data):
    """Any sequence of (image, label)."""

    samples: Any

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, ids: Indices) -> LoadedBatch:
        """Take the samples with these ids, one after the other."""
        pairs = [self.samples[int(i)] for i in ids]
        for i, pair in zip(ids, pairs, strict=True):
            if not isinstance(pair, Sequence) or len(pair) != 2:
                raise ParameterError(f"data: sample {i} is {pair!r:.100}; expected (image, label)")
        images = unchecked_array([np.asarray(image) for image, _ in pairs], "data: images")
        return LoadedBatch(ids, images, [label for _, label in pairs])


@dataclass(frozen=True, eq=False)
class LaterBatch:
    """Samples to be read where they are needed."""

    data: Data
    ids: Indices

    def load(self) -> LoadedBatch:
        """Read the samples."""
        return self.data.read(self.ids)


def rows(array: Any, ids: Indices) -> Any:
    """Take rows of anything that is indexed like an array; neighbours at once, as HDF5 is fast with them."""
    if len(ids) and np.array_equal(ids, np.arange(ids[0], ids[0] + len(ids))):
        return array[int(ids[0]) : int(ids[-1]) + 1]
    if isinstance(array, np.ndarray):
        return array[ids]
    taken = [array[int(i)] for i in ids]
    return np.stack(taken) if hasattr(array, "dtype") else taken


def as_data(data: Any) -> Data:
    """Give a data set from what a user has for one.

    Parameters
    ----------
    data : Data, path, array, (images, labels), or sequence of (image, label)
        A path is that of an HDF5 file with datasets ``images`` and ``labels``; `HDF5Data` names others.

    Raises
    ------
    ParameterError, ShapeError
        If it is none of these, or there are no samples.
    """
    if isinstance(data, (str, PathLike)):
        data = HDF5Data(data)
    elif is_array(data):
        data = ArrayData(data)
    elif isinstance(data, tuple) and len(data) == 2 and is_array(data[0]):
        data = ArrayData(*data)
    elif not isinstance(data, Data) and hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        data = SequenceData(data)
    if not isinstance(data, Data):
        raise ParameterError(f"data: expected (images, labels), a path, or a sequence, got {data!r:.100}")
    if not len(data):
        raise ShapeError("data: there are no samples")
    return data


def is_array(value: Any) -> bool:
    """Tell whether `value` holds one array row a sample."""
    return hasattr(value, "shape") and hasattr(value, "dtype") and len(value.shape) > 1
