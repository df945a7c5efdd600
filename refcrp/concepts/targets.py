"""For which output neurons each sample is explained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import as_integer
from refcrp.concepts.sources import LoadedBatch
from refcrp.errors import FeatureError, ParameterError, ShapeError

__all__ = ["NONE", "UNSEEN", "Targets", "as_targets"]

NONE = -1  # fills the row of a sample that has fewer targets than others
UNSEEN = -2  # the sample has not been explained yet


@dataclass(frozen=True, eq=False)
class Targets:
    """Which output neurons to explain.

    Parameters
    ----------
    choice : "label", "prediction", callable, or tuple of tuple of int
        The tuple has the targets of every sample of the data set.
    most : int
        How many targets a sample has at most.
    """

    choice: str | Callable[..., Any] | tuple[tuple[int, ...], ...]
    most: int = 1

    def of(self, batch: LoadedBatch, output: Array) -> Array:
        """Give the targets of samples with this output (m, neurons): (m, most), ended by `NONE`.

        Raises
        ------
        FeatureError
            If a target is no output neuron.
        ParameterError
            If a target is no number, is there twice, or there are too many.
        """
        targets = np.full((len(batch.ids), self.most), NONE, dtype=np.int64)
        labels = batch.labels
        if self.choice == "prediction":
            targets[:, 0] = np.argmax(output, axis=1)
        elif self.choice == "label" and isinstance(labels, np.ndarray) and one_each(labels):
            targets[:, 0] = labels
        else:
            for k, sample in enumerate(batch.ids):
                chosen = self.one(batch, k, output[k])
                check_list(chosen, self.most, f"sample {sample}")
                targets[k, : len(chosen)] = chosen
        for k in np.flatnonzero(((targets < NONE) | (targets >= output.shape[1])).any(axis=1))[:1]:
            raise FeatureError(
                f"sample {batch.ids[k]}: no output neuron {targets[k].tolist()}: the model has "
                f"{output.shape[1]}, numbered 0 to {output.shape[1] - 1}"
            )
        return targets.astype(np.int32)

    def one(self, batch: LoadedBatch, k: int, output: Array) -> tuple[int, ...]:
        """Give the targets of the k-th sample of a batch."""
        if isinstance(self.choice, tuple):
            return self.choice[batch.ids[k]]
        label = None if batch.labels is None else batch.labels[k]
        if callable(self.choice):
            return as_indices(self.choice(output, label), f"targets of sample {batch.ids[k]}")
        return as_indices(label, f"label of sample {batch.ids[k]}")


def one_each(labels: Array) -> bool:
    """Tell whether there is one label a sample, and each a number >= 0."""
    return labels.ndim == 1 and labels.dtype.kind in "iu" and bool((labels >= 0).all())


def check_list(chosen: Sequence[int], most: int, where: str) -> None:
    """Raise `ParameterError` if there are too many targets, or one of them twice."""
    if len(chosen) > most:
        raise ParameterError(f"{where} has {len(chosen)} targets, but max_targets is {most}: {chosen}")
    if len(set(chosen)) < len(chosen):
        raise ParameterError(f"{where}: a target is there twice: {chosen}")


def as_targets(targets: Any, count: int, max_targets: int, *, has_labels: bool) -> Targets:
    """Check what a user gave for the targets of a data set of `count` samples."""
    expected = "expected 'label', 'prediction', a function, or one entry a sample"
    if callable(targets):
        return Targets(targets, max_targets)
    if isinstance(targets, str):
        if targets not in ("label", "prediction"):
            raise ParameterError(f"targets={targets!r}: {expected}")
        if targets == "label" and not has_labels:
            raise ParameterError("targets='label': the data has no labels; targets='prediction' needs none")
        return Targets(targets, max_targets)
    if not hasattr(targets, "__len__"):
        raise ParameterError(f"targets={targets!r}: {expected}")
    if len(targets) != count:
        raise ShapeError(f"targets: {len(targets)} entries for {count} samples")
    given = tuple(as_indices(chosen, f"targets[{k}]") for k, chosen in enumerate(targets))
    return Targets(given, max(max_targets, *map(len, given)))


def as_indices(value: Any, what: str) -> tuple[int, ...]:
    """Give one or several output neurons as a tuple."""
    several = isinstance(value, Iterable) and getattr(value, "ndim", 1) > 0
    values: Sequence[Any] = list(value) if several else [value]
    return tuple(as_integer(v if not hasattr(v, "item") else v.item(), what) for v in values)
