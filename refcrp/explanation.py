"""What an analyzer returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, Self

from refcrp.arrays import Array
from refcrp.conditions import Condition
from refcrp.errors import ParameterError, UnknownLayerError
from refcrp.ledger import Book, Ledger
from refcrp.model import Model
from refcrp.selection import Indices

__all__ = ["Explanation", "LayerValues", "Origin", "Question"]


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of an analyzer, with all choices made, so that it can be asked again.

    Attributes
    ----------
    selected : (n,) array of int
        The output neuron to explain.
    layers : tuple of int
        Whose activations and relevances to keep.
    normalize : bool
        Whether relevance starts as 1.
    batch_size : int, optional
        How many conditions go down together.
    conditions : tuple of mappings, optional
    features : (k, n) array of int, optional
        CRP: the channels; to be selected by the analyzer, if None.
    exclude_parallel : bool
        Whether conditions follow only the paths through their layers.
    """

    selected: Indices
    layers: tuple[int, ...]
    normalize: bool
    batch_size: int | None = None
    conditions: tuple[Condition, ...] | None = None
    features: Indices | None = None
    exclude_parallel: bool = False


class Analyzer(Protocol):
    """What gives explanations."""

    @property
    def model(self) -> Model: ...
    def answer(self, x: Array, question: Question, book: Book | None = None) -> Explanation: ...
    def astype(self, dtype: Any) -> Self: ...


@dataclass(frozen=True, eq=False)
class Origin:
    """Where an explanation is from: who gave it, and what had been asked."""

    analyzer: Analyzer
    question: Question


@dataclass(frozen=True, eq=False)
class LayerValues(Mapping[str, Array]):
    """Arrays of some layers, by name; looking up by index works as well."""

    model: Model
    values_by_name: Mapping[str, Array]

    def __getitem__(self, layer: str | int) -> Array:
        name = self.model.names[self.model.index(layer)]
        if name not in self.values_by_name:
            recorded = ", ".join(map(repr, self)) or "nothing"
            raise UnknownLayerError(
                f"layer {name!r} was not recorded (recorded: {recorded}); ask for it with record=[{name!r}]"
            )
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)


@dataclass(frozen=True, eq=False)
class Explanation:
    """Relevance of the input, and what was found on the way.

    With n samples and k conditions or features, results come condition-major:
    ``[condition1_sample1, condition1_sample2, ..., condition2_sample1, ...]``. Without any, read k as 1.

    Attributes
    ----------
    input : (n, ...) array
    relevance : (k n, ...) array
        Relevance of the input.
    output : (n, neurons) array
        What the model computed.
    selected : (n,) array of int, or a tuple of k arrays (n, m)
        The output neuron that was explained; under ``conditions=``, for each condition the m neurons.
    activations : mapping
        By layer name: the recorded layers' outputs, (n, ...).
    relevances : mapping
        By layer name: the relevance that arrived at the recorded layers' outputs, (k n, ...); at a
        conditioned layer, before it was masked. CRP: at the layer of the features and above, (n, ...).
    conditions : tuple of mappings, optional
        The conditions that were given.
    layer : str, optional
        CRP: the layer conditioned on.
    features : (k, n) array of int, optional
        CRP: the channels, one row a feature.
    feature_relevance : (k, n) array, optional
        CRP: their relevance, summed over space.
    layer_relevance : (n,) array, optional
        CRP: the relevance of all the layer's channels.
    origin : Origin, optional
        The analyzer and what it was asked.

    Examples
    --------
    >>> import refcrp as rc
    >>> x, labels = rc.load_digits()
    >>> rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())(x[:2], record="conv2")
    Explanation(relevance (2, 1, 28, 28) float32; output (2, 10); recorded conv2)
    """

    input: Array
    relevance: Array
    output: Array
    selected: Indices | tuple[Indices, ...]
    activations: LayerValues
    relevances: LayerValues
    conditions: tuple[Mapping[int | str, Sequence[int]], ...] | None = None
    layer: str | None = None
    features: Indices | None = None
    feature_relevance: Array | None = None
    layer_relevance: Array | None = None
    origin: Origin | None = field(default=None, repr=False)

    @cached_property
    def ledger(self) -> Ledger:
        """Where the relevance went, layer by layer; computed when first asked for, by explaining again.

        Raises
        ------
        ParameterError
            If the explanation was not made by an analyzer.
        """
        if self.origin is None:
            raise ParameterError("ledger: this explanation does not know which analyzer it is from")
        book = Book()
        self.origin.analyzer.answer(self.input, self.origin.question, book)
        return book.ledger(self.origin.analyzer.model.names)

    def __repr__(self) -> str:
        parts = [f"relevance {self.relevance.shape} {self.relevance.dtype}", f"output {self.output.shape}"]
        if self.features is not None:
            parts.append(f"{len(self.features)} features of {self.layer!r}")
        if self.conditions is not None:
            parts.append(f"{len(self.conditions)} conditions")
        if len(self.relevances):
            parts.append(f"recorded {', '.join(self.relevances)}")
        return f"Explanation({'; '.join(parts)})"
