"""Concept relevance vectors: how much each concept of a layer counts in the explanation of a sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refcrp.arrays import Array, as_array, freeze, unchecked_array
from refcrp.batches import with_progress
from refcrp.checks import as_flag, as_integer, check_finite
from refcrp.concept import ChannelConcept, Concept
from refcrp.concepts.sources import LoadedBatch, as_data
from refcrp.concepts.targets import NONE, Targets, as_targets
from refcrp.errors import ParameterError, ShapeError
from refcrp.lrp import LRP, analysis
from refcrp.selection import Indices

__all__ = ["ConceptVectors", "concept_vectors"]


@dataclass(frozen=True, eq=False)
class ConceptVectors:
    """Relevance of each concept of a layer, one row for each sample and target.

    Parameters
    ----------
    layer : str
    vectors : (m, concepts) array
    samples : (m,) array of int
        The ids of the samples in their data set.
    targets : (m,) array of int
        The output neuron for which each was explained.

    Raises
    ------
    ShapeError, NonFiniteError, ParameterError
        If these are no such arrays.

    Examples
    --------
    >>> import refcrp as rc
    >>> v = rc.ConceptVectors("conv2", [[0.75, 0.25], [0.5, -0.5]], samples=[0, 7], targets=[3, 5])
    >>> v.take(v.targets == 5).vectors
    array([[ 0.5, -0.5]])
    """

    layer: str
    vectors: Array
    samples: Indices
    targets: Indices

    def __post_init__(self) -> None:
        vectors = as_array(self.vectors, "ConceptVectors: vectors")
        if vectors.ndim != 2 or not vectors.shape[1]:
            raise ShapeError(f"ConceptVectors: vectors of shape {vectors.shape}, expected (m, concepts)")
        object.__setattr__(self, "vectors", freeze(vectors))
        for name in ("samples", "targets"):
            numbers = unchecked_array(getattr(self, name), f"ConceptVectors: {name}")
            if numbers.shape != vectors.shape[:1]:
                raise ShapeError(
                    f"ConceptVectors: {name} of shape {numbers.shape}, expected {vectors.shape[:1]}"
                )
            if numbers.dtype.kind not in "iu" or (numbers < 0).any():
                raise ParameterError(f"ConceptVectors: {name} must be integers >= 0, got {numbers!r:.100}")
            object.__setattr__(self, name, freeze(numbers.astype(np.intp)))

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, rows: Any) -> ConceptVectors:
        """Give some rows, by an array of indices or of bool: those of one class, say."""
        rows = np.asarray(rows)
        return ConceptVectors(self.layer, self.vectors[rows], self.samples[rows], self.targets[rows])

    def __repr__(self) -> str:
        m, concepts = self.vectors.shape
        return f"ConceptVectors({self.layer!r}, {m} vectors of {concepts} concepts)"


def concept_vectors(
    lrp: LRP,
    data: Any,
    layer: int | str,
    targets: str | Callable[..., Any] | Sequence[Any] = "label",
    *,
    abs_norm: bool = True,
    batch_size: int = 64,
    max_targets: int = 1,
    concept: Concept | None = None,
) -> ConceptVectors:
    """Explain all samples of a data set, and sum up the relevance of each concept.

    Parameters
    ----------
    lrp : LRP
    data : array, pair of arrays, path, or sequence of (image, label)
        As for `ReferenceSamples.collect`.
    layer : int or str
        By index or name.
    targets : "label", "prediction", callable, or sequence
        For which output neurons to explain each sample, as for `ReferenceSamples.collect`.
    abs_norm : bool
        Divide each vector by the sum of its absolute values, plus 1e-10.
    batch_size : int
        How many samples at a time.
    max_targets : int
        How many targets a sample has at most.
    concept : Concept, optional
        What a concept is; a channel by default.

    Returns
    -------
    ConceptVectors
        In the order of samples, then of their targets.

    Raises
    ------
    UnknownLayerError, FeatureError
        If there is no such layer or output neuron.

    Examples
    --------
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())
    >>> vectors = rc.concept_vectors(lrp, (x, labels), "conv2")
    >>> vectors
    ConceptVectors('conv2', 100 vectors of 16 concepts)
    >>> vectors.vectors[:3].argmax(axis=1)  # the concepts that count most in three zeros
    array([11, 11, 11])
    """
    if not isinstance(lrp, LRP):
        raise ParameterError(f"concept_vectors: lrp must be an LRP analyzer, got {lrp!r}")
    source, k = as_data(data), lrp.model.index(layer)
    has_labels = source.read(np.arange(1)).labels is not None
    chosen = as_targets(
        targets, len(source), as_integer(max_targets, "max_targets", 1), has_labels=has_labels
    )
    concept = ChannelConcept() if concept is None else concept
    if not isinstance(concept, Concept):
        raise ParameterError(f"concept must be a Concept, got {concept!r}")
    abs_norm, size = as_flag("abs_norm", abs_norm), as_integer(batch_size, "batch_size", 1)
    parts = []
    for start in with_progress(list(range(0, len(source), size)), "concept vectors"):
        batch = source.read(np.arange(start, min(start + size, len(source))))
        parts.append(vectors_of(lrp, batch, k, chosen, concept, abs_norm))
    vectors, samples, neurons = (np.concatenate(part) for part in zip(*parts, strict=True))
    return ConceptVectors(lrp.model.names[k], vectors, samples, neurons)


@analysis
def vectors_of(
    lrp: LRP, batch: LoadedBatch, k: int, targets: Targets, concept: Concept, abs_norm: bool
) -> tuple[Array, Indices, Indices]:
    """Give the vectors of a batch, (m, concepts), and for each its sample and target, (m,)."""
    trace = lrp.trace(batch.images)
    lrp.select(trace, None)  # raises if the output has no neurons
    neurons = targets.of(batch, trace.output)
    # A sample with fewer targets than others is explained for the first neuron too often, and this left out.
    seed = lrp.seed(trace, [n[:, None] for n in np.maximum(neurons, 0).T], lrp.starts_at_one(None))
    R, _ = trace.pull(seed, down_to=k)
    check_finite(R, "relevance (a denominator is too small for this element type)")
    if R.dtype.kind == "f":
        R = R.astype(np.result_type(R, np.float64), copy=False)
    scores = np.stack([concept.scores(R_t, abs_norm=abs_norm) for R_t in R], axis=1)  # (n, most, concepts)
    rows, columns = np.nonzero(neurons != NONE)
    return scores[rows, columns], np.asarray(batch.ids)[rows], neurons[rows, columns]
