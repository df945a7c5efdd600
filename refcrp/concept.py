"""What a concept is: a part of the relevance at a layer's output, and one score for it.

Achtibat et al. 2023 take a channel for a concept; a neuron, a direction in the space of channels, or anything
else that a part of the relevance can be said to belong to, may stand in its place.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np

from refcrp.arrays import Array, as_array, freeze
from refcrp.errors import ArrayTypeError, ParameterError, ShapeError
from refcrp.selection import Indices

__all__ = ["ChannelConcept", "Concept", "NeuronConcept", "SubspaceConcept"]

Over = Literal["sum", "max"]
ABS_NORM_STABILIZER = 1e-10  # as in zennit-crp


class Concept(ABC):
    """How a layer's output (n, channels, ...) is divided into concepts, numbered from 0.

    One of your own says what each concept has at each position, and what of the relevance goes through it.

    Examples
    --------
    Where a picture is relevant, whatever the channel: its rows as concepts.

    >>> import numpy as np
    >>> import refcrp as rc
    >>> class RowConcept(rc.Concept):
    ...     def per_position(self, values):
    ...         return values.sum(axis=1)
    ...     def restrict(self, R, concepts):
    ...         own = concepts[:, :, None] == np.arange(R.shape[2])
    ...         return R * own[:, :, None, :, None]
    >>> RowConcept().scores(np.array([[[[1.0, 2.0], [3.0, -1.0]]]]))
    array([[3., 2.]])
    """

    @abstractmethod
    def per_position(self, values: Array) -> Array:
        """Give what each concept has at each position: (n, channels, ...) to (n, concepts, positions).

        Positions are numbered row by row; a vector has one.
        """

    @abstractmethod
    def restrict(self, R: Array, concepts: Indices) -> Array:
        """Give what of R (n, channels, ...) goes through concepts (k, n): (k, n, channels, ...)."""

    def scores(self, values: Array, *, over: Over = "sum", abs_norm: bool = False) -> Array:
        """Give each concept one number: (n, channels, ...) to (n, concepts).

        Parameters
        ----------
        values : (n, channels, ...) array
            Relevance or activation of the layer's output.
        over : "sum" or "max"
            Sum over positions, with sign; or the largest one.
        abs_norm : bool
            Then divide by the sum of absolute scores of the sample's concepts, plus 1e-10.
        """
        if over not in ("sum", "max"):
            raise ParameterError(f"over={over!r}: expected 'sum' or 'max'")
        parts = self.per_position(with_channels(values))
        scores = parts.sum(axis=2) if over == "sum" else parts.max(axis=2)
        if abs_norm:
            scores = scores / (np.abs(scores).sum(axis=1, keepdims=True) + ABS_NORM_STABILIZER)
        return np.asarray(scores)

    def positions(self, values: Array) -> Indices:
        """Give the position of each concept's strongest neuron, (n, concepts); the first one on ties."""
        return np.asarray(self.per_position(with_channels(values)).argmax(axis=2), dtype=np.intp)


@dataclass(frozen=True)
class ChannelConcept(Concept):
    """Each channel is a concept.

    Examples
    --------
    One sample, two channels, two pixels.

    >>> import numpy as np
    >>> import refcrp as rc
    >>> R = np.array([[[[1.0, 2.0]], [[3.0, -1.0]]]])
    >>> rc.ChannelConcept().scores(R)
    array([[3., 2.]])
    >>> rc.ChannelConcept().restrict(R, np.array([[1]])).tolist()
    [[[[[0.0, 0.0]], [[3.0, -1.0]]]]]
    """

    def per_position(self, values: Array) -> Array:
        """Give the channels."""
        return flat(values)

    def restrict(self, R: Array, concepts: Indices) -> Array:
        """Keep the channel, and drop the others."""
        return keep(R, concepts, R.shape[1])


@dataclass(frozen=True)
class NeuronConcept(Concept):
    """Each neuron is a concept: number channel · positions + position.

    Examples
    --------
    >>> import numpy as np
    >>> import refcrp as rc
    >>> R = np.array([[[[1.0, 2.0]], [[3.0, -1.0]]]])
    >>> rc.NeuronConcept().scores(R)
    array([[ 1.,  2.,  3., -1.]])
    >>> rc.NeuronConcept.index(channel=1, position=0, positions=2)
    2
    """

    def per_position(self, values: Array) -> Array:
        """Give the neurons, each at its one position."""
        return values.reshape(len(values), math.prod(values.shape[1:]), 1)

    def positions(self, values: Array) -> Indices:
        """Give the position that is part of the neuron's number."""
        channels, positions = with_channels(values).shape[1], math.prod(values.shape[2:])
        return np.tile(np.arange(channels * positions, dtype=np.intp) % positions, (len(values), 1))

    def restrict(self, R: Array, concepts: Indices) -> Array:
        """Keep the neuron, and drop the others."""
        return keep(R, concepts, math.prod(R.shape[1:]))

    @staticmethod
    def index(channel: int, position: int, positions: int) -> int:
        """Give the number of a neuron from its channel and its position among `positions`."""
        return channel * positions + position


