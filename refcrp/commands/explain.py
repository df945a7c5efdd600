"""The command ``refcrp explain``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from refcrp import presets
from refcrp.canonization import canonize, strip_softmax
from refcrp.commands.answer import Answer
from refcrp.commands.inputs import add_input, read_input
from refcrp.commands.samples import add_references, read_references
from refcrp.composite import Composite
from refcrp.concepts.report import PICTURES, Report, report
from refcrp.concepts.tiles import Crop
from refcrp.drawing import require_matplotlib
from refcrp.errors import ParameterError, UnknownLayerError
from refcrp.heatmaps import heatmap
from refcrp.io import load_model
from refcrp.layers import ConvLayer
from refcrp.lrp import LRP
from refcrp.model import Model
from refcrp.normalization import Normalization
from refcrp.tables import aligned

__all__ = ["add"]

CROPS: dict[str, Crop | None] = {"none": None, "receptive-field": "receptive-field", "heatmap": "heatmap"}

COMPOSITES: dict[str, Callable[[Any, Any], Composite]] = {
    "EpsilonPlus": lambda low, high: presets.EpsilonPlus(),
    "EpsilonPlusFlat": lambda low, high: presets.EpsilonPlusFlat(),
    "EpsilonGammaBox": presets.EpsilonGammaBox,
    "EpsilonAlpha2Beta1": lambda low, high: presets.EpsilonAlpha2Beta1(),
    "EpsilonAlpha2Beta1Flat": lambda low, high: presets.EpsilonAlpha2Beta1Flat(),
}


def add(commands: Any) -> None:
    """Describe the command."""
    explain = commands.add_parser(
        "explain", help="explain what a model sees in a picture, concept by concept"
    )
    explain.set_defaults(run=run)
    add_input(explain)
    explain.add_argument("--model", default="lenet5", help="a model file, or lenet5 (default)")
    explain.add_argument(
        "--layer", help="index or name of the layer of the concepts; default: the last convolution"
    )
    which = explain.add_mutually_exclusive_group()
    which.add_argument("--top", type=int, metavar="N", help="the N most relevant channels (default 5)")
    which.add_argument("--channels", type=int, nargs="+", metavar="C", help="these channels")
    explain.add_argument(
        "--output", type=int, metavar="C", help="output neuron to explain; default: the highest"
    )
    explain.add_argument(
        "--composite",
        choices=COMPOSITES,
        default="EpsilonPlus",
        metavar="NAME",
        help=f"one of {', '.join(COMPOSITES)}; default: EpsilonPlus",
    )
    for name, pixel in (("--low", 0), ("--high", 1)):
        explain.add_argument(
            name,
            type=float,
            metavar="V",
            help=f"{name[2:]}est value of the model's input, for EpsilonGammaBox; "
            f"default: what a pixel of {pixel} becomes",
        )
    add_references(explain)
    explain.add_argument(
        "--samples", type=int, metavar="N", help="reference samples of each ranking (default 6)"
    )
    explain.add_argument(
        "--crop",
        choices=CROPS,
        default="none",
        help="cut reference samples to what their strongest neuron sees, or to where it finds most",
    )
    explain.add_argument(
        "--out",
        type=Path,
        default=Path("explanation.png"),
        help=f"the page to write: .html, or {', '.join(PICTURES)}; default: explanation.png",
    )


def run(options: argparse.Namespace) -> Answer:
    """Explain one picture."""
    require_matplotlib()
    path = out_path(options.out)
    model = canonize(strip_softmax(load_model(options.model)))
    x, origin, normalization = read_input(options, model)
    layer = pick_layer(options.layer, model)
    if normalization is not None:
        model = model.with_normalization(mean=normalization.mean, std=normalization.std)
    references = read_references(options, model.names[layer], normalization)
    made = report(
        LRP(model, COMPOSITES[options.composite](*input_range(options, normalization))),
        x,
        layer,
        output=options.output,
        refs=references.samples,
        data=references.data,
        n=options.top,
        channels=options.channels,
        samples=options.samples,
        crop=CROPS[options.crop],
    )
    if references.samples is not None or path.suffix.lower() == ".html":
        made.save(path)
    else:
        heatmap(made.concepts, path=path, lrp=made.whole, normalization=made.normalization)
    lines = [
        f"input       {origin}",
        f"prediction  {made.prediction}",
        f"explained   output {made.output}, score {made.score:.3f}, under {options.composite}",
        "",
        *table(made),
        "",
        *conservation(made),
        *([f"references  {references.origin}"] if references.origin else []),
        f"picture     {path}",
    ]
    return Answer("\n".join(lines))


def out_path(path: Path) -> Path:
    """Give a path with an ending that says how to write, or raise."""
    if path.suffix.lower() not in (*PICTURES, ".html"):
        raise ParameterError(f"--out {path}: the ending must be one of {', '.join((*PICTURES, '.html'))}")
    return path


def input_range(options: argparse.Namespace, normalization: Normalization | None) -> tuple[Any, Any]:
    """Give the lowest and the highest value of the input: what was asked for, or of normalised pixels."""
    own = normalization or Normalization()
    channels = max(len(own.mean), len(own.std))
    ends = (own.normalize(np.full((1, channels, 1, 1), pixel))[0] for pixel in (0.0, 1.0))
    low, high = (end.item() if channels == 1 else end for end in ends)
    return (low if options.low is None else options.low), (high if options.high is None else options.high)


def pick_layer(layer: str | None, model: Model) -> int:
    """Give the index of the layer that was asked for, by name or index, or of the last convolution."""
    if layer is not None:
        is_number = re.fullmatch(r"-?[0-9]+", layer) and layer not in model.names
        return model.index(int(layer) if is_number else layer)
    convolutions = [k for k, candidate in enumerate(model) if isinstance(candidate, ConvLayer)]
    if not convolutions:
        raise UnknownLayerError(f"the model has no convolution; choose a --layer: {', '.join(model.names)}")
    return convolutions[-1]


def table(made: Report) -> Iterator[str]:
    """Write the channels with their relevance and share."""
    assert made.concepts.feature_relevance is not None
    rows = [("concept", "channel", "relevance", "share")]
    for channel, R, part in zip(
        made.channels, made.concepts.feature_relevance[:, 0], made.shares, strict=True
    ):
        rows.append((str(made.concepts.layer), str(channel), f"{float(R):.4f}", part))
    return aligned(rows, ("  ",), right=(1, 2, 3))


def conservation(made: Report) -> tuple[str, str]:
    """Say how much relevance there is at the layer, and where that of the output went."""
    assert made.concepts.layer_relevance is not None
    return (
        f"relevance   {made.concepts.layer} {float(made.concepts.layer_relevance[0]):.4f}",
        f"ledger      {made.whole.ledger.summary}",
    )
