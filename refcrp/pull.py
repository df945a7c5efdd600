"""A layer seen from one input: how relevance comes back through it, and what becomes of the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from refcrp.arrays import Array

__all__ = ["Losses", "Pull", "no_losses", "per_sample"]


class Losses(NamedTuple):
    """Relevance that arrives at a layer's output and does not leave at its input, each (..., n).

    Attributes
    ----------
    bias
        Given to biases, which take their part of a denominator and have no input to hand it to.
    stabilizer
        Given to what `Rule.stabilize` adds to denominators.
    dropped
        Not divided at all: empty windows of max pooling, outputs that no share of a rule covers.
    """

    bias: Array
    stabilizer: Array
    dropped: Array


def per_sample(R: Array, output: Array) -> Array:
    """Sum relevance (..., n, *shape) of an output (n, *shape) to (..., n), in float64 or better."""
    axes = tuple(range(R.ndim - output.ndim + 1, R.ndim))
    dtype = None if R.dtype == object else np.result_type(R.dtype, np.float64)
    return np.asarray(np.add.reduce(R, axis=axes, dtype=dtype) if axes else R)


def no_losses(R_out: Array, output: Array) -> Losses:
    """Account for a layer that passes on all it gets."""
    nothing = 0 * per_sample(R_out, output)
    return Losses(nothing, nothing, nothing)


@dataclass(frozen=True, eq=False)
class Pull:
    """A layer seen from one input: its output, and how relevance comes back through it.

    Calling it with the relevance of the output, of the output's shape or with one more axis of conditions in
    front, gives the relevance of the input. It may be called any number of times, from any thread.
    """

    output: Array
    function: Callable[[Array], Array | tuple[Array, ...]]
    lost: Callable[[Array], Losses] | None = None

    def __call__(self, R_out: Array) -> Any:
        """Give the relevance of the input; of several, one for each."""
        return self.function(R_out)

    def parts(self, R_out: Array) -> tuple[Array, ...]:
        """Give the relevance of each input."""
        R_in = self.function(R_out)
        return R_in if isinstance(R_in, tuple) else (R_in,)

    def losses(self, R_out: Array) -> Losses:
        """Say what becomes of relevance of the output that does not reach the input."""
        return no_losses(R_out, self.output) if self.lost is None else self.lost(R_out)
