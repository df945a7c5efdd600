"""Concept Relevance Propagation: relevance that flows through single features of a layer.

Where LRP asks which inputs speak for an output, CRP asks which inputs speak for it *through one channel* of a
layer: relevance is propagated down to that layer, all of it but the channel's is set to zero, and what is
left goes on down. The maps of all channels of a layer add up to the map of LRP.

References
----------
Achtibat et al., From attribution maps to human-understandable explanations through Concept Relevance
Propagation, Nature Machine Intelligence 5, 2023, section
"Concept relevance propagation" of the methods.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from refcrp.arrays import Array
from refcrp.batches import condition_batches
from refcrp.concept import ChannelConcept, Concept
from refcrp.errors import ParameterError
from refcrp.explanation import Explanation, Origin, Question
from refcrp.ledger import Book
from refcrp.lrp import LRP, analysis, layer_indices, merged
from refcrp.model import Model
from refcrp.selection import FeatureSelector, OutputSelector
from refcrp.trace import Trace

__all__ = ["CRP"]


@dataclass(frozen=True, eq=False)
class CRP:
    """Concept Relevance Propagation.

    Parameters
    ----------
    lrp : LRP
    layer : int or str
        The layer, by index or name, whose output channels are the features.
    features : FeatureSelector
        `TopNFeatures`, `IndexedFeatures` or `GivenFeatures`.
    concept : Concept
        What a feature is: a channel by default.

    Raises
    ------
    UnknownLayerError
        If the model has no such layer.

    Examples
    --------
    >>> import refcrp as rc
    >>> model = rc.load_model("lenet5")
    >>> x, labels = rc.load_digits()
    >>> e = rc.CRP(rc.LRP(model, rc.EpsilonPlus()), "conv2", rc.TopNFeatures(3))(x[:2])
    >>> e.relevance.shape, e.features.tolist()
    ((6, 1, 28, 28), [[11, 11], [3, 3], [9, 8]])
    """

    lrp: LRP
    layer: int | str
    features: FeatureSelector
    concept: Concept = ChannelConcept()  # noqa: RUF009 - immutable
    index: int = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.lrp, LRP):
            raise ParameterError(f"CRP: lrp must be an LRP analyzer, got {self.lrp!r}")
        if not isinstance(self.features, FeatureSelector):
            raise ParameterError(
                f"CRP: features must be TopNFeatures or IndexedFeatures, got {self.features!r}"
            )
        if not isinstance(self.concept, Concept):
            raise ParameterError(f"CRP: concept must be a Concept, got {self.concept!r}")
        object.__setattr__(self, "index", self.lrp.model.index(self.layer))

    @analysis
    def __call__(
        self,
        x: Array,
        output: int | Iterable[int] | OutputSelector | None = None,
        *,
        record: Iterable[int | str] | int | str = (),
        normalize_output_relevance: bool | None = None,
        batch_size: int | None = None,
    ) -> Explanation:
        """Explain the model's output through each selected feature.

        One forward pass and one pass down to the layer serve all features; below it they go down together.

        Parameters
        ----------
        x : (n, ...) array
        output, record, normalize_output_relevance
            As for `LRP`. Relevances recorded at or above the layer are (n, ...), below it (k n, ...).
        batch_size : int, optional
            How many features go down together; as many as memory is meant for, if None.

        Returns
        -------
        Explanation
            Feature-major, with the k ``features`` of each sample, their ``feature_relevance``, and the
            ``layer_relevance`` that all channels of the layer share.

        Raises
        ------
        FeatureError
            If the layer has no such channel, or the model no such output.
        """
        lrp = self.lrp
        layers = layer_indices(lrp.model, record)
        trace = lrp.trace(x)
        selected = lrp.select(trace, output)
        normalize = lrp.starts_at_one(normalize_output_relevance)
        return self.explain(trace, Question(selected, layers, normalize, batch_size))

    @analysis
    def answer(self, x: Array, question: Question, book: Book | None = None) -> Explanation:
        """Explain what was asked before, perhaps in another type; `book` takes down the ledger."""
        return self.explain(self.lrp.trace(x), question, book)

    def explain(self, trace: Trace, question: Question, book: Book | None = None) -> Explanation:
        """Pull relevance back through `trace`, down to the layer once, and from there for each feature."""
        lrp, layer, layers = self.lrp, self.index, question.layers

        # R: the relevance of the whole layer, once for all features.
        seed = lrp.seed(trace, [question.selected[:, None]], question.normalize)
        R, above = trace.pull(seed[0], down_to=layer, record=layers, book=book)
        R_concepts = self.concept.scores(R)
        name = lrp.model.names[layer]
        features = question.features
        if features is None:
            features = self.features.select(R_concepts, f"layer {name!r}")
        if book is not None:
            book.spread(np.zeros(len(features), dtype=np.intp))

        # Each feature keeps the relevance that is its own, and all go down together.
        R_in, below = trace.flow_batches(
            lambda batch: (
                {layer: R[None]},
                {layer: lambda R: self.concept.restrict(R[0], features[batch])},
                {},
            ),
            condition_batches(len(features), trace.outputs[: layer + 1], question.batch_size),
            record=layers,
            book=book,
        )
        recorded = {k: merged(R_k) for k, R_k in below.items()} | above | {layer: R}
        return Explanation(
            input=trace.input,
            relevance=merged(R_in),
            output=trace.output,
            selected=question.selected,
            activations=lrp.by_name({k: trace.pulls[k].output for k in layers}),
            relevances=lrp.by_name({k: recorded[k] for k in layers}),
            layer=name,
            features=features,
            feature_relevance=R_concepts.T[features, range(len(R))],
            layer_relevance=R.sum(axis=tuple(range(1, R.ndim))),
            origin=Origin(self, replace(question, features=features)),
        )

    @property
    def model(self) -> Model:
        """The model that is explained."""
        return self.lrp.model

    def astype(self, dtype: Any) -> CRP:
        """Give the same analyzer, computing in another type."""
        return replace(self, lrp=self.lrp.astype(dtype))

    @property
    def threads(self) -> int | None:
        """How many threads the kernels may use, as the LRP analyzer has it."""
        return self.lrp.threads

    def __repr__(self) -> str:
        concept = "" if self.concept == ChannelConcept() else f", concept={self.concept!r}"
        name = self.lrp.model.names[self.index]
        return f"CRP(layer={name!r}, features={self.features!r}{concept},\n{self.lrp!r})"
