"""One forward pass, and the way back through it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from refcrp.arrays import Array, as_relevance
from refcrp.conditions import Masks
from refcrp.errors import ParameterError
from refcrp.ledger import Book
from refcrp.model import INPUT, Model
from refcrp.pull import Pull

__all__ = ["Trace"]


@dataclass(frozen=True, eq=False)
class Trace:
    """What one forward pass computed: the output of every layer, and the way back through it.

    It can be pulled back any number of times, from several threads.
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
            What relevance is multiplied by at the outputs of some layers, by index.
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
        masks, recorded = masks or {}, {}
        for k in range(start, stop, -1):
            if k in record:
                recorded[k] = R
            R = self.step(k, R, masks, book)
        return R, recorded

    def step(self, k: int, R: Array, masks: Masks, book: Book | None) -> Array:
        """Carry relevance of the output of layer `k`, masked, to its input."""
        kept = R * masks[k].astype(R.dtype) if k in masks else R
        R_in = self.pulls[k](kept)
        if book is not None:
            book.enter(k, self.pulls[k], R, kept, R_in)
        return R_in

    def pull_batches(
        self,
        start: Callable[[slice], tuple[Array, Masks]],
        batches: Iterable[slice],
        at: int | str,
        record: Iterable[int] = (),
        book: Book | None = None,
    ) -> tuple[Array, dict[int, Array]]:
        """Carry relevance down from layer `at` to the input, some conditions at a time.

        `start` gives the relevance and the masks of a batch of conditions; the rest is as in `pull`.
        """
        results = []
        for batch in batches:
            R, masks = start(batch)
            results.append(self.pull(R, at, masks=masks, record=record, book=book))
        if len(results) == 1:
            return results[0]
        relevances, recorded = zip(*results, strict=True)
        layers = {k: np.concatenate([values[k] for values in recorded]) for k in recorded[0]}
        return np.concatenate(relevances), layers
