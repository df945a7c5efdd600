"""What explains: the rules, and the layer whose channels are the concepts."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from refcrp import presets
from refcrp.composite import Composite
from refcrp.concepts.tiles import Crop
from refcrp.errors import UnknownLayerError
from refcrp.layers import ConvLayer
from refcrp.lrp import LRP
from refcrp.model import Model
from refcrp.normalization import Normalization

__all__ = [
    "CROPS",
    "add_analyzer",
    "add_crop",
    "analyzer",
    "convolutions",
    "find_layer",
    "input_range",
    "with_pixels",
]

COMPOSITES: dict[str, Callable[[Any, Any], Composite]] = {
    "EpsilonPlus": lambda low, high: presets.EpsilonPlus(),
    "EpsilonPlusFlat": lambda low, high: presets.EpsilonPlusFlat(),
    "EpsilonGammaBox": presets.EpsilonGammaBox,
    "EpsilonAlpha2Beta1": lambda low, high: presets.EpsilonAlpha2Beta1(),
    "EpsilonAlpha2Beta1Flat": lambda low, high: presets.EpsilonAlpha2Beta1Flat(),
}
CROPS: dict[str, Crop | None] = {"none": None, "receptive-field": "receptive-field", "heatmap": "heatmap"}


def add_analyzer(parser: argparse.ArgumentParser) -> None:
    """Describe --output and the rules."""
    parser.add_argument(
        "--output", type=int, metavar="C", help="output neuron to explain; default: the highest"
    )
    parser.add_argument(
        "--composite",
        choices=COMPOSITES,
        default="EpsilonPlus",
        metavar="NAME",
        help=f"one of {', '.join(COMPOSITES)}; default: EpsilonPlus",
    )
    for name, pixel in (("--low", 0), ("--high", 1)):
        parser.add_argument(
            name,
            type=float,
            metavar="V",
            help=f"{name[2:]}est value of the model's input, for EpsilonGammaBox; "
            f"default: what a pixel of {pixel} becomes",
        )


def add_crop(parser: argparse.ArgumentParser, default: str) -> None:
    """Describe --crop."""
    parser.add_argument(
        "--crop",
        choices=CROPS,
        default=default,
        help="cut reference samples to what their strongest neuron sees, or to where it finds most; "
        f"default: {default}",
    )


def analyzer(options: argparse.Namespace, model: Model, normalization: Normalization | None) -> LRP:
    """Give the LRP analyzer that was asked for."""
    return LRP(model, COMPOSITES[options.composite](*input_range(options, normalization)))


def input_range(options: argparse.Namespace, normalization: Normalization | None) -> tuple[Any, Any]:
    """Give the lowest and the highest value of the input: what was asked for, or of normalised pixels."""
    own = normalization or Normalization()
    channels = max(len(own.mean), len(own.std))
    ends = (own.normalize(np.full((1, channels, 1, 1), pixel))[0] for pixel in (0.0, 1.0))
    low, high = (end.item() if channels == 1 else end for end in ends)
    return (low if options.low is None else options.low), (high if options.high is None else options.high)


def with_pixels(model: Model, normalization: Normalization | None) -> Model:
    """Give the model that knows how pixels became its input."""
    if normalization is None:
        return model
    return model.with_normalization(mean=normalization.mean, std=normalization.std)


def find_layer(layer: str, model: Model) -> int:
    """Give the index of a layer by what was typed: its name or its index."""
    is_number = re.fullmatch(r"-?[0-9]+", layer) and layer not in model.names
    return model.index(int(layer) if is_number else layer)


def convolutions(model: Model, option: str) -> list[int]:
    """Give the indices of the convolutions; raise if there are none, and `option` must say which layer."""
    found = [k for k, candidate in enumerate(model) if isinstance(candidate, ConvLayer)]
    if not found:
        raise UnknownLayerError(f"the model has no convolution; choose a {option}: {', '.join(model.names)}")
    return found
