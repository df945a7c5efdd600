"""Explanations compared with the prototypes of their classes: how ordinary they are, and what differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import as_integer
from refcrp.concepts.vectors import ConceptVectors
from refcrp.errors import ArrayTypeError, FeatureError, ParameterError, ShapeError
from refcrp.selection import Indices

if TYPE_CHECKING:
    from refcrp.concepts.prototypes import Prototypes

__all__ = ["PrototypeComparison", "as_floats", "compare", "distances"]


@dataclass(frozen=True, eq=False)
class PrototypeComparison:
    """How explanations compare with the prototypes of their classes; a row for each of m vectors.

    Attributes
    ----------
    vectors : ConceptVectors
        What was compared.
    log_likelihood : (m,) array
        ln p under the mixture of the class.
    outlier : (m,) array
        Part of the fitted vectors of the class that are more likely: from 0 to 1, the most unlikely.
    prototype : (m,) array of int
        The prototype of the class that is nearest.
    difference : (m, concepts) array
        The vector less this prototype.
    classes : (c,) array of int
        All classes.
    class_log_likelihood : (m, c) array
        ln p under the mixture of each class.

    Examples
    --------
    With the prototypes of the example of `Prototypes`::

        comparison = prototypes.compare(rc.ConceptVectors("conv2", [[1.0, 0.0]], [7], [8]))
        comparison.over(1)  # (array([[0]]), array([[0.25]])): concept 0, by a quarter
        comparison.under(1)  # (array([[1]]), array([[-0.25]]))
    """

    vectors: ConceptVectors
    log_likelihood: Array
    outlier: Array
    prototype: Indices
    difference: Array
    classes: Indices
    class_log_likelihood: Array

    @property
    def best_class(self) -> Indices:
        """The class under whose mixture each vector is most likely; the lower one among equals."""
        return np.asarray(self.classes[self.class_log_likelihood.argmax(axis=1)])

    def over(self, k: int = 3) -> tuple[Indices, Array]:
        """Give the k concepts that are used most in excess of the prototype, and by how much, both (m, k).

        Where fewer than k are, the difference is negative. Among equals the lower number comes first.
        """
        return ranked(self.difference, k)

    def under(self, k: int = 3) -> tuple[Indices, Array]:
        """Give the k concepts that fall most short of the prototype, and by how much, both (m, k); as `over`.

        The differences are negative, but where fewer than k fall short.
        """
        concepts, shortfall = ranked(-self.difference, k)
        return concepts, -shortfall


def ranked(values: Array, k: int) -> tuple[Indices, Array]:
    """Give the k largest of each row, descending: their places and themselves."""
    if as_integer(k, "k", 1) > values.shape[1]:
        raise FeatureError(f"k={k}: there are only {values.shape[1]} concepts")
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(values, order, axis=1)


def distances(values: Array, means: Array) -> Array:
    """Give the Euclidean distance of each vector (m, concepts) to each mean (k, concepts): (m, k)."""
    return np.stack([np.linalg.norm(values - mean, axis=1) for mean in means], axis=1)


def as_floats(vectors: ConceptVectors) -> Array:
    """Give vectors in the type in which mixtures are fitted."""
    if vectors.vectors.dtype == object:
        raise ArrayTypeError("prototypes are estimated in floats; give vectors that are no exact fractions")
    return vectors.vectors.astype(np.float64)


def compare(prototypes: Prototypes, vectors: ConceptVectors) -> PrototypeComparison:
    """Compare vectors with prototypes; as `Prototypes.compare`."""
    check_comparable(prototypes, vectors)
    values, targets = as_floats(vectors), vectors.targets
    likelihoods = np.stack([m.score_samples(values) for m in prototypes.mixtures.values()], axis=1)
    place = np.searchsorted(prototypes.classes, targets)
    own = np.take_along_axis(likelihoods, place[:, None], axis=1)[:, 0]
    prototype = np.empty(len(values), dtype=np.intp)
    outlier, difference = np.empty(len(values)), np.empty(values.shape)
    for label in np.unique(targets).tolist():
        rows = targets == label
        prototype[rows] = nearest = distances(values[rows], prototypes.means[label]).argmin(axis=1)
        difference[rows] = values[rows] - prototypes.means[label][nearest]
        seen = prototypes.log_likelihood[label]
        outlier[rows] = 1 - np.searchsorted(seen, own[rows], side="right") / len(seen)
    return PrototypeComparison(
        vectors=vectors,
        log_likelihood=own,
        outlier=outlier,
        prototype=prototype,
        difference=difference,
        classes=np.array(prototypes.classes),
        class_log_likelihood=likelihoods,
    )


def check_comparable(prototypes: Prototypes, vectors: ConceptVectors) -> None:
    """Raise unless these vectors can be compared with the prototypes."""
    if not isinstance(vectors, ConceptVectors):
        raise ParameterError(f"compare: expected concept vectors, got {vectors!r:.100}")
    if not len(vectors):
        raise ShapeError("compare: there are no vectors")
    if vectors.layer != prototypes.vectors.layer:
        raise ParameterError(
            f"compare: vectors of layer {vectors.layer!r}, prototypes of {prototypes.vectors.layer!r}"
        )
    if vectors.vectors.shape[1] != prototypes.vectors.vectors.shape[1]:
        raise ShapeError(
            f"compare: vectors of {vectors.vectors.shape[1]} concepts, "
            f"prototypes of {prototypes.vectors.vectors.shape[1]}"
        )
    unknown = vectors.targets[~np.isin(vectors.targets, prototypes.classes)]
    if unknown.size:
        raise ParameterError(f"compare: class {unknown[0]} has no prototypes; there are {prototypes.classes}")
