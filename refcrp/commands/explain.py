"""The command ``refcrp explain``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from refcrp.canonization import canonize, strip_softmax
from refcrp.commands.analyzer import (
    CROPS,
    add_analyzer,
    add_crop,
    analyzer,
    convolutions,
    find_layer,
    with_pixels,
)
from refcrp.commands.answer import Answer
from refcrp.commands.inputs import add_input, read_input
from refcrp.commands.samples import add_references, read_references
from refcrp.concepts.report import PICTURES, Report, report
from refcrp.drawing import require_matplotlib
from refcrp.errors import ParameterError
from refcrp.heatmaps import heatmap
from refcrp.io import load_model
from refcrp.tables import aligned

__all__ = ["add"]


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
    add_analyzer(explain)
    add_references(explain)
    explain.add_argument(
        "--samples", type=int, metavar="N", help="reference samples of each ranking (default 6)"
    )
    add_crop(explain, "none")
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
    layer = convolutions(model, "--layer")[-1] if options.layer is None else find_layer(options.layer, model)
    model = with_pixels(model, normalization)
    references = read_references(options, model.names[layer], model.normalization)
    made = report(
        analyzer(options, model, normalization),
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
