"""What can be asked of a collection: the best samples of a concept, and its best classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import as_integer
from refcrp.concepts.store import Contents
from refcrp.concepts.tables import best_over_groups, kind_of
from refcrp.concepts.targets import UNSEEN
from refcrp.errors import ParameterError, UnknownLayerError, nearest_names
from refcrp.selection import Indices, check_range

__all__ = ["Rankings", "TopSamples"]

By = Literal["relevance", "activation"]
Over = Literal["sum", "max"]
MEAN_OF = 10  # samples of a class that count when classes are compared, as in zennit-crp


@dataclass(frozen=True, eq=False)
class TopSamples:
    """The samples in which a concept counts most, in descending order.

    Attributes
    ----------
    samples : (n,) array of int
        Ids: places in the data set.
    scores : (n,) array
    positions : (n,) array of int
        Of the concept's strongest neuron, numbered row by row.
    targets : (n,) array of int
        The output neuron for which the sample was explained.
    """

    samples: Indices
    scores: Array
    positions: Indices
    targets: Indices

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True, eq=False)
class Rankings:
    """The best samples of each concept.

    Attributes
    ----------
    contents : Contents
    settings : mapping
        With what they were collected.
    """

    contents: Contents

    def top(
        self,
        layer: int | str,
        channel: int,
        by: By = "relevance",
        n: int | None = None,
        label: int | None = None,
        over: Over = "sum",
    ) -> TopSamples:
        """Give the samples in which a concept counts most.

        Parameters
        ----------
        layer : int or str
            By index or name.
        channel : int
            The number of the concept, which is a channel unless the layer was given another `Concept`.
        by : "relevance" or "activation"
        n : int, optional
            How many at most; all that were kept, if None.
        label : int, optional
            Only samples explained for this output neuron.
        over : "sum" or "max"
            Scored by the sum over positions, or by the largest one.

        Raises
        ------
        UnknownLayerError, FeatureError, ParameterError
            If there is no such layer, concept or class, or fewer than `n` samples were kept.
        """
        table, kind = self.table(layer), kind_of(by, over)
        check_range(as_integer(channel, "channel"), table.shape[2], "concept", f"layer {layer!r}")
        n = self.n if n is None else as_integer(n, "n", 1)
        if n > self.n:
            raise ParameterError(f"n={n}: only the best {self.n} of each concept were kept")
        if label is None:
            entries = best_over_groups(table[:, :, channel : channel + 1], kind)[0]
        else:
            entries = self.of_class(table, label)[kind, channel]
        entries = entries[entries["sample"] >= 0][:n]
        return TopSamples(
            entries["sample"].astype(np.intp),
            entries["score"].copy(),
            entries["position"].astype(np.intp),
            entries["target"].astype(np.intp),
        )

    def classes(
        self, layer: int | str, channel: int, by: By = "relevance", n: int = 5, over: Over = "sum"
    ) -> tuple[Indices, Array]:
        """Give the classes in which a concept counts most, and the mean score of their ten best samples.

        Parameters
        ----------
        layer, channel, by, over
            As for `top`.
        n : int
            How many classes at most.
        """
        tops = [self.top(layer, channel, by, min(MEAN_OF, self.n), int(label), over) for label in self.labels]
        means = np.array([top.scores.mean() for top in tops])
        order = np.argsort(-means, kind="stable")[: as_integer(n, "n", 1)]
        return self.labels[order], means[order]

    def table(self, layer: int | str) -> Array:
        """Give the table of a layer, (groups, kinds, concepts, n); see `refcrp.concepts.tables`."""
        names = list(self.settings["model"])
        if not isinstance(layer, str) and hasattr(layer, "__index__") and -len(names) <= layer < len(names):
            layer = names[layer]
        if layer in self.layers:
            return self.contents.tables[self.layers.index(str(layer))]
        raise UnknownLayerError(
            f"no reference samples of layer {layer!r}; {nearest_names(str(layer), self.layers)}"
        )

    def of_class(self, table: Array, label: int) -> Array:
        """Give the part of a table that belongs to a class."""
        if not self.settings["per_class"]:
            raise ParameterError(f"label={label}: collected with per_class=False, so not for each class")
        check_range(as_integer(label, "label"), len(table), "class", "the model's output")
        return np.asarray(table[label])

    @property
    def settings(self) -> Mapping[str, Any]:
        """With what these were collected."""
        return self.contents.settings

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers."""
        return tuple(self.settings["layers"])

    @property
    def n(self) -> int:
        """How many samples are kept for each concept."""
        return int(self.settings["n"])

    @property
    def counts(self) -> Indices:
        """For each output neuron, how many samples were explained for it."""
        targets = self.contents.targets
        return np.bincount(targets[targets >= 0], minlength=int(self.settings["neurons"]))

    @property
    def labels(self) -> Indices:
        """The output neurons for which any sample was explained."""
        return np.flatnonzero(self.counts)

    @property
    def complete(self) -> bool:
        """Whether all samples of the data set have been explained."""
        return self.explained == len(self.contents.targets)

    @property
    def explained(self) -> int:
        """How many samples have been explained."""
        return int((self.contents.targets[:, 0] != UNSEEN).sum())
