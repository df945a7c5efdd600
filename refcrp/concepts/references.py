"""Reference samples: what a concept stands for, shown by the samples in which it counts most.

Relevance maximization (RelMax) ranks samples by how much of the explanation of their target goes through a
concept; activation maximization (ActMax) by how strongly they activate it, whether or not it was of use.

References
----------
Achtibat et al., From attribution maps to human-understandable explanations through Concept Relevance
Propagation, Nature Machine Intelligence 5, 2023.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from refcrp.checks import as_integer
from refcrp.concept import Concept
from refcrp.concepts.collecting import collect_into, pending, results_of
from refcrp.concepts.fingerprint import check_same
from refcrp.concepts.ranking import Rankings
from refcrp.concepts.request import as_shard, empty_contents, scorer_for, settings_for
from refcrp.concepts.sources import as_data
from refcrp.concepts.store import Contents, Journal, create, opened, read
from refcrp.concepts.tables import merge_tables
from refcrp.concepts.threads import ONE, blas_threads
from refcrp.errors import ParameterError
from refcrp.lrp import LRP

__all__ = ["ReferenceSamples"]


@dataclass(frozen=True, eq=False)
class ReferenceSamples(Rankings):
    """For each concept the samples in which it counts most, by relevance and by activation.

    `collect` makes them, `open` reads them from the file that `collect` wrote.

    Attributes
    ----------
    settings : mapping
        With what they were collected.

    Examples
    --------
    >>> import refcrp as rc
    >>> refs, data = rc.load_references("lenet5")
    >>> refs.top("conv2", 11, n=3).samples
    array([  9, 151,  54])
    >>> refs.top("conv2", 11, by="activation", n=3).samples
    array([  4, 291,  81])
    """

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

        Examples
        --------
        >>> import refcrp as rc
        >>> x, labels = rc.load_digits()
        >>> lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())
        >>> refs = rc.ReferenceSamples.collect(lrp, (x, labels), "conv2", n=5)
        >>> refs
        ReferenceSamples(conv2; best 5 of 100 samples)
        >>> refs.classes("conv2", 11, n=2)[0]
        array([0, 9])
        """
        source = as_data(data)
        scorer = scorer_for(lrp, source, layers, concepts, targets, max_targets, abs_norm, per_class)
        if workers is not None:
            workers = as_integer(workers, "workers", 1)
            if client is not None:
                raise ParameterError("workers= and client= are two ways to the same end; give one of them")
        threads = blas_threads() if workers is None and client is None else ONE
        settings = settings_for(scorer, source, as_integer(n, "n", 1), threads)
        first, last = (0, len(source)) if shard is None else as_shard(shard, len(source))
        size = as_integer(batch_size, "batch_size", 1)

        def run(contents: Contents, journal: Journal | None = None) -> None:
            batches = pending(contents.targets, (first, last), size)
            with closing(results_of(scorer, source, batches, workers, client)) as results:
                collect_into(contents, journal, results, len(batches))

        if path is None:
            run(whole := empty_contents(settings))
            return cls(whole)
        path = Path(path)
        if not path.exists():
            create(path, empty_contents(settings))
        with opened(path) as (contents, journal):
            check_same(contents.settings, settings, str(path))
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

    def __repr__(self) -> str:
        return (
            f"ReferenceSamples({', '.join(self.layers)}; best {self.n} of {self.explained} samples"
            f"{'' if self.complete else f', {len(self.contents.targets)} in all'})"
        )
