"""The command ``refcrp``: explain a picture, show a model, test another implementation."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np

import refcrp
from refcrp import commands as conformance_commands
from refcrp import presets
from refcrp.arrays import Array
from refcrp.canonization import canonize, strip_softmax
from refcrp.checks import show_shape
from refcrp.composite import Composite
from refcrp.crp import CRP
from refcrp.datasets import load_digits
from refcrp.errors import ParameterError, RefcrpError, UnknownLayerError
from refcrp.explanation import Explanation
from refcrp.heatmaps import heatmap, require_matplotlib, share
from refcrp.images import read_image
from refcrp.io import load_model, save_model
from refcrp.layers import ConvLayer
from refcrp.lrp import LRP
from refcrp.model import INPUT, Model
from refcrp.selection import FeatureSelector, IndexedFeatures, TopNFeatures
from refcrp.tables import aligned

__all__ = ["main"]

DEFAULT_DIGIT = 45  # of the built-in ones; see `refcrp explain --digit`
DEFAULT_TOP = 5

PICTURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp")

COMPOSITES: dict[str, Callable[[float, float], Composite]] = {
    "EpsilonPlus": lambda low, high: presets.EpsilonPlus(),
    "EpsilonPlusFlat": lambda low, high: presets.EpsilonPlusFlat(),
    "EpsilonGammaBox": presets.EpsilonGammaBox,
    "EpsilonAlpha2Beta1": lambda low, high: presets.EpsilonAlpha2Beta1(),
    "EpsilonAlpha2Beta1Flat": lambda low, high: presets.EpsilonAlpha2Beta1Flat(),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit status: 0, 1 if a check fails, 2 if what was asked is wrong."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a layer's name may not fit the terminal's encoding
    try:
        options = make_parser().parse_args(arguments)
        status = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has left, as `head` does; nothing must be flushed to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (RefcrpError, OSError) as error:
        print(f"refcrp: error: {one_line(error)}", file=sys.stderr)
        return 2
    return int(status or 0)


def one_line(error: Exception) -> str:
    """Give an error's message without line breaks."""
    return " ".join(str(error).split())


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = Parser(prog="refcrp", description="Layer-wise and Concept Relevance Propagation.")
    parser.add_argument(
        "--version", action="version", version=f"refcrp {refcrp.__version__} ({refcrp.backend()})"
    )
    commands = parser.add_subparsers(
        title="commands", required=True, metavar="{explain,show,convert,verify,vectors}"
    )

    explain = commands.add_parser(
        "explain", help="explain what a model sees in a picture, concept by concept"
    )
    explain.set_defaults(run=run_explain)
    what = explain.add_mutually_exclusive_group()
    what.add_argument(
        "image", nargs="?", type=Path, help="a picture, or a .npy array; a built-in digit if left out"
    )
    what.add_argument(
        "--digit", type=int, metavar="I", help="built-in digit number I, 0 to 99, ten of each class"
    )
    explain.add_argument("--model", default="lenet5", help="an HDF5 file, or lenet5 (default)")
    explain.add_argument(
        "--layer", help="index or name of the layer of the concepts; default: the last convolution"
    )
    which = explain.add_mutually_exclusive_group()
    which.add_argument(
        "--top", type=int, metavar="N", help=f"the N most relevant channels (default {DEFAULT_TOP})"
    )
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
    explain.add_argument(
        "--low", type=float, default=0.0, help="lowest input value, for EpsilonGammaBox (default 0)"
    )
    explain.add_argument("--high", type=float, default=1.0, help="highest input value (default 1)")
    explain.add_argument("--resize", action="store_true", help="scale the picture to the model's size")
    explain.add_argument(
        "--invert", action="store_true", help="black ink on white paper becomes white on black"
    )
    for name, default in (("--mean", 0.0), ("--std", 1.0)):
        explain.add_argument(
            name,
            type=float,
            nargs="+",
            default=[default],
            metavar="V",
            help="pictures, values 0 to 1, become (v - mean) / std: one number, or one a channel",
        )
    explain.add_argument("--out", type=Path, default=Path("explanation.png"), help="default: explanation.png")

    show = commands.add_parser("show", help="print a model's layers, shapes and parameter counts")
    show.set_defaults(run=run_show)
    show.add_argument("model", help="an HDF5 file, or lenet5")

    convert = commands.add_parser("convert", help="write a model of another format as refcrp's own HDF5")
    convert.set_defaults(run=run_convert)
    convert.add_argument("model", help="a model file")
    convert.add_argument("out", type=Path, help="the HDF5 file to write")

    conformance_commands.add(commands)
    return parser


# refcrp explain ---------------------------------------------------------------------------------------------


