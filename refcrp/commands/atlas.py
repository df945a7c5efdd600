"""The command ``refcrp atlas``: what the channels of a model stand for, over a whole data set."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from refcrp.arrays import Array
from refcrp.canonization import canonize, strip_softmax
from refcrp.commands.analyzer import (
    add_analyzer,
    add_crop,
    analyzer,
    convolutions,
    find_layer,
    with_pixels,
)
from refcrp.commands.answer import Answer
from refcrp.commands.atlas_page import page
from refcrp.commands.inputs import add_preparation, normalization_of, read_input
from refcrp.commands.samples import DATA_HELP, open_data
from refcrp.concepts.references import ReferenceSamples
from refcrp.concepts.sources import Data, as_data
from refcrp.datasets import load_digits
from refcrp.drawing import require_matplotlib
from refcrp.errors import ParameterError, ReferenceFileError, ShapeError
from refcrp.io import load_model
from refcrp.model import Model
from refcrp.selection import check_range
from refcrp.tables import aligned

__all__ = ["add"]

STOPPED = 130  # the exit status of what Ctrl-C has stopped
SHOWN = 12  # channels of a layer


def add(commands: Any) -> None:
    """Describe the command."""
    atlas = commands.add_parser(
        "atlas", help="collect reference samples over a data set, and show what the channels stand for"
    )
    atlas.set_defaults(run=run)
    atlas.add_argument("model", help="a model file, or lenet5")
    atlas.add_argument("data", help=f"{DATA_HELP}; or digits, the built-in ones")
    atlas.add_argument(
        "--out", type=Path, default=Path("atlas"), metavar="FOLDER", help="to write to; default: atlas"
    )
    atlas.add_argument(
        "--references",
        type=Path,
        metavar="FILE",
        help="where reference samples are kept; one that is there is continued; default: references.h5 "
        "in the folder",
    )
    atlas.add_argument(
        "--layers", nargs="+", metavar="L", help="indices or names of layers; default: all convolutions"
    )
    atlas.add_argument("--n", type=int, default=40, help="samples to keep for each channel; default: 40")
    atlas.add_argument(
        "--targets",
        choices=("label", "prediction"),
        default="label",
        help="for which output each sample is explained; default: label",
    )
    atlas.add_argument("--batch-size", type=int, default=256, metavar="N", help="default: 256")
    atlas.add_argument("--workers", type=int, metavar="N", help="processes; default: this one")
    which = atlas.add_mutually_exclusive_group()
    which.add_argument(
        "--top",
        type=int,
        metavar="N",
        help=f"show the N channels of each layer that are most relevant in their samples; default: {SHOWN}",
    )
    which.add_argument("--channels", type=int, nargs="+", metavar="C", help="show these channels")
    atlas.add_argument("--samples", type=int, metavar="N", help="reference samples to show; default: 8")
    add_crop(atlas, "receptive-field")
    atlas.add_argument(
        "--image", metavar="I", help="explain this, too: a picture, a .npy array, or a number in the data"
    )
    atlas.add_argument(
        "--regions", type=int, metavar="N", help="cells a side of the image's atlas; default: 8"
    )
    add_analyzer(atlas)
    add_preparation(atlas)


def run(options: argparse.Namespace) -> Answer:
    """Collect reference samples, and write what they show into a folder."""
    require_matplotlib()
    from refcrp.commands.atlas_pictures import Work, explained, layers_shown  # noqa: PLC0415 - loads scipy

    model = canonize(strip_softmax(load_model(options.model)))
    normalization = normalization_of(options, model)
    model = with_pixels(model, normalization)
    names = options.layers
    layers = convolutions(model, "--layers") if names is None else [find_layer(name, model) for name in names]
    layers = sorted(set(layers))
    lrp = analyzer(options, model, normalization)
    data = read_data(options.data, model)
    check_options(options)
    check_channels(options, lrp.model, layers, data)
    x, origin = (None, "") if options.image is None else read_image(options, model, data)
    if x is not None:
        lrp.select(lrp.trace(x), options.output)  # which raises if image or output do not fit the model
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.references or options.out / "references.h5"
    try:
        refs = ReferenceSamples.collect(
            lrp,
            data,
            layers,
            path,
            n=options.n,
            batch_size=options.batch_size,
            targets=options.targets,
            per_class=False,
            workers=options.workers,
        )
    except KeyboardInterrupt:
        return Answer(stopped(path, len(data)), STOPPED)
    work = Work(options, lrp, tuple(layers), data, refs, SHOWN)
    sections = [] if x is None else [explained(work, x, origin)]
    shown, grids = layers_shown(work)
    title = f"What the channels of {options.model} stand for"
    facts = f"{refs.explained:,} samples of {options.data}, each explained for its {options.targets}"
    work.path("index.html").write_text(page(title, facts, [*sections, *grids]), encoding="utf-8")
    lines = [
        f"references  {path}: the best {refs.n} of {refs.explained:,} samples",
        "",
        *aligned((("layer", "channel", "relevant for outputs"), *shown), ("  ",), right=(1,)),
        "",
        f"page        {work.path('index.html')}",
    ]
    return Answer("\n".join(lines))


def read_data(name: str, model: Model) -> Data:
    """Give the data set."""
    data: Data = open_data(Path(name), model.normalization) if name != "digits" else as_data(load_digits())
    shape = data.images([0]).shape
    if len(shape) != 4:
        raise ShapeError(f"{name}: images have shape {shape[1:]}, expected (channels, height, width)")
    return data


def check_options(options: argparse.Namespace) -> None:
    """Raise, before anything long begins, if an option does not fit."""
    for name in ("n", "batch_size", "workers", "top", "samples", "regions"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ParameterError(f"--{name.replace('_', '-')} {value}: expected 1 or more")
    if options.samples is not None and options.samples > options.n:
        raise ParameterError(f"--samples {options.samples}: only --n {options.n} are kept")
    if options.out.exists() and not options.out.is_dir():
        raise ParameterError(f"--out {options.out}: is there already, and not a folder")
    names = ("output", "regions", "resize", "invert")
    of_image = [f"--{name}" for name in names if getattr(options, name) not in (None, False)]
    if of_image and options.image is None:
        raise ParameterError(f"{', '.join(of_image)}: expected with --image")


def check_channels(options: argparse.Namespace, model: Model, layers: Sequence[int], data: Data) -> None:
    """Raise if a layer does not have the channels that are to be shown."""
    shapes = model.shapes_for(data.images([0]).shape[1:])
    for k in layers:
        name, count = model.names[k], shapes[k][0] or 1
        if options.channels is not None:
            check_range(options.channels, count, "channel", f"layer {name!r}")
        if options.top is not None and options.top > count:
            raise ParameterError(f"--top {options.top}: layer {name!r} has only {count} channels")


def read_image(options: argparse.Namespace, model: Model, data: Data) -> tuple[Array, str]:
    """Give the image to explain, and a word on where it is from."""
    if re.fullmatch(r"[0-9]+", options.image):
        if options.resize or options.invert:
            raise ParameterError("--resize, --invert: expected with a picture; --image is a number")
        number = int(options.image)
        check_range(number, len(data), "sample", options.data)
        return data.images([number]), f"sample {number} of {options.data}"
    asked = vars(options) | {"image": Path(options.image), "digit": None}
    if options.image.endswith(".npy"):
        asked |= {"mean": None, "std": None}  # which are of the data
    x, origin, _ = read_input(argparse.Namespace(**asked), model)
    return x, origin


def stopped(path: Path, count: int) -> str:
    """Say what Ctrl-C has left."""
    try:
        explained = ReferenceSamples.open(path).explained
    except (OSError, ReferenceFileError):
        return "stopped before anything was stored"
    return f"stopped: {path} has {explained:,} of {count:,} samples; the same command continues"
