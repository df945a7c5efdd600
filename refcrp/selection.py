"""Which output neuron is explained, and which features of a layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from refcrp.arrays import Array
from refcrp.checks import as_integer
from refcrp.errors import FeatureError, ParameterError, ShapeError

Indices = npt.NDArray[np.intp]

__all__ = [
    "FeatureSelector",
    "GivenFeatures",
    "IndexSelector",
    "IndexedFeatures",
    "Indices",
    "MaxActivationSelector",
    "OutputSelector",
    "TopNFeatures",
    "output_selector",
]


class OutputSelector(ABC):
    """Chooses the output neuron to explain, for each sample."""

    @abstractmethod
    def select(self, output: Array) -> Indices:
        """Give (batch,) indices for an output of shape (batch, neurons)."""


@dataclass(frozen=True)
class MaxActivationSelector(OutputSelector):
    """The neuron with the highest output; the first one on ties.

    Examples
    --------
    >>> import numpy as np
    >>> import refcrp as rc
    >>> rc.MaxActivationSelector().select(np.array([[1.0, 3.0, 2.0], [4.0, 0.0, 0.0]]))
    array([1, 0])
    """

    def select(self, output: Array) -> Indices:
        """Give the arg max of each sample."""
        return np.asarray(np.argmax(output, axis=1), dtype=np.intp)


@dataclass(frozen=True)
class IndexSelector(OutputSelector):
    """A given neuron.

    Parameters
    ----------
    index : int or sequence of int
        One for all samples, or one for each. `FeatureError` for one that is not there.

    Examples
    --------
    ``output=3`` is short for ``output=rc.IndexSelector(3)``.

    >>> import refcrp as rc
    >>> lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())
    >>> x, labels = rc.load_digits()
    >>> lrp(x[:2], output=rc.IndexSelector((0, 8))).selected
    array([0, 8])
    """

    index: int | tuple[int, ...]

    def __post_init__(self) -> None:
        given = self.index
        is_list = isinstance(given, Iterable) and not isinstance(given, str) and getattr(given, "ndim", 1) > 0
        checked = as_indices(given, "output") if is_list else as_integer(given, "output")
        object.__setattr__(self, "index", checked)

    def select(self, output: Array) -> Indices:
        """Give the index, or indices, if the output has them."""
        batch, neurons = output.shape
        if isinstance(self.index, tuple) and len(self.index) != batch:
            raise ShapeError(
                f"output: got {len(self.index)} indices for {batch} samples; one for all, or one for each"
            )
        selected = np.broadcast_to(np.asarray(self.index, dtype=np.intp), (batch,))
        check_range(selected, neurons, "output neuron", "the model's output")
        return selected


def output_selector(output: int | Iterable[int] | OutputSelector | None) -> OutputSelector:
    """Give the selector that the ``output=`` of an analyzer stands for; None is the maximum."""
    if output is None:
        return MaxActivationSelector()
    return output if isinstance(output, OutputSelector) else IndexSelector(output)  # type: ignore[arg-type]


class FeatureSelector(ABC):
    """Chooses the features (channels) of a layer to condition on, for each sample."""

    @abstractmethod
    def select(self, relevance: Array, where: str) -> Indices:
        """Give (features, batch) channels, from the relevance (batch, channels) of layer `where`."""

    @abstractmethod
    def __len__(self) -> int:
        """How many features are chosen."""


@dataclass(frozen=True)
class TopNFeatures(FeatureSelector):
    """The channels with the most relevance, summed over space with its sign, in descending order.

    Each sample has its own. Among equals the lower channel comes first.

    Parameters
    ----------
    n : int
        How many; raises `FeatureError` if the layer has fewer.

    Examples
    --------
    >>> import numpy as np
    >>> import refcrp as rc
    >>> rc.TopNFeatures(2).select(np.array([[1.0, 5.0, 3.0], [4.0, 0.0, 9.0]]), "conv2")
    array([[1, 2],
           [2, 0]])
    """

    n: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", as_integer(self.n, "TopNFeatures: n", 1))

    def select(self, relevance: Array, where: str) -> Indices:
        """Rank the channels of each sample."""
        channels = relevance.shape[1]
        if self.n > channels:
            raise FeatureError(f"TopNFeatures({self.n}): {where} has only {channels} channels")
        ranked = np.argsort(-relevance, axis=1, kind="stable")
        return ranked[:, : self.n].T

    def __len__(self) -> int:
        return self.n


@dataclass(frozen=True, init=False)
class IndexedFeatures(FeatureSelector):
    """Given channels, the same for every sample.

    Parameters
    ----------
    *indices : int
        0-based, in the order in which results come; `FeatureError` for one that is not there.

    Examples
    --------
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> crp = rc.CRP(rc.LRP(rc.load_model("lenet5")), "conv2", rc.IndexedFeatures(0, 3))
    >>> crp(x[:1]).features
    array([[0],
           [3]])
    """

    indices: tuple[int, ...]

    def __init__(self, *indices: int | Iterable[int]) -> None:
        given = indices[0] if len(indices) == 1 and np.ndim(indices[0]) == 1 else indices  # type: ignore[arg-type]
        checked = as_indices(given, "IndexedFeatures")
        if not checked:
            raise ParameterError("IndexedFeatures needs at least one channel")
        object.__setattr__(self, "indices", checked)

    def select(self, relevance: Array, where: str) -> Indices:
        """Give the same channels for each sample."""
        chosen = np.asarray(self.indices, dtype=np.intp)
        check_range(chosen, relevance.shape[1], "channel", where)
        return np.repeat(chosen[:, None], len(relevance), axis=1)

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True, eq=False)
class GivenFeatures(FeatureSelector):
    """Given channels, others for each sample.

    Parameters
    ----------
    indices : (k, n) array of int
        0-based, one row a feature, one column a sample; `FeatureError` for one that is not there.

    Examples
    --------
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> crp = rc.CRP(rc.LRP(rc.load_model("lenet5")), "conv2", rc.GivenFeatures([[0, 3]]))
    >>> crp(x[:2]).features
    array([[0, 3]])
    """

    indices: Indices

    def __post_init__(self) -> None:
        indices = np.array(self.indices)
        if indices.ndim != 2 or not indices.size or indices.dtype.kind not in "iu":
            raise ParameterError(
                f"GivenFeatures: expected integers (features, samples), got {indices.dtype} {indices.shape}"
            )
        indices = indices.astype(np.intp)
        indices.setflags(write=False)
        object.__setattr__(self, "indices", indices)

    def select(self, relevance: Array, where: str) -> Indices:
        """Give the channels of each sample."""
        if self.indices.shape[1] != len(relevance):
            raise ShapeError(
                f"GivenFeatures: channels of {self.indices.shape[1]} samples, got {len(relevance)} samples"
            )
        check_range(self.indices, relevance.shape[1], "channel", where)
        return self.indices

    def __len__(self) -> int:
        return len(self.indices)


def as_indices(values: Any, what: str) -> tuple[int, ...]:
    """Give `values` as indices, or raise `ParameterError`."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ParameterError(f"{what}: expected a list of integers >= 0, got {values!r}")
    return tuple(as_integer(value, what) for value in values)


def check_range(indices: Any, count: int, what: str, where: str) -> None:
    """Raise `FeatureError` if an index is not below `count`."""
    indices = np.asarray(indices)
    outside = indices[(indices < 0) | (indices >= count)]
    if outside.size:
        raise FeatureError(f"no {what} {outside[0]}: {where} has {count}, numbered 0 to {count - 1}")