def run_explain(options: argparse.Namespace) -> None:
    """Explain one picture."""
    require_matplotlib()
    picture = picture_path(options.out)
    model = canonize(strip_softmax(load_model(options.model)))
    x, origin = read_input(options, model)
    layer = pick_layer(options.layer, model)
    lrp = LRP(model, COMPOSITES[options.composite](options.low, options.high))
    whole = lrp(x, output=options.output)
    concepts = CRP(lrp, layer, pick_features(options, model, layer, whole))(x, output=options.output)
    heatmap(concepts, path=picture, lrp=whole)

    score = float(whole.output[0, whole.selected[0]])
    print(f"input       {origin}")
    print(f"prediction  {int(np.argmax(whole.output[0]))}")
    print(f"explained   output {whole.selected[0]}, score {score:.3f}, under {options.composite}")
    print()
    print_concepts(concepts)
    print()
    print_conservation(whole, concepts)
    print(f"picture     {picture}")


def read_input(options: argparse.Namespace, model: Model) -> tuple[Array, str]:
    """Give the input, and a word on where it is from."""
    if options.image is not None:
        picture = {name: getattr(options, name) for name in ("resize", "invert", "mean", "std")}
        x = read_image(options.image, model, **picture)
        return x, str(options.image)
    images, labels = load_digits()
    number = DEFAULT_DIGIT if options.digit is None else options.digit
    if not 0 <= number < len(images):
        raise ParameterError(f"--digit {number}: the built-in digits are numbered 0 to {len(images) - 1}")
    return images[number : number + 1], f"built-in digit {number}, a {labels[number]}"


def pick_layer(layer: str | None, model: Model) -> int:
    """Give the index of the layer that was asked for, by name or index, or of the last convolution."""
    if layer is not None:
        is_number = re.fullmatch(r"-?[0-9]+", layer) and layer not in model.names
        return model.index(int(layer) if is_number else layer)
    convolutions = [k for k, candidate in enumerate(model) if isinstance(candidate, ConvLayer)]
    if not convolutions:
        raise UnknownLayerError(f"the model has no convolution; choose a --layer: {', '.join(model.names)}")
    return convolutions[-1]


def pick_features(
    options: argparse.Namespace, model: Model, layer: int, whole: Explanation
) -> FeatureSelector:
    """Give the channels that were asked for, or as many of the top ones as the layer has."""
    if options.channels is not None:
        return IndexedFeatures(*options.channels)
    if options.top is not None:
        return TopNFeatures(options.top)
    shape = model.shapes_for(whole.input.shape[1:])[layer]
    return TopNFeatures(min(DEFAULT_TOP, shape[0] or 1))


def print_concepts(concepts: Explanation) -> None:
    """Print the channels with their relevance and share."""
    assert concepts.features is not None
    assert concepts.feature_relevance is not None
    assert concepts.layer_relevance is not None
    shares = share(
        concepts.feature_relevance[:, 0], np.repeat(concepts.layer_relevance, len(concepts.features))
    )
    rows = [("concept", "channel", "relevance", "share")]
    for channel, R, part in zip(
        concepts.features[:, 0], concepts.feature_relevance[:, 0], shares, strict=True
    ):
        rows.append((str(concepts.layer), str(channel), f"{float(R):.4f}", part))
    print("\n".join(aligned(rows, ("  ",), right=(1, 2, 3))))


def print_conservation(whole: Explanation, concepts: Explanation) -> None:
    """Print how much relevance there is at the layer, and where that of the output went."""
    assert concepts.layer_relevance is not None
    print(f"relevance   {concepts.layer} {float(concepts.layer_relevance[0]):.4f}")
    print(f"ledger      {whole.ledger.summary}")


def picture_path(path: Path) -> Path:
    """Give a path with an ending that says how to draw, or raise."""
    if path.suffix.lower() not in PICTURES:
        raise ParameterError(f"--out {path}: the ending must be one of {', '.join(PICTURES)}")
    return path


# refcrp show ------------------------------------------------------------------------------------------------


def run_show(options: argparse.Namespace) -> None:
    """Print a table of the layers."""
    model = load_model(options.model)
    if model.input_shape is not None:
        print(f"input {show_shape(model.input_shape)}")
    rows: list[tuple[str, ...]] = [("", "name", "layer", "output", "parameters", "reads")]
    for k, (node, shape) in enumerate(zip(model.nodes, model.shapes, strict=True)):
        output = "?" if shape is None else show_shape(shape)
        layer = f"{type(node.layer).__name__}({node.layer.summary()})"
        reads = ", ".join("input" if source == INPUT else str(source) for source in node.sources)
        rows.append((str(k), node.name, layer, output, f"{node.layer.parameter_count:,}", reads))
    rows.append(("", "", "", "", f"{model.parameter_count:,}", ""))
    if model.is_chain:
        rows = [row[:-1] for row in rows]
    print("\n".join(aligned(rows, ("  ",), right=(0, 4))))
    print(f"{len(model)} layers, {model.dtype}")


# refcrp convert ---------------------------------------------------------------------------------------------


def run_convert(options: argparse.Namespace) -> None:
    """Read a model, and write it as our own HDF5."""
    model = load_model(options.model)
    save_model(model, options.out)
    print(f"{options.out}: {len(model)} layers, {model.parameter_count:,} parameters, {model.dtype}")
