"""The pictures of ``refcrp atlas``."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from refcrp.arrays import Array
from refcrp.commands.analyzer import CROPS
from refcrp.commands.atlas_page import Picture, Section
from refcrp.concepts.atlas import concept_atlas
from refcrp.concepts.graph import attribution_graph
from refcrp.concepts.pictures import concept_grid
from refcrp.concepts.references import ReferenceSamples
from refcrp.concepts.report import report
from refcrp.concepts.sources import Data
from refcrp.lrp import LRP

__all__ = ["Work", "explained", "layers_shown"]

WIDTH = (4, 3, 2)  # of attribution graphs
CELLS = 8  # a side of an image's atlas


@dataclass(frozen=True)
class Work:
    """What the pictures are made of."""

    options: argparse.Namespace
    lrp: LRP
    layers: tuple[int, ...]
    data: Data
    refs: ReferenceSamples
    most: int  # channels of a layer to show, unless asked otherwise

    @property
    def samples(self) -> int:
        """How many reference samples to show."""
        asked: int | None = self.options.samples
        return min(8, self.refs.n) if asked is None else asked

    def path(self, name: str) -> Path:
        """Give the path of a picture."""
        folder: Path = self.options.out
        return folder / name


def layers_shown(work: Work) -> tuple[list[tuple[str, ...]], list[Section]]:
    """Draw the channels of each layer; gives the rows of a table, and the sections of the page."""
    rows: list[tuple[str, ...]] = []
    sections = []
    for k in work.layers:
        name = work.lrp.model.names[k]
        channels = pick_channels(work, name)
        file = f"concepts-{k:02d}-{re.sub(r'[^A-Za-z0-9_.-]', '_', name)}.png"
        concept_grid(
            work.refs,
            work.lrp,
            work.data,
            name,
            channels,
            work.path(file),
            n=work.samples,
            crop=CROPS[work.options.crop],
        )
        rows += [(name, str(channel), targets_of(work.refs, name, channel)) for channel in channels]
        words = (
            f"{len(channels)} of {work.refs.table(name).shape[2]} channels, and the samples in which each "
        )
        words += "is most relevant (RelMax) and most active (ActMax)"
        sections.append(Section(f"Layer {name}", words, (Picture(file, f"channels of {name}"),)))
    return rows, sections


def pick_channels(work: Work, layer: str) -> list[int]:
    """Give the channels that were asked for, or those most relevant in their best samples."""
    if work.options.channels is not None:
        return list(work.options.channels)
    count = work.refs.table(layer).shape[2]
    scores = [work.refs.top(layer, channel, n=work.samples).scores for channel in range(count)]
    means = np.array([score.mean() if len(score) else -np.inf for score in scores])
    best = np.argsort(-means, kind="stable")[: work.options.top or min(work.most, count)]
    return [int(channel) for channel in best]


def targets_of(refs: ReferenceSamples, layer: str, channel: int) -> str:
    """Say for which outputs the samples of a channel were explained, the most frequent ones first."""
    targets = Counter(refs.top(layer, channel).targets.tolist())
    return ", ".join(f"{target} ({count})" for target, count in targets.most_common(4))


def explained(work: Work, x: Array, origin: str) -> Section:
    """Explain one image: as a card, as a graph, as an atlas."""
    options, lrp, layer = work.options, work.lrp, work.layers[-1]
    made = report(
        lrp,
        x,
        layer,
        output=options.output,
        refs=work.refs,
        data=work.data,
        samples=min(6, work.samples),
        crop=CROPS[options.crop],
    )
    made.save(work.path("explanation.png"))
    made.save(work.path("explanation.html"))
    graph = attribution_graph(lrp, x, made.output, width=WIDTH, layers=graph_layers(lrp, work.layers))
    graph.draw(work.path("graph.png"), maps=True)
    graph.save(work.path("graph.json"))
    regions = [min(CELLS, side) for side in x.shape[2:]] if options.regions is None else options.regions
    concept_atlas(lrp, x, layer, regions, made.output).draw(
        work.path("atlas.png"), work.refs, work.data, n=min(5, work.samples), crop=CROPS[options.crop]
    )
    name = lrp.model.names[layer]
    return Section(
        f"{origin[:1].upper()}{origin[1:]}",
        f"explained for output {made.output}, score {made.score:.3f}; the prediction is {made.prediction}",
        (
            Picture("explanation.png", f"The most relevant channels of {name}", "explanation.html"),
            Picture("graph.png", "Which channels these are made of", "graph.json"),
            Picture("atlas.png", f"Which channel of {name} is the most relevant where"),
        ),
    )


def graph_layers(lrp: LRP, layers: Sequence[int]) -> list[int] | None:
    """Give the layers that can be below an output in a graph; all with weights, if there are none."""
    return [k for k in layers if k != len(lrp.model) - 1] or None
