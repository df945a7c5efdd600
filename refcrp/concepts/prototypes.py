"""Prototypes: the typical ways in which a model decides for a class, and how far a decision is from them.

Concept relevance vectors of a class are modelled by a mixture of Gaussians; their means are the prototypes.

References
----------
Dreyer et al., Understanding the (Extra-)Ordinary: Validating Deep Model Decisions with Prototypical
Concept-based Explanations (PCX), arXiv 2311.16681, 2023.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from refcrp.arrays import Array, freeze
from refcrp.checks import as_integer, check_number
from refcrp.concepts.comparison import PrototypeComparison, as_floats, compare, distances
from refcrp.concepts.prototypes_picture import draw
from refcrp.concepts.vectors import ConceptVectors
from refcrp.errors import FeatureError, MissingDependencyError, ParameterError
from refcrp.lrp import LRP
from refcrp.selection import Indices

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from refcrp.concepts.references import ReferenceSamples

__all__ = ["Prototypes"]

MAX_ITERATIONS = 1000


@dataclass(frozen=True, eq=False)
class Prototypes:
    """A mixture of Gaussians for each class, p(ν) = Σ_i λ_i N(ν; μ_i, Σ_i); made by `fit`.

    Attributes
    ----------
    vectors : ConceptVectors
        What it was fitted to. A class is a target of these.
    mixtures : mapping of int to sklearn.mixture.GaussianMixture
        By class, as all mappings here.
    means : mapping of int to (k, concepts) array
        The prototypes μ_i.
    weights : mapping of int to (k,) array
        The weights λ_i in the mixture, which sum to 1.
    coverage : mapping of int to (k,) array
        Part of the vectors of the class that are nearest to each prototype.
    samples : mapping of int to (k,) array of int
        The sample of the class whose vector is nearest to each prototype, by its id in the data set.
    log_likelihood : mapping of int to (m,) array
        ln p of the vectors of the class, in ascending order.

    Notes
    -----
    Nearest is by Euclidean distance, the first one among equals, as in the authors' code.

    Examples
    --------
    With scikit-learn installed::

        import refcrp as rc

        vectors = rc.ConceptVectors("conv2", [[1.0, 0.0], [0.75, 0.25], [0.5, 0.5]], [0, 1, 2], [8, 8, 8])
        prototypes = rc.Prototypes.fit(vectors, per_class=1)
        prototypes.means[8]  # array([[0.75, 0.25]])
        prototypes.samples[8]  # array([1]), the nearest
    """

    vectors: ConceptVectors
    mixtures: Mapping[int, Any]
    means: Mapping[int, Array]
    weights: Mapping[int, Array]
    coverage: Mapping[int, Array]
    samples: Mapping[int, Indices]
    log_likelihood: Mapping[int, Array]

    @classmethod
    def fit(
        cls,
        vectors: ConceptVectors,
        per_class: int = 4,
        seed: int = 0,
        *,
        regularization: float = 1e-6,
    ) -> Prototypes:
        """Fit a mixture to the vectors of each class.

        Covariances are full matrices; the fit starts from k-means and is continued until it converges (the
        authors stop after 10 steps). The same seed gives the same prototypes on the same machine.

        Parameters
        ----------
        vectors : ConceptVectors
            Of one target at least; the authors leave out samples for which the model is wrong.
        per_class : int
            How many prototypes a class has.
        seed : int
        regularization : float
            Added to the diagonal of covariances. Of the order of squared vectors: for those with
            ``abs_norm=False`` choose another one.

        Raises
        ------
        MissingDependencyError
            If scikit-learn is not installed.
        ParameterError
            If a class has fewer vectors that differ than prototypes, or only one.

        Notes
        -----
        A covariance needs more vectors than there are concepts. With fewer it rests on `regularization`, and
        every explanation that was not fitted looks like an outlier.
        """
        if not isinstance(vectors, ConceptVectors):
            raise ParameterError(f"Prototypes.fit: expected concept vectors, got {vectors!r:.100}")
        per_class, seed = as_integer(per_class, "per_class", 1), as_integer(seed, "seed")
        check_number("regularization", regularization, 0)
        values = as_floats(vectors)
        classes = np.unique(vectors.targets).tolist()
        if not classes:
            raise ParameterError("Prototypes.fit: there are no vectors")
        for label in classes:
            check_enough(values[vectors.targets == label], per_class, label)
        mixture = gaussian_mixture()
        fitted = {
            label: mixture(
                per_class, reg_covar=regularization, max_iter=MAX_ITERATIONS, random_state=seed
            ).fit(values[vectors.targets == label])
            for label in classes
        }
        return cls.described(vectors, fitted)

    @classmethod
    def described(cls, vectors: ConceptVectors, mixtures: Mapping[int, Any]) -> Prototypes:
        """Say how the vectors of each class lie in its mixture."""
        values, coverage, samples, likelihood = as_floats(vectors), {}, {}, {}
        for label, mixture in mixtures.items():
            own = vectors.targets == label
            distance = distances(values[own], mixture.means_)
            nearest = np.bincount(distance.argmin(axis=1), minlength=len(mixture.means_))
            coverage[label] = freeze(nearest / own.sum())
            samples[label] = freeze(vectors.samples[own][distance.argmin(axis=0)])
            likelihood[label] = freeze(np.sort(mixture.score_samples(values[own])))
        return cls(
            vectors=vectors,
            mixtures=MappingProxyType(dict(mixtures)),
            means=MappingProxyType({label: freeze(m.means_) for label, m in mixtures.items()}),
            weights=MappingProxyType({label: freeze(m.weights_) for label, m in mixtures.items()}),
            coverage=MappingProxyType(coverage),
            samples=MappingProxyType(samples),
            log_likelihood=MappingProxyType(likelihood),
        )

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes, in ascending order."""
        return tuple(self.mixtures)

    def compare(self, vectors: ConceptVectors) -> PrototypeComparison:
        """Say how ordinary other explanations are, and in what they differ from their prototypes.

        Parameters
        ----------
        vectors : ConceptVectors
            Of the same layer and concepts, scored in the same way. Each is compared with the class of its
            target.

        Raises
        ------
        ParameterError, ShapeError
            If they are of another layer or have other concepts, or of a class that has no prototypes.
        """
        return compare(self, vectors)

    def draw(
        self,
        lrp: LRP,
        data: Any,
        target: int,
        path: str | PathLike[str] | None = None,
        *,
        refs: ReferenceSamples | None = None,
        concepts: int = 4,
        n: int = 5,
        **which: Any,
    ) -> Figure:
        """Draw the prototypes of a class, those with the largest coverage first.

        Each is shown by its nearest sample, its coverage, and its concepts with the largest absolute value.

        Parameters
        ----------
        lrp : LRP
        data : array, pair of arrays, or sequence of (image, label)
            What the vectors were computed from.
        target : int
            The class.
        path : path, optional
            Where to write the picture; the ending says in which format.
        refs : ReferenceSamples, optional
            Of the same data, of channels; shown beside each concept.
        concepts, n : int
            How many concepts of a prototype, and reference samples of a concept.
        **which
            As for `reference_tiles`: ``by``, ``over``, ``label``, ``crop``.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        FeatureError
            If the class has no prototypes, or there are fewer concepts.
        MissingDependencyError
            If matplotlib is not installed.
        """
        if target not in self.classes:
            raise FeatureError(f"class {target!r} has no prototypes; there are {self.classes}")
        return draw(self, lrp, data, target, path, refs, concepts, n, which)

    def __repr__(self) -> str:
        k = len(self.means[self.classes[0]])
        return f"Prototypes({self.vectors.layer!r}, {k} for each of the classes {self.classes})"


def check_enough(values: Array, per_class: int, label: int) -> None:
    """Raise `ParameterError` if there are too few vectors for so many prototypes."""
    different = len(np.unique(values, axis=0))
    if different < max(per_class, 2):
        raise ParameterError(
            f"class {label} has {len(values)} vectors, {different} of them different; {per_class} prototypes "
            f"need at least {max(per_class, 2)} that differ"
        )


def gaussian_mixture() -> Any:
    """Give scikit-learn's class of mixtures."""
    try:
        from sklearn.mixture import GaussianMixture  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise MissingDependencyError(
            "prototypes need scikit-learn: pip install 'refcrp[prototypes]'"
        ) from error
    return GaussianMixture
