"""The input that a command explains: a picture, an array or a built-in digit."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from refcrp.arrays import Array
from refcrp.datasets import load_digits
from refcrp.errors import ParameterError
from refcrp.images import read_image
from refcrp.model import Model
from refcrp.normalization import Normalization

__all__ = ["add_input", "add_normalization", "add_preparation", "normalization_of", "read_input"]

DEFAULT_DIGIT = 45  # of the built-in ones; see `refcrp explain --digit`


def add_input(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments that say what the input is, and how it becomes the model's."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "image", nargs="?", type=Path, help="a picture, or a .npy array; a built-in digit if left out"
    )
    what.add_argument(
        "--digit", type=int, metavar="I", help="built-in digit number I, 0 to 99, ten of each class"
    )
    add_preparation(parser)


def add_preparation(parser: argparse.ArgumentParser) -> None:
    """Describe how a picture becomes the model's input."""
    parser.add_argument("--resize", action="store_true", help="scale the picture to the model's size")
    parser.add_argument(
        "--invert", action="store_true", help="black ink on white paper becomes white on black"
    )
    add_normalization(parser, "default: what the model's file says, or")


def add_normalization(parser: argparse.ArgumentParser, default: str) -> None:
    """Describe --mean and --std."""
    for name, otherwise in (("--mean", 0), ("--std", 1)):
        parser.add_argument(
            name,
            type=float,
            nargs="+",
            metavar="V",
            help="pixels, values 0 to 1, become (v - mean) / std: one number, or one a channel; "
            f"{default} {otherwise}",
        )


def normalization_of(options: argparse.Namespace, model: Model) -> Normalization | None:
    """Give the normalisation that was asked for; what was not is the model's own."""
    own = model.normalization
    if options.mean is None and options.std is None:
        return own
    own = own or Normalization()
    mean = own.mean if options.mean is None else tuple(options.mean)
    std = own.std if options.std is None else tuple(options.std)
    return Normalization(mean, std)


def read_input(options: argparse.Namespace, model: Model) -> tuple[Array, str, Normalization | None]:
    """Give the input, a word on where it is from, and how its pixels were normalised (an array's were not).

    Raises
    ------
    ParameterError
        If an option is given that this kind of input does not take.
    """
    is_array = options.image is not None and options.image.suffix == ".npy"
    names = ("resize", "invert", "mean", "std")
    given = [f"--{name}" for name in names if getattr(options, name) not in (None, False)]
    if given and (options.image is None or is_array):
        array = f"{options.image} is an array, taken as it is"
        what = array if is_array else "a built-in digit is no picture"
        raise ParameterError(f"{', '.join(given)}: expected with a picture; {what}")
    normalization = None if is_array else normalization_of(options, model)
    if options.image is not None:
        x = read_image(
            options.image, model, resize=options.resize, invert=options.invert, normalization=normalization
        )
        return x, str(options.image), normalization
    images, labels = load_digits()
    number = DEFAULT_DIGIT if options.digit is None else options.digit
    if not 0 <= number < len(images):
        raise ParameterError(f"--digit {number}: the built-in digits are numbered 0 to {len(images) - 1}")
    x = images[number : number + 1]
    x = x if normalization is None else np.asarray(normalization.normalize(x))
    return x, f"built-in digit {number}, a {labels[number]}", normalization
