"""Test vectors, further layers: transposed convolution, uneven padding, resampling, norms by groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from vectors_parts import (
    EPSILON,
    PASS,
    RULES,
    TITLES,
    ZERO,
    case,
    conv2d,
    conv_transpose2d,
    drawn,
    numbers,
    plain,
    random,
    relevance,
)

from refcrp.conformance.cases import Case, RuleSpec

HALF = RuleSpec("epsilon", {"epsilon": 0.5})
WORDS = {"zero": (ZERO, "LRP-0"), "epsilon": (EPSILON, "LRP-epsilon"), "large-epsilon": (HALF, "LRP-epsilon")}
MOVING = {"zero": ZERO, "epsilon": HALF, "pass": PASS}
NO_INPUTS = (
    "wsquare",
    "flat",
    "zbox",
)  # rules without a bias: outputs without inputs have a denominator of 0


def cases() -> Iterator[Case]:
    """Give the vectors."""
    yield from by_hand()
    for rule in RULES:
        yield from transposed_cases(rule)
        yield from uneven_cases(rule)
        yield from disguised_cases(rule)


def by_hand() -> Iterator[Case]:
    """Give those that can be worked out on paper."""
    reason = "A transposed convolution by hand: 1 and 2 paint 3 and 4 each, the outputs are 3, 10 and 8."
    layer = conv_transpose2d([[[[3, 4]]]])
    yield case("conv-transpose-hand-1", reason, layer, [[[[1.0, 2]]]], [[[[3.0, 10, 8]]]], "hand-checked")
    reason = "Padding below and on the right only, by hand: the outputs see four, two, two and one pixel."
    layer = conv2d([[[[5, -6], [7, 8]]]], None, RULES["flat"], padding=(0, 1, 0, 1))
    yield case(
        "conv-uneven-flat-hand-1", reason, layer, np.ones((1, 1, 2, 2)), np.ones((1, 1, 2, 2)), "hand-checked"
    )
    reason = "Interpolation by hand: the outputs are 1, 3/2, 5/2 and 3, in shares of quarters."
    layer = plain("upsample_bilinear", size=(1, 4), align_corners=False)
    yield case(
        "upsample-bilinear-hand-1", reason, layer, [[[[1.0, 3]]]], [[[[1.0, 3, 5, 2]]]], "hand-checked"
    )
    reason = "Rows become columns: relevance goes back to where its value came from, also by the pass rule."
    layer, R = plain("permute", PASS, axes=(0, 2, 1)), [[[1.0, 2], [3, 4], [5, 6]]]
    yield case("permute-hand-1", reason, layer, [[[1.0, -2, 3], [4, 5, -6]]], R, "hand-checked")


# Layers with weights ----------------------------------------------------------------------------------------

# Image, weight, settings, whether there is a bias, samples, what, flags.
TRANSPOSED: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any], bool, int, str, str]] = {
    "plain": ((2, 2, 3), (2, 2, 2, 2), {}, True, 1, "with nothing special", ""),
    "strided": (
        *((2, 2, 2), (2, 2, 2, 2), {"stride": 2, "output_padding": 1}, True, 2),
        *("with strides, and a row and a column that no input reaches", "zero-denominator"),
    ),
    "padded": (
        *((2, 3, 3), (2, 1, 3, 3), {"stride": 2, "padding": 1, "output_padding": (1, 0)}, False, 1),
        *("without bias, with padding, which cuts pixels off its output", ""),
    ),
    "unseen": (
        *((1, 3, 4), (1, 2, 1, 1), {"padding": 1}, True, 1),
        *("whose padding cuts off all that some pixels reach", "unseen-inputs"),
    ),
    "everything": (
        (4, 3, 2),
        (4, 2, 2, 2),
        {"stride": (2, 3), "padding": (1, 0), "dilation": (3, 2), "groups": 2, "output_padding": (0, 2)},
        *(True, 2, "with every setting at once", "zero-denominator"),
    ),
}


def transposed_cases(rule: str) -> Iterator[Case]:
    """Transposed convolutions."""
    for setting, (image, weight, settings, has_bias, n, what, flag) in TRANSPOSED.items():
        name = f"conv-transpose-{setting}-{rule}"
        rng = random(name)
        groups = settings.get("groups", 1)
        x, W, b = numbers(rng, n, *image), numbers(rng, *weight), numbers(rng, weight[1] * groups)
        layer = conv_transpose2d(W, b if has_bias else None, RULES[rule], **settings)
        reason = f"A transposed convolution {what}, under {TITLES[rule]}."
        is_so = flag and (flag != "zero-denominator" or rule in NO_INPUTS)
        yield drawn(name, reason, layer, x, "layer", *([flag] if is_so else []))


UNEVEN: dict[str, tuple[tuple[int, ...], dict[str, Any], str]] = {
    "after": ((2, 2, 2, 2), {"padding": (0, 1, 0, 1)}, "below and on the right only"),
    "before": (
        (2, 2, 3, 2),
        {"padding": (2, 0, 1, 0), "stride": (2, 1)},
        "above and on the left only, with strides",
    ),
    "sides": (
        (2, 1, 2, 2),
        {"padding": (0, 1, 2, 1), "stride": (1, 2), "dilation": (2, 1), "groups": 2},
        "that differs on all sides, with every other setting",
    ),
}


def uneven_cases(rule: str) -> Iterator[Case]:
    """Convolutions whose padding differs from side to side."""
    for setting, (weight, settings, what) in UNEVEN.items():
        name = f"conv-uneven-{setting}-{rule}"
        rng = random(name)
        layer = conv2d(numbers(rng, *weight), numbers(rng, weight[0]), RULES[rule], **settings)
        reason = f"A convolution with padding {what}, under {TITLES[rule]}."
        yield drawn(name, reason, layer, numbers(rng, 1, 2, 4, 3), "layer")


def disguised_cases(rule: str) -> Iterator[Case]:
    """Sequences as images of height 1, and a separable convolution as two."""
    name = f"conv-sequence-{rule}"
    rng = random(name)
    W, b = numbers(rng, 3, 2, 1, 3), numbers(rng, 3)
    layer = conv2d(W, b, RULES[rule], stride=(1, 2), padding=(0, 2), dilation=(1, 2))
    reason = f"A one-dimensional convolution, on images of height 1, under {TITLES[rule]}."
    yield drawn(name, reason, layer, numbers(rng, 2, 2, 1, 7), "layer")
    name = f"conv-separable-{rule}"
    rng = random(name)
    layers = [
        conv2d(numbers(rng, 4, 1, 2, 2), None, RULES[rule], "depthwise", padding=1, groups=2),
        conv2d(numbers(rng, 3, 4, 1, 1, sign=1), numbers(rng, 3), RULES[rule], "pointwise"),
    ]
    reason = f"A separable convolution: each channel alone, then one pixel alone, under {TITLES[rule]}."
    yield case(name, reason, layers, numbers(rng, 1, 2, 3, 2, sign=1), relevance(rng, 1, 3, 4, 3))
    if rule in ("flat", "wsquare", "zbox"):
        name = f"zero-pad-conv-{rule}"
        rng = random(name)
        layers = [
            plain("zero_pad", padding=(1, 0, 0, 2)),
            conv2d(numbers(rng, 2, 2, 2, 2), numbers(rng, 2), RULES[rule]),
        ]
        reason = f"Zeros that a layer before a convolution puts there are inputs to it, under {TITLES[rule]}."
        yield case(name, reason, layers, numbers(rng, 1, 2, 3, 2), relevance(rng, 1, 2, 3, 3))
