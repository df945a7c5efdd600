"""Test vectors, further layers without weights: resampling, norms by groups, and what only moves values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from vectors_parts import (
    EPSILON,
    LAYER_NORM,
    PASS,
    ZERO,
    arrays,
    drawn,
    group_norm,
    numbers,
    plain,
    pool,
    random,
)

from refcrp.conformance.cases import Case, LayerSpec, RuleSpec

HALF = RuleSpec("epsilon", {"epsilon": 0.5})
WORDS = {"zero": (ZERO, "LRP-0"), "epsilon": (EPSILON, "LRP-epsilon"), "large-epsilon": (HALF, "LRP-epsilon")}
MOVING = {"zero": ZERO, "epsilon": HALF, "pass": PASS}


def cases() -> Iterator[Case]:
    """Give the vectors."""
    yield from pooling_cases()
    yield from zero_denominators()
    yield from norm_cases()
    yield from moving_cases()


# Layer, shape of the input, what, flags.
WITHOUT_WEIGHTS: dict[str, tuple[LayerSpec, tuple[int, ...], str, str]] = {
    "adaptive-avg-pool-even": (
        *(plain("adaptive_avg_pool", output_size=(2, 3)), (2, 2, 4, 3)),
        *("Adaptive average pooling whose bins are alike", ""),
    ),
    "adaptive-avg-pool-uneven": (
        *(plain("adaptive_avg_pool", output_size=(3, 2)), (1, 2, 4, 5)),
        *("Adaptive average pooling whose bins overlap by a pixel", "overlap"),
    ),
    "adaptive-avg-pool-larger": (
        *(plain("adaptive_avg_pool", output_size=(3, 3)), (1, 1, 2, 2)),
        *("Adaptive average pooling to more pixels than there are", "overlap"),
    ),
    "adaptive-max-pool-even": (
        *(plain("adaptive_max_pool", output_size=(2, 1)), (2, 2, 4, 3)),
        *("Adaptive max pooling whose bins are alike", ""),
    ),
    "adaptive-max-pool-uneven": (
        *(plain("adaptive_max_pool", output_size=(3, 2)), (1, 2, 4, 5)),
        *("Adaptive max pooling whose bins overlap by a pixel", "overlap"),
    ),
    "upsample-nearest-twice": (
        *(plain("upsample_nearest", size=(4, 6)), (2, 2, 2, 3)),
        *("Upsampling where each pixel becomes four", ""),
    ),
    "upsample-nearest-odd": (
        *(plain("upsample_nearest", size=(5, 3)), (1, 2, 3, 2)),
        *("Upsampling where pixels are copied once or twice", ""),
    ),
    "upsample-nearest-smaller": (
        *(plain("upsample_nearest", size=(2, 3)), (1, 2, 4, 4)),
        *("Upsampling to fewer pixels, which leaves some out", "unseen-inputs"),
    ),
    "upsample-bilinear-twice": (
        *(plain("upsample_bilinear", size=(4, 6), align_corners=False), (2, 2, 2, 3)),
        *("Bilinear upsampling to twice the size", ""),
    ),
    "upsample-bilinear-odd": (
        *(plain("upsample_bilinear", size=(5, 3), align_corners=False), (1, 2, 3, 2)),
        *("Bilinear upsampling by no whole number", ""),
    ),
    "upsample-bilinear-smaller": (
        *(plain("upsample_bilinear", size=(2, 2), align_corners=False), (1, 2, 5, 4)),
        *("Bilinear upsampling to fewer pixels, which leaves some out", "unseen-inputs"),
    ),
    "upsample-bilinear-corners": (
        *(plain("upsample_bilinear", size=(5, 4), align_corners=True), (1, 2, 3, 3)),
        *("Bilinear upsampling with the middles of the corner pixels on each other", ""),
    ),
    "upsample-bilinear-one-row": (
        *(plain("upsample_bilinear", size=(1, 3), align_corners=True), (1, 2, 2, 2)),
        *("Bilinear upsampling to one row, which is the first", "unseen-inputs"),
    ),
    "upsample-bilinear-one-pixel": (
        *(plain("upsample_bilinear", size=(2, 3), align_corners=False), (1, 2, 1, 1)),
        *("Bilinear upsampling of one pixel", ""),
    ),
    "avg-pool-uneven-counted": (
        *(pool("avg_pool", 3, stride=2, padding=(0, 1, 0, 1)), (1, 2, 4, 4)),
        *("Average pooling with padding below and on the right, which counts", "overlap"),
    ),
    "avg-pool-uneven-not-counted": (
        pool("avg_pool", 2, padding=(0, 1, 0, 0), count_include_pad=False),
        *((1, 2, 3, 4), "Average pooling with padding below, which does not count", ""),
    ),
    "max-pool-uneven": (
        *(pool("max_pool", 3, stride=2, padding=(0, 1, 1, 1)), (1, 2, 4, 3)),
        *("Max pooling with padding that differs from side to side", "overlap"),
    ),
    "multiply": (plain("multiply", value=2.5), (2, 2, 2, 2), "A constant factor", ""),
    "multiply-negative": (plain("multiply", value=-0.375), (2, 3), "A negative constant factor", ""),
}


def pooling_cases() -> Iterator[Case]:
    """Pooling, upsampling and factors, under rules that need no weights."""
    for word, (rule, title) in WORDS.items():
        for setting, (layer, shape, what, flag) in WITHOUT_WEIGHTS.items():
            name = f"{setting}-{word}"
            x = numbers(random(name), *shape)
            flags = ("layer", flag) if flag else ("layer",)
            yield drawn(name, f"{what}, under {title}.", replace(layer, rule=rule), x, *flags)


def zero_denominators() -> Iterator[Case]:
    """Outputs that are exactly zero: what is interpolated between opposites, and a mean of them."""
    for word, (rule, title) in WORDS.items():
        for kind, layer, x in (
            (
                "upsample-bilinear",
                plain("upsample_bilinear", rule, size=(1, 3), align_corners=True),
                [[[[1.5, -1.5]]]],
            ),
            (
                "adaptive-avg-pool",
                plain("adaptive_avg_pool", rule, output_size=(1, 2)),
                [[[[1.0, -1, 2, 3]]]],
            ),
            ("multiply", plain("multiply", rule, value=3.0), [[0.0, 2]]),
            ("adaptive-max-pool", plain("adaptive_max_pool", rule, output_size=(1, 1)), [[[[0.0, -1]]]]),
        ):
            reason = f"An output of {kind.replace('-', ' ')} is exactly zero, under {title}."
            yield drawn(f"{kind}-zero-output-{word}", reason, layer, np.array(x), "edge", "zero-denominator")
    layer = group_norm("instance_norm", LAYER_NORM, bias=np.array([0.5]))
    reason = "A pixel that equals the mean of its channel has a denominator of zero."
    yield drawn("instance-norm-mean", reason, layer, np.array([[[[1.0, 2, 3]]]]), "edge", "zero-denominator")


# Kind, groups, shape of the input, parameters, what.
NORMS: dict[str, tuple[str, int, tuple[int, ...], tuple[str, ...], str]] = {
    "group-norm-maps": ("group_norm", 2, (2, 4, 2, 1), ("weight", "bias"), "of maps in two groups"),
    "group-norm-one": ("group_norm", 1, (1, 3, 2, 2), ("weight", "bias"), "of all maps together"),
    "group-norm-bare": ("group_norm", 2, (1, 2, 2, 2), (), "without parameters"),
    "group-norm-features": ("group_norm", 2, (1, 6), ("weight",), "of features, without bias"),
    "instance-norm-maps": ("instance_norm", 0, (2, 2, 2, 3), ("weight", "bias"), "of each map alone"),
    "instance-norm-bare": ("instance_norm", 0, (1, 2, 2, 2), (), "of each map alone, without parameters"),
}


def norm_cases() -> Iterator[Case]:
    """Group and instance normalisation."""
    for setting, (kind, groups, shape, parameters, what) in NORMS.items():
        for word, rule in (("layer-norm", LAYER_NORM), ("pass", PASS)):
            name = f"{setting}-{word}"
            rng = random(name)
            x = numbers(rng, *shape)
            given = {key: numbers(rng, shape[1]) for key in parameters}
            layer = group_norm(kind, rule, groups=groups, **given)
            reason = f"{'Group' if groups else 'Instance'} normalisation {what}, under the rule {word}."
            yield drawn(name, reason, layer, x, "layer")


MOVES: dict[str, tuple[LayerSpec, tuple[int, ...], str]] = {
    "identity": (plain("identity"), (2, 2, 2, 2), "Nothing happens"),
    "dropout": (plain("dropout", rate=0.25), (2, 5), "Dropout does nothing once training is over"),
    "reshape": (plain("reshape", shape=(3, 2, 2)), (2, 12), "Features become an image"),
    "permute": (plain("permute", axes=(0, 3, 1, 2)), (2, 2, 2, 3), "Channels come first that were last"),
    "zero-pad": (plain("zero_pad", padding=(1, 0, 2, 1)), (1, 2, 2, 2), "Relevance of zeros is dropped"),
}
ACTIVATIONS: dict[str, tuple[LayerSpec, str]] = {
    "relu6": (plain("relu6"), "A ReLU that ends at 6"),
    "hard-tanh": (plain("hard_tanh", low=-1.5, high=1.0), "A function that is cut off on both sides"),
    "leaky-relu": (plain("leaky_relu", negative_slope=0.125), "A leaky ReLU"),
    "prelu": (
        LayerSpec("prelu", "prelu", ZERO, arrays(weight=[0.5, -0.25])),
        "A ReLU with a slope for each channel",
    ),
}


def moving_cases() -> Iterator[Case]:
    """Layers that pass relevance on."""
    for kind, (layer, shape, what) in MOVES.items():
        for word, rule in MOVING.items():
            if (kind, word) != ("zero-pad", "pass"):
                name = f"{kind}-{word}"
                x, spec = numbers(random(name), *shape), replace(layer, rule=rule)
                yield drawn(name, f"{what}; the rule is {word}.", spec, x, "layer", signed=True)
    for kind, (layer, what) in ACTIVATIONS.items():
        for word, rule in (("zero", ZERO), ("pass", PASS)):
            name = f"{kind}-{word}"
            x, spec = numbers(random(name), 1, 2, 2, 3, bound=8), replace(layer, rule=rule)
            reason = f"{what} passes relevance on, wherever the input lies; the rule is {word}."
            yield drawn(name, reason, spec, x, "layer", signed=True)
