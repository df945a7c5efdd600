"""The data and the reference samples that a command reads."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refcrp.arrays import Array
from refcrp.concepts.references import ReferenceSamples
from refcrp.concepts.sources import HDF5Data
from refcrp.datasets import load_references
from refcrp.errors import ParameterError
from refcrp.normalization import Normalization

__all__ = ["DATA_HELP", "Prepare", "References", "add_references", "open_data", "read_references"]

DATA_HELP = (
    "an HDF5 file with the datasets images and labels: images (n, height, width) or (n, channels, height, "
    "width), bytes as pixels, other numbers as the model takes them"
)


def add_references(parser: argparse.ArgumentParser) -> None:
    """Describe the options that say which reference samples to show."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--references",
        type=Path,
        metavar="FILE",
        help="show reference samples, as `refcrp atlas` collects them, from --data; default: those of the "
        "built-in model, for that model",
    )
    which.add_argument("--no-references", action="store_true", help="show heatmaps only")
    parser.add_argument("--data", type=Path, metavar="FILE", help=f"of the reference samples: {DATA_HELP}")


@dataclass(frozen=True)
class References:
    """Reference samples, the data they are from, and a word on where that is; None if there are none."""

    samples: ReferenceSamples | None
    data: Any
    origin: str


def read_references(
    options: argparse.Namespace, layer: str, normalization: Normalization | None
) -> References:
    """Give the reference samples that were asked for, or the built-in ones."""
    if (options.references is None) != (options.data is None):
        raise ParameterError("--references and --data belong together; give both, or none")
    if options.references is not None:
        refs = open_references(options.references)
        many = f"the best of {refs.explained:,} samples" + ("" if refs.complete else " so far")
        return References(refs, open_data(options.data, normalization), f"{options.references}, {many}")
    if options.no_references or options.model != "lenet5":
        return References(None, None, "")
    refs, data = load_references("lenet5")
    if normalization is not None:
        return References(None, None, "none: the built-in ones are of pixels without --mean and --std")
    if layer not in refs.layers:
        return References(None, None, f"none: the built-in ones are of {', '.join(refs.layers)}")
    return References(refs, data, "built-in, the best of 10,000 digits")


def open_references(path: Path) -> ReferenceSamples:
    """Open a file, or say that it is not there."""
    if not path.is_file():
        raise ParameterError(f"{path}: no such file")
    return ReferenceSamples.open(path)


def open_data(path: Path, normalization: Normalization | None) -> HDF5Data:
    """Give the samples of an HDF5 file as input of a model."""
    if not path.is_file():
        raise ParameterError(f"{path}: no such file")
    try:
        return HDF5Data(path, prepare=Prepare(normalization))
    except OSError as error:
        raise ParameterError(f"{path}: cannot be read as an HDF5 file: {error}") from error


@dataclass(frozen=True)
class Prepare:
    """Makes images as they are stored the input of a model.

    Bytes are pixels: they become [0, 1], and normalised. Other numbers are taken as they are. Images without
    channels get one.
    """

    normalization: Normalization | None = None

    def __call__(self, images: Array) -> Array:
        """Prepare some images."""
        x = images[:, None] if images.ndim == 3 else images
        if x.dtype != np.uint8:
            return x
        x = x.astype(np.float32) / np.float32(255)
        return x if self.normalization is None else self.normalization.normalize(x)
