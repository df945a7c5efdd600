"""What one sample contributes: for each concept its score by relevance and by activation, and where.

A product of matrices may differ in the last bits with the number of its rows. So that a sample's scores are
the same bits however the data set is cut, samples are explained in chunks of a fixed size, sample i always in
row i mod size; the rows of samples that are not asked for hold copies, which nobody reads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import check_finite, check_shape
from refcrp.concept import Concept
from refcrp.concepts.sources import Batch, LoadedBatch
from refcrp.concepts.tables import KINDS, empty_entries, entries_of
from refcrp.concepts.targets import NONE, Targets
from refcrp.concepts.threads import blas_on_one_thread
from refcrp.lrp import LRP, analysis
from refcrp.model import Model
from refcrp.selection import Indices
from refcrp.trace import Trace

__all__ = ["Scorer", "Scores", "chunk_size"]

CHUNK_MEMORY = 2**28  # bytes for the outputs of all layers
LARGEST_CHUNK = 128


@dataclass(frozen=True, eq=False)
class Scores:
    """What a batch of samples contributes.

    Attributes
    ----------
    ids : (m,) array of int
    targets : (m, most) array of int
        For what each sample was explained, as `Targets.of` gives it.
    entries : tuple of (q, kinds, concepts) arrays of `ENTRY`
        For each layer, one row for each sample and target, the kinds as in `KINDS`.
    threads : str
        What `blas_on_one_thread` could say where this was computed.
    """

    ids: Indices
    targets: Array
    entries: tuple[Array, ...]
    threads: str


@dataclass(frozen=True, eq=False)
class Scorer:
    """Explains samples and scores the concepts of some layers.

    Parameters
    ----------
    lrp : LRP
    layers : tuple of int
    concepts : tuple of Concept
        One for each layer.
    targets : Targets
    abs_norm : bool
    per_class : bool
        Whether tables have one group for each output neuron; if not, a sample's activation counts once,
        with its lowest target.
    chunk : int
        How many samples are explained together.
    """

    lrp: LRP
    layers: tuple[int, ...]
    concepts: tuple[Concept, ...]
    targets: Targets
    abs_norm: bool
    per_class: bool
    chunk: int

    @property
    def threads(self) -> int | None:
        """How many threads the kernels may use, as the LRP analyzer has it."""
        return self.lrp.threads

    @analysis
    def __call__(self, batch: Batch) -> Scores:
        """Load a batch and score it."""
        loaded = batch.load()
        number = loaded.ids // self.chunk
        with blas_on_one_thread() as threads:
            parts = [self.score_chunk(part(loaded, number == k)) for k in np.unique(number)]
        return Scores(
            loaded.ids,
            np.concatenate([targets for targets, _ in parts]),
            tuple(np.concatenate(entries) for entries in zip(*(e for _, e in parts), strict=True)),
            threads,
        )

    def score_chunk(self, batch: LoadedBatch) -> tuple[Array, list[Array]]:
        """Score samples of one chunk: gives their targets, and the entries for each layer."""
        at = batch.ids % self.chunk
        images = np.repeat(batch.images[:1], self.chunk, axis=0)
        images[at] = batch.images
        trace = self.lrp.trace(images, down_to=min(self.layers))
        targets = self.targets.of(batch, trace.output[at])

        activations = [
            self.score(k, "activation", trace.pulls[layer].output, at) for k, layer in enumerate(self.layers)
        ]
        entries = [[empty_entries(0, len(KINDS), score.shape[-1])] for score, _ in activations]
        first = np.where(targets == NONE, targets.max(), targets).min(axis=1)
        for column in targets.T:
            asked = column != NONE
            if not asked.any():
                continue
            ids, target = batch.ids[asked], column[asked]
            relevances = self.relevances(trace, at[asked], target)
            for k, layer in enumerate(self.layers):
                both = zip(
                    self.score(k, "relevance", relevances[layer], at[asked]),
                    [values[asked] for values in activations[k]],
                    strict=True,
                )
                score, position = (np.concatenate(values, axis=1) for values in both)
                new = entries_of(score, ids[:, None, None], target[:, None, None], position)
                if not self.per_class:
                    new[target != first[asked], 2:] = empty_entries()  # the activation has been counted
                entries[k].append(new)
        return targets, [np.concatenate(parts) for parts in entries]

    def relevances(self, trace: Trace, at: Indices, targets: Array) -> dict[int, Array]:
        """Explain the rows `at` of a chunk for their targets: the relevance of each layer's output."""
        neurons = np.zeros((self.chunk, 1), dtype=np.intp)
        neurons[at, 0] = targets
        seed = self.lrp.seed(trace, [neurons], self.lrp.starts_at_one(None))[0]
        lowest = min(self.layers)
        R, recorded = trace.pull(seed, down_to=lowest, record=self.layers)
        return recorded | {lowest: R}

    def score(self, k: int, by: str, values: Array, at: Indices) -> tuple[Array, Array]:
        """Score the concepts of the k-th layer in the rows `at`: scores and positions (m, 2, concepts)."""
        concept = self.concepts[k]
        what = f"layer {self.lrp.model.names[self.layers[k]]!r}: {by}"
        check_finite(values[at], what)
        over = [over for kind, over in KINDS if kind == by]
        scores = [np.asarray(concept.scores(values, over=o, abs_norm=self.abs_norm)) for o in over]  # type: ignore[arg-type]
        positions = np.asarray(concept.positions(values))
        for array in (*scores, positions):
            check_shape(array.shape, (len(values), scores[0].shape[-1]), f"{what}: {concept!r} gave scores")
        score = np.stack([s[at].astype(np.float64) for s in scores], axis=1)
        check_finite(score, f"{what}: scores of {concept!r}")
        return score, np.repeat(positions[at][:, None], len(over), axis=1)


def part(batch: LoadedBatch, chosen: Array) -> LoadedBatch:
    """Give the `chosen` samples of a batch, (m,) of bool."""
    labels = batch.labels
    if isinstance(labels, np.ndarray):
        labels = labels[chosen]
    elif labels is not None:
        labels = [label for label, is_chosen in zip(labels, chosen, strict=True) if is_chosen]
    return LoadedBatch(batch.ids[chosen], batch.images[chosen], labels)


def chunk_size(model: Model, shape: Sequence[int]) -> int:
    """Choose how many samples are explained together, from the model and the shape of a sample alone."""
    values = math.prod(shape) + sum(math.prod(n or 1 for n in s) for s in model.shapes_for(tuple(shape)))
    itemsize = 8 if model.dtype is None else model.dtype.itemsize
    room = max(1, CHUNK_MEMORY // (values * itemsize))
    return min(LARGEST_CHUNK, 1 << (room.bit_length() - 1))