@dataclass(frozen=True, eq=False)
class SubspaceConcept(Concept):
    """Each concept is a subspace of the channels: relevance is projected on it, at every position.

    The projection is orthogonal. A channel is the subspace of one unit vector; subspaces that are orthogonal
    and fill the space share the relevance without rest, as channels do.

    Parameters
    ----------
    vectors : (concepts, channels) or (concepts, d, channels) array
        One vector for each concept, or d that span its subspace.

    Raises
    ------
    ParameterError
        If the vectors of a subspace are linearly dependent.

    Examples
    --------
    What goes through the diagonal between two channels is, in each, their mean.

    >>> import numpy as np
    >>> import refcrp as rc
    >>> diagonal = rc.SubspaceConcept([[1.0, 1.0]])
    >>> diagonal.restrict(np.array([[1.0, 3.0]]), np.array([[0]])).round(6)
    array([[[2., 2.]]])
    """

    vectors: Array

    def __post_init__(self) -> None:
        vectors = as_array(self.vectors, "SubspaceConcept: vectors")
        if vectors.dtype == object:
            raise ArrayTypeError("SubspaceConcept: a projection has square roots, and so no exact value")
        if vectors.ndim == 2:
            vectors = vectors[:, None]
        if vectors.ndim != 3 or not vectors.size:
            raise ShapeError(
                f"SubspaceConcept: vectors of shape {vectors.shape}, expected (concepts, channels) "
                "or (concepts, d, channels)"
            )
        for k, spanning in enumerate(vectors):
            if np.linalg.matrix_rank(spanning) < len(spanning):
                raise ParameterError(f"SubspaceConcept: the vectors of concept {k} are linearly dependent")
        object.__setattr__(self, "vectors", freeze(vectors))

    def bases(self, values: Array) -> Array:
        """Give an orthonormal basis of each subspace, (concepts, channels, d)."""
        if values.shape[1] != self.vectors.shape[2]:
            raise ShapeError(
                f"SubspaceConcept: vectors of {self.vectors.shape[2]} channels, "
                f"the layer has {values.shape[1]}"
            )
        return np.linalg.qr(np.moveaxis(self.vectors, 1, 2)).Q.astype(values.dtype)

    def per_position(self, values: Array) -> Array:
        """Sum the projection over channels: what of the relevance goes through the subspace."""
        Q = self.bases(values)
        coordinates = np.einsum("kcd,ncp->nkdp", Q, flat(values))
        return np.asarray(np.einsum("kd,nkdp->nkp", Q.sum(axis=1), coordinates))

    def restrict(self, R: Array, concepts: Indices) -> Array:
        """Project on the subspace: Q Qᵀ R."""
        Q = self.bases(R)[concepts]
        coordinates = np.einsum("kncd,ncp->kndp", Q, flat(R))
        projected = np.einsum("kncd,kndp->kncp", Q, coordinates)
        return np.asarray(projected).reshape(*concepts.shape, *R.shape[1:])


def keep(R: Array, concepts: Indices, parts: int) -> Array:
    """Keep one of so many equal parts of each sample's relevance, and set the others to zero."""
    own = concepts[:, :, None] == np.arange(parts)
    divided = R.reshape(len(R), parts, math.prod(R.shape[1:]) // parts)
    return np.asarray(divided * own[..., None].astype(R.dtype)).reshape(*concepts.shape, *R.shape[1:])


def flat(values: Array) -> Array:
    """Number positions row by row: (n, channels, ...) to (n, channels, positions)."""
    return values.reshape(*values.shape[:2], math.prod(values.shape[2:]))


def with_channels(values: Array) -> Array:
    """Raise `ShapeError` unless there are channels."""
    if values.ndim < 2:
        raise ShapeError(
            f"the layer's output has no channels: shape {values.shape}, expected (batch, channels, ...)"
        )
    return values
