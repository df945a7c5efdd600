"""What Resize and Upsample of ONNX are in refcrp, where they are the same to the last pixel."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from refcrp import layers as L
from refcrp.checks import show_shape
from refcrp.io.assembly import Part
from refcrp.io.onnx_operator import Operator
from refcrp.io.onnx_weights import image, over
from refcrp.layers.upsample import Upsampling

__all__ = ["resize"]

MAX_LENGTH = 10**5  # of an axis
HALF = Fraction(1, 2)

# Where output pixel k lies in the input, of n pixels, of which scale times as many are m.
COORDINATES: Mapping[str, Callable[[int, Fraction, int, int], Fraction]] = {
    "asymmetric": lambda k, scale, n, m: k / scale,
    "half_pixel": lambda k, scale, n, m: (k + HALF) / scale - HALF,
    "pytorch_half_pixel": lambda k, scale, n, m: (k + HALF) / scale - HALF if m > 1 else Fraction(0),
    "align_corners": lambda k, scale, n, m: Fraction(k * (n - 1), m - 1) if m > 1 else Fraction(0),
}
ROUNDING: Mapping[str, Callable[[Fraction], int]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "round_prefer_floor": lambda x: math.ceil(x - HALF),
    "round_prefer_ceil": lambda x: math.floor(x + HALF),
}


def resize(op: Operator) -> Part:
    """Upsampling, if a layer copies or mixes the very same pixels. Source: ONNX's list of operators."""
    for name, accepted in (("antialias", 0), ("exclude_outside", 0), ("keep_aspect_ratio_policy", "stretch")):
        op.demand(name, accepted)
    if len(op.shape) not in (2, 3):
        raise op.fail(f"{show_shape(op.shape)}, expected channels and one or two more axes")
    scales, lengths = asked(op)
    if any(not 0 < n <= MAX_LENGTH for n in lengths) or max(op.shape) > MAX_LENGTH:
        raise op.fail(
            f"{show_shape(op.shape)} becomes {show_shape(lengths)}, expected 1 to {MAX_LENGTH} pixels"
        )
    if lengths == op.shape[1:] and all(scale == 1 for scale in scales):
        return ()
    places = [wanted(op, *axis) for axis in zip(scales, op.shape[1:], lengths, strict=True)]
    for layer in candidates(op, scales, lengths):
        found = [pixels(layer, k, n) for k, n in enumerate(image(op.shape[1:], 1))]
        if found[-len(places) :] == places:
            return over(op, layer)
    settings = [op.get(name) for name in ("mode", "coordinate_transformation_mode", "nearest_mode")]
    raise op.fail(
        f"{settings} from {show_shape(op.shape[1:])} to {show_shape(lengths)} reads other pixels than "
        "UpsampleNearest (floor of k / scale) and UpsampleBilinear (half_pixel, align_corners) do"
    )


def asked(op: Operator) -> tuple[list[Fraction], tuple[int, ...]]:
    """Give scale and length of every axis behind the channels; the others must stay."""
    rank = len(op.shape) + 1
    in_front = op.opset < 11  # the input of scales; there are no sizes then
    scales = op.numbers("scales", 1 if in_front else 2)
    sizes = None if in_front else op.numbers("", 3)
    axes = [int(axis) % rank for axis in op.get("axes", range(rank))]
    values = scales or sizes
    if not values or len(values) != len(axes) or (scales and sizes):
        raise op.fail(f"scales={scales}, sizes={sizes}; expected one of them, with {len(axes)} values")
    before = (op.batch, *op.shape)
    found = dict(zip(axes, values, strict=True))
    if scales:
        factors = [Fraction(found.get(axis, 1)) for axis in range(rank)]
        stays = factors[0] == factors[1] == 1
        lengths = [math.floor(n * scale) for n, scale in zip(before, factors, strict=True)]
    else:
        lengths = [int(found.get(axis, before[axis])) for axis in range(rank)]
        stays = lengths[0] in (0, op.batch) and lengths[1] == before[1]
        factors = [Fraction(n, max(1, old)) for n, old in zip(lengths, before, strict=True)]
    if not stays:
        raise op.fail(f"scales={scales}, sizes={sizes} change the batch or the channels")
    return factors[2:], tuple(lengths[2:])


def wanted(op: Operator, scale: Fraction, before: int, after: int) -> list[Fraction]:
    """Say where along an axis each output pixel is read: between pixels if it is interpolated."""
    mode = op.get("mode", "nearest")
    if mode not in ("nearest", "linear"):
        raise op.fail(f"mode={mode!r} is not supported, expected 'nearest' or 'linear'")
    is_old = op.opset < 11
    coordinates = "asymmetric" if is_old else op.get("coordinate_transformation_mode", "half_pixel")
    rounding = "floor" if is_old else op.get("nearest_mode", "round_prefer_floor")
    if coordinates not in COORDINATES or rounding not in ROUNDING:
        raise op.fail(
            f"coordinate_transformation_mode={coordinates!r}, nearest_mode={rounding!r} are not supported"
        )
    places = [COORDINATES[coordinates](k, scale, before, after) for k in range(after)]
    if mode == "nearest":
        places = [Fraction(ROUNDING[rounding](place)) for place in places]
    return clipped(places, before)


def clipped(places: Sequence[Fraction], length: int) -> list[Fraction]:
    """Give places inside an axis."""
    return [min(max(place, Fraction(0)), Fraction(length - 1)) for place in places]


def candidates(op: Operator, scales: Sequence[Fraction], lengths: Sequence[int]) -> list[Upsampling]:
    """Give the layers that might be meant."""
    factors = [Fraction(1), *scales][-2:] if len(scales) == 1 else scales
    how: list[dict[str, Any]] = [{"size": image(lengths, 1)}]
    if all(scale.denominator == 1 for scale in factors):
        how.insert(0, {"scale": tuple(int(scale) for scale in factors)})
    elif factors[0] == factors[1]:
        how.insert(0, {"scale": float(factors[0])})
    if op.get("mode", "nearest") == "nearest":
        return [L.UpsampleNearest(**way) for way in how]
    return [L.UpsampleBilinear(**way, align_corners=corners) for corners in (False, True) for way in how]


def pixels(layer: Upsampling, axis: int, length: int) -> list[Fraction]:
    """Say where along an axis a layer reads each output pixel."""
    _, settings = layer.recipe(axis, length)
    outputs, step, *start = (Fraction(number) for k, number in enumerate(settings) if k != 1)
    places = [sum(start, k * step) for k in range(int(outputs))]
    return clipped(places if start else [Fraction(math.floor(place)) for place in places], length)
