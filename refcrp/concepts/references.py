"""Reference samples: what a concept stands for, shown by the samples in which it counts most.

Relevance maximization (RelMax) ranks samples by how much of the explanation of their target goes through a
concept; activation maximization (ActMax) by how strongly they activate it, whether or not it was of use.

References
----------
Achtibat et al., From attribution maps to human-understandable explanations through Concept Relevance
Propagation, Nature Machine Intelligence 5, 2023, section "Selecting reference examples".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import as_integer
from refcrp.concept import Concept
from refcrp.concepts.collecting import collect_into, pending, results_of
from refcrp.concepts.fingerprint import check_same
from refcrp.concepts.request import as_shard, empty_contents, scorer_for
from refcrp.concepts.sources import as_data
from refcrp.concepts.store import Contents, Journal, create, opened, read
from refcrp.concepts.tables import best_over_groups, kind_of, merge_tables
from refcrp.concepts.targets import UNSEEN
from refcrp.concepts.threads import ONE, blas_threads
from refcrp.errors import ParameterError, UnknownLayerError, nearest_names
from refcrp.lrp import LRP
from refcrp.selection import Indices, check_range

__all__ = ["ReferenceSamples", "TopSamples"]

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
class ReferenceSamples:
    """For each concept the samples in which it counts most, by relevance and by activation.

    `collect` makes them, `open` reads them from the file that `collect` wrote.

    Attributes
    ----------
    settings : mapping
        With what they were collected.
    """

    contents: Contents

    # Making ----------------------------------------------------------------------------------------------

    @classmethod
    def collect(
        cls,
        lrp: LRP,
        data: Any,
        layers: Iterable[int | str] | int | str,
        path: str | PathLike[str] | None = None,
        *,
        n: int = 40,
        batch_size: int = 256,
        targets: Any = "label",
        max_targets: int = 1,
        concepts: Mapping[int | str, Concept] | None = None,
        abs_norm: bool = False,
        per_class: bool = True,
        shard: tuple[int, int] | None = None,
        workers: int | None = None,
        client: Any = None,
    ) -> ReferenceSamples:
        """Explain all samples once, and keep the best of each concept.

        The result does not depend on `batch_size`, `workers`, `client`, on the order of shards, nor on
        interruptions: it is the same bits.

        Parameters
        ----------
        lrp : LRP
        data : (images, labels), path, Data, or sequence of (image, label)
            Arrays, or HDF5 datasets that are read in slices; a path is that of an HDF5 file with datasets
            ``images`` and ``labels``, and `HDF5Data` names others.
        layers : names or indices
        path : path, optional
            The file that holds results and progress. If it is there, it is continued; a process that is
            killed loses no more than its last batch. In memory only, if None.
        n : int
            How many samples to keep for each concept, and for each class.
        batch_size : int
            How many samples to read and store at a time; best a multiple of 128, as samples are explained in
            chunks of so many, or fewer where memory is short.
        targets : "label", "prediction", function, or sequence
            The output neurons for which a sample is explained. A function gets the sample's output (neurons,)
            and label; it and the entries of a sequence give one neuron or several. A sample with none is left
            out.
        max_targets : int
            How many targets a sample may have.
        concepts : mapping, optional
            The `Concept` of some layers; `ChannelConcept` for the others.
        abs_norm : bool
            Divide a sample's scores by the sum of their absolute values over concepts.
        per_class : bool
            Keep the best for each output neuron as well.
        shard : (start, stop), optional
            Explain only these samples of the data; `merge` puts shards together.
        workers : int, optional
            How many processes explain, each with one thread; this one, if None.
        client : distributed.Client, optional
            A Dask cluster that explains.

        Raises
        ------
        ReferenceFileError
            If the file was made with other settings, another model, or other data; says what differs.
        FeatureError
            If a target is no output neuron.
        ParameterError, ShapeError, UnknownLayerError
            If an argument does not fit.
        """
        source = as_data(data)
        scorer = scorer_for(lrp, source, layers, concepts, targets, max_targets, abs_norm, per_class)
        if workers is not None:
            workers = as_integer(workers, "workers", 1)
            if client is not None:
                raise ParameterError("workers= and client= are two ways to the same end; give one of them")
        threads = blas_threads() if workers is None and client is None else ONE
        empty = empty_contents(scorer, source, as_integer(n, "n", 1), threads)
        first, last = (0, len(source)) if shard is None else as_shard(shard, len(source))
        size = as_integer(batch_size, "batch_size", 1)

        def run(contents: Contents, journal: Journal | None = None) -> None:
            batches = pending(contents.targets, (first, last), size)
            results = results_of(scorer, source, batches, workers, client)
            collect_into(contents, journal, results, len(batches))

        if path is None:
            run(empty)
            return cls(empty)
        path = Path(path)
        if not path.exists():
            create(path, empty)
        with opened(path) as (contents, journal):
            check_same(contents.settings, empty.settings, str(path))
            run(contents, journal)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | PathLike[str]) -> ReferenceSamples:
        """Read what `collect` wrote, as far as it has come.

        Raises
        ------
        ReferenceFileError
            If it is no such file.
        """
        return cls(read(Path(path)))

    def merge(self, other: ReferenceSamples, path: str | PathLike[str] | None = None) -> ReferenceSamples:
        """Put two parts of a collection together, such as two shards; they may have samples in common.

        The order in which parts are merged makes no difference.

        Parameters
        ----------
        other : ReferenceSamples
        path : path, optional
            A new file to write the result to.

        Raises
        ------
        ReferenceFileError
            If the two were not made with the same settings, model and data; says what differs.
        """
        check_same(self.settings, other.settings, "the collections")
        mine, theirs = self.contents, other.contents
        tables = tuple(merge_tables(pair) for pair in zip(mine.tables, theirs.tables, strict=True))
        contents = Contents(mine.settings, np.maximum(mine.targets, theirs.targets), tables)
        if path is not None:
            create(Path(path), contents)
        return ReferenceSamples(contents)

    # Asking ----------------------------------------------------------------------------------------------

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
        layer : name
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
        if isinstance(layer, str) and layer in self.layers:
            return self.contents.tables[self.layers.index(layer)]
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

    def __repr__(self) -> str:
        return (
            f"ReferenceSamples({', '.join(self.layers)}; best {self.n} of {self.explained} samples"
            f"{'' if self.complete else f', {len(self.contents.targets)} in all'})"
        )
