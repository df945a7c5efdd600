"""One forward pass, and the way back through it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from refcrp.arrays import Array, as_relevance
from refcrp.checks import check_finite
from refcrp.conditions import Masks, Restriction
from refcrp.errors import ParameterError
from refcrp.layers import Layer
from refcrp.ledger import Book
from refcrp.model import INPUT, Model
from refcrp.pull import Pull

__all__ = ["Front", "Trace", "forward_only"]

Front = dict[int, Array]  # relevance on its way: what has arrived at the outputs of some layers


@dataclass(frozen=True, eq=False)
class Trace:
    """What one forward pass computed: the output of every layer, and the way back through it.

    It can be pulled back any number of times, from several threads.

    Examples
    --------
    >>> import refcrp as rc
    >>> lrp = rc.LRP(rc.Sequential([rc.layers.Dense([[1.0, -2.0]], [1.0])]))
    >>> trace = lrp.trace([[4.0, 1.0]])
    >>> R, recorded = trace.pull([[3.0]])
    >>> trace.output, R
    (array([[3.]]), array([[ 4., -2.]]))
    """

    model: Model
    input: Array
    pulls: tuple[Pull, ...]

    @property
    def output(self) -> Array:
        """The model's output."""
        return self.pulls[-1].output

    @property
    def outputs(self) -> list[Array]:
        """The outputs of all layers."""
        return [pull.output for pull in self.pulls]

    def pull(
        self,
        R: Array,
        at: int | str = -1,
        *,
        down_to: int | str | None = None,
        masks: Masks | None = None,
        record: Iterable[int] = (),
        book: Book | None = None,
    ) -> tuple[Array, dict[int, Array]]:
        """Carry relevance down, layer by layer.

        Parameters
        ----------
        R : array
            Relevance of a layer's output, (n, ...), or (k, n, ...) for k conditions at once.
        at : int or str
            Which layer's, by index or name; the last one's by default.
        down_to : int or str, optional
            The layer at whose output to stop; the model's input if None.
        masks : mapping, optional
            What relevance is multiplied by at the outputs of some layers, by index; or a function that gives
            what is left of it.
        record : indices, optional
            The layers whose relevance to keep.
        book : Book, optional
            Takes down what each layer received, lost and passed on.

        Returns
        -------
        relevance : array
            What arrives at the output of `down_to`, not masked.
        recorded : dict
            By index, what arrived at the outputs of the layers to `record`, before masks.
        """
        start, stop = self.model.index(at), INPUT if down_to is None else self.model.index(down_to)
        if stop > start:
            raise ParameterError(f"relevance flows down: cannot pull from layer {at!r} to {down_to!r}")
        R = as_relevance(R, self.pulls[start].output, f"relevance of layer {self.model.names[start]!r}")
        front, recorded = self.flow({start: R}, stop, masks=masks, record=record, book=book)
        if stop not in front:
            raise ParameterError(f"no relevance of layer {at!r} reaches layer {down_to!r}: there is no path")
        return front[stop], recorded

    def flow(
        self,
        front: Mapping[int, Array],
        stop: int = INPUT,
        *,
        masks: Masks | None = None,
        record: Iterable[int] = (),
        book: Book | None = None,
        alone: Mapping[int, Array] | None = None,
    ) -> tuple[Front, dict[int, Array]]:
        """Carry relevance down until it has arrived at layer `stop`, or at layers below it.

        Parameters
        ----------
        front : mapping
            Relevance that has arrived at the outputs of some layers, by index.
        masks, record, book
            As in `pull`.
        alone : mapping, optional
            For some layers, which conditions follow only the paths through them, (k, 1, ...): for these the
            rest of the front is dropped when the layer's turn comes.

        Returns
        -------
        front, recorded : dict
        """
        front, masks, alone = dict(front), masks or {}, alone or {}
        recorded: dict[int, Array] = {}
        for k in range(max(front), stop, -1):
            if k not in front:
                continue
            R = front.pop(k)
            if k in record:
                recorded[k] = R
            if k in alone:
                front = self.without(front, alone[k], k, book)
            for source, R_in in zip(self.model.nodes[k].sources, self.step(k, R, masks, book), strict=True):
                front[source] = front[source] + R_in if source in front else R_in
        return front, recorded

    def step(self, k: int, R: Array, masks: Masks, book: Book | None) -> tuple[Array, ...]:
        """Carry relevance of the output of layer `k`, masked, to its inputs."""
        kept = masked(R, masks[k]) if k in masks else R
        R_in = self.pulls[k].parts(kept)
        if book is not None:
            book.enter(k, self.pulls[k], R, kept, R_in)
        return R_in

    def without(self, front: Front, alone: Array, k: int, book: Book | None) -> Front:
        """Drop, for some conditions, what has come around layer `k`."""
        dropped = {
            source: R * alone.reshape(-1, *[1] * (R.ndim - 1)).astype(R.dtype) for source, R in front.items()
        }
        if book is not None:
            for source, R in dropped.items():
                book.mask(k, R, self.input if source == INPUT else self.pulls[source].output)
        return {source: R - dropped[source] for source, R in front.items()}

    def flow_batches(
        self,
        start: Callable[[slice], tuple[Mapping[int, Array], Masks, Mapping[int, Array]]],
        batches: Iterable[slice],
        record: Iterable[int] = (),
        book: Book | None = None,
    ) -> tuple[Array, dict[int, Array]]:
        """Carry relevance down to the input, some conditions at a time.

        `start` gives front, masks and `alone` of a batch of conditions, as in `flow`; the result is the
        relevance of the input, and what was recorded.
        """
        results = []
        for batch in batches:
            front, masks, alone = start(batch)
            front, recorded = self.flow(front, masks=masks, record=record, book=book, alone=alone)
            results.append((front[INPUT], recorded))
        if len(results) == 1:
            return results[0]
        relevances, recorded_parts = zip(*results, strict=True)
        layers = {k: np.concatenate([values[k] for values in recorded_parts]) for k in recorded_parts[0]}
        return np.concatenate(relevances), layers


def masked(R: Array, mask: Array | Restriction) -> Array:
    """Give what a condition leaves of the relevance R."""
    return mask(R) if callable(mask) else R * mask.astype(R.dtype)


def forward_only(layer: Layer, *inputs: Array) -> Pull:
    """Compute a layer's output, where no relevance will be pulled through it."""
    output = layer.apply(*inputs)
    check_finite(output, layer)

    def no_way_back(R_out: Array) -> Array:
        raise ParameterError(f"{layer!r}: this trace ends above it")

    return Pull(output, no_way_back)
