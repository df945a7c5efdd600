"""What `ReferenceSamples.collect` was asked for, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from refcrp.checks import as_flag, as_integer
from refcrp.concept import ChannelConcept, Concept
from refcrp.concepts.fingerprint import described_request
from refcrp.concepts.scoring import Scorer, chunk_size
from refcrp.concepts.sources import Data
from refcrp.concepts.store import Contents
from refcrp.concepts.tables import KINDS, empty_entries
from refcrp.concepts.targets import UNSEEN, as_targets
from refcrp.errors import ParameterError, ShapeError
from refcrp.lrp import LRP, layer_indices

__all__ = ["as_shard", "empty_contents", "scorer_for", "settings_for"]


def scorer_for(
    lrp: LRP,
    data: Data,
    layers: Any,
    concepts: Mapping[int | str, Concept] | None,
    targets: Any,
    max_targets: int,
    abs_norm: bool,
    per_class: bool,
) -> Scorer:
    """Give what scores samples as asked for."""
    if not isinstance(lrp, LRP):
        raise ParameterError(f"ReferenceSamples: lrp must be an LRP analyzer, got {lrp!r}")
    chosen = layer_indices(lrp.model, layers)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ParameterError(f"ReferenceSamples: expected layers, each once, got {layers!r}")
    own = {lrp.model.index(layer): concept for layer, concept in (concepts or {}).items()}
    for layer, concept in own.items():
        if layer not in chosen or not isinstance(concept, Concept):
            name = lrp.model.names[layer]
            raise ParameterError(f"concepts: {name!r}: {concept!r}; expected a Concept of one of the layers")
    first = data.read(np.zeros(1, dtype=np.intp))
    max_targets = as_integer(max_targets, "max_targets", 1)
    return Scorer(
        lrp,
        chosen,
        tuple(own.get(layer, ChannelConcept()) for layer in chosen),
        as_targets(targets, len(data), max_targets, has_labels=first.labels is not None),
        as_flag("abs_norm", abs_norm),
        as_flag("per_class", per_class),
        chunk_size(lrp.model, first.images.shape[1:]),
    )


def settings_for(scorer: Scorer, data: Data, n: int, threads: str) -> dict[str, Any]:
    """Describe what was asked for, and how large the tables are."""
    model = scorer.lrp.model
    shapes = model.shapes_for(data.read(np.zeros(1, dtype=np.intp)).images.shape[1:])
    if len(shapes[-1]) != 1:
        raise ShapeError(f"the model's output has shape {shapes[-1]}, expected (neurons,)")
    counts = {}
    for layer, concept in zip(scorer.layers, scorer.concepts, strict=True):
        zeros = np.zeros((1, *(size or 1 for size in shapes[layer])), model.dtype)
        counts[model.names[layer]] = concept.scores(zeros).shape[1]
    return described_request(
        scorer, data, n=n, neurons=int(shapes[-1][0] or 0), counts=counts, threads=threads
    )


def empty_contents(settings: Mapping[str, Any]) -> Contents:
    """Give tables that no sample is in yet."""
    groups = settings["neurons"] if settings["per_class"] else 1
    tables = (empty_entries(groups, len(KINDS), k, settings["n"]) for k in settings["concepts"].values())
    targets = np.full((settings["data"]["samples"], settings["max_targets"]), UNSEEN, dtype=np.int32)
    return Contents(settings, targets, tuple(tables))


def as_shard(shard: tuple[int, int], count: int) -> tuple[int, int]:
    """Give start and stop of a part of so many samples."""
    start, stop = (as_integer(k, "shard") for k in shard)
    if not start <= stop <= count:
        raise ParameterError(f"shard={shard}: expected start and stop within the {count} samples")
    return start, stop
