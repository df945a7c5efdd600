"""Test vectors, networks of further layers: one makes images small and large again, one normalises."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from vectors_architectures import BY_COMPOSITES, Network
from vectors_networks import network_case
from vectors_parts import LAYER_NORM, conv2d, conv_transpose2d, dense, group_norm, numbers, plain

from refcrp.conformance.cases import Case, LayerSpec


def cases() -> Iterator[Case]:
    """Give the vectors."""
    for name, network in NETWORKS.items():
        for assignment in network.assignments:
            yield network_case(f"net-{name}-{assignment}", network, assignment, network.n)


def decoder(rng: np.random.Generator) -> list[LayerSpec]:
    """Give a network that makes an image small and large again."""
    up = {"stride": 2, "padding": 1, "output_padding": 1}
    return [
        conv2d(numbers(rng, 3, 1, 3, 3), numbers(rng, 3), name="down", stride=2, padding=1),
        *(plain("relu", name="relu1"), conv_transpose2d(numbers(rng, 3, 2, 3, 3), numbers(rng, 2), **up)),
        *(plain("relu", name="relu2"), plain("dropout", rate=0.5)),
        plain("upsample_bilinear", name="interpolate", size=(7, 7), align_corners=True),
        conv2d(numbers(rng, 2, 2, 2, 2), numbers(rng, 2), name="conv2", stride=2),
        *(plain("relu", name="relu3"), plain("adaptive_avg_pool", name="means", output_size=(2, 2))),
        *(plain("upsample_nearest", name="copies", size=(4, 2)), plain("reshape", shape=(16,))),
        dense(numbers(rng, 3, 16), numbers(rng, 3), name="dense1"),
    ]


def normalized(rng: np.random.Generator) -> list[LayerSpec]:
    """Give a network with normalisation by groups and by channels."""
    given = {"weight": numbers(rng, 4), "bias": numbers(rng, 4)}
    groups = group_norm("group_norm", LAYER_NORM, "groups", groups=2, **given)
    given = {"weight": numbers(rng, 2), "bias": numbers(rng, 2)}
    channels = group_norm("instance_norm", LAYER_NORM, "channels", **given)
    return [
        conv2d(numbers(rng, 4, 1, 2, 2), numbers(rng, 4), name="conv1", padding=(0, 1, 0, 1)),
        *(groups, plain("leaky_relu", negative_slope=0.25)),
        conv_transpose2d(numbers(rng, 4, 1, 2, 2), numbers(rng, 2), groups=2),
        *(channels, plain("relu6"), plain("multiply", value=0.5)),
        *(plain("adaptive_max_pool", name="pool1", output_size=(2, 2)), plain("permute", axes=(0, 2, 3, 1))),
        *(plain("flatten"), dense(numbers(rng, 3, 8), numbers(rng, 3), name="dense1")),
    ]


NETWORKS: dict[str, Network] = {
    "decoder": Network(
        "An image made small, and large again in three ways", decoder, (1, 5, 5), (*BY_COMPOSITES, "epsilon")
    ),
    "group-norm": Network(
        "Normalisation by groups and by channels in a network",
        *(normalized, (1, 3, 3), ("epsilon", "epsilon-plus", "epsilon-plus-flat")),
    ),
}
