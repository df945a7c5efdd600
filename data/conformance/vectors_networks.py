"""Test vectors, whole networks: LRP and CRP.

Weights and inputs are drawn again until no ReLU and no max pooling is near the point where it switches, and
the condition number is moderate in every dialect: what float32 cannot decide is not what these are about.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from vectors_architectures import ASSIGNMENTS, NETWORKS, Assignment, Network
from vectors_parts import Array, explained, numbers, random, relevance

from refcrp.conformance.cases import Case, LayerSpec
from refcrp.conformance.exact import explain, sensitivity
from refcrp.conformance.flags import MAX_CONDITION, has
from refcrp.conformance.windows import pool_windows
from refcrp.dialects import DIALECTS

Conditions = tuple[Mapping[str, tuple[int, ...]], ...]

RELU_MARGIN = 2.0**-10  # relative to the largest value of the layer
POOL_MARGIN = 2.0**-7  # relative to the maximum; near ties, of 3.5e-4, have vectors of their own


def cases() -> Iterator[Case]:
    """Give the vectors."""
    for network, made in NETWORKS.items():
        for assignment in made.assignments:
            yield network_case(f"net-{network}-{assignment}", made, assignment, made.n)
    yield network_case(
        "net-mlp-negative-output", NETWORKS["mlp"], "zero", 2, "the lowest output explained", lowest=True
    )
    yield network_case("net-lenet-batch", NETWORKS["lenet"], "epsilon-plus", 3, "three samples at once")
    for name, (network, assignment, n, what, conditions) in CONDITIONS.items():
        yield network_case(f"crp-{name}", NETWORKS[network], assignment, n, what, conditions)
    for network, assignment in (("mlp", "epsilon"), ("lenet", "epsilon-plus")):
        name = f"net-{network}-given-relevance"
        what = "relevance of both signs given for all outputs"
        case = network_case(name, NETWORKS[network], assignment, 2, what)
        R = relevance(random(name), 2, 3, signed=True)
        yield replace(case, relevance_out=R, output=None)


# Network, assignment, samples, what is conditioned, conditions.
CONDITIONS: dict[str, tuple[str, str, int, str, Conditions]] = {
    "lenet-one-channel": ("lenet", "epsilon-plus", 1, "one channel of one layer", ({"conv2": (1,)},)),
    "lenet-or": (
        "lenet",
        "epsilon-plus",
        1,
        "two channels of a layer, one OR the other",
        ({"conv2": (0, 2)},),
    ),
    "lenet-and": (
        *("lenet", "epsilon-plus", 1, "channels of one layer AND of another"),
        ({"conv1": (0,), "conv2": (1, 2)},),
    ),
    "lenet-several": (
        *("lenet", "epsilon-plus-flat", 1, "four conditions, the last of which conditions nothing"),
        ({"conv2": (0,)}, {"conv2": (1,)}, {"conv1": (1,), "conv2": (0, 2)}, {}),
    ),
    "lenet-batch": (
        *("lenet", "epsilon-plus", 2, "two conditions on two samples, whose results come by condition"),
        ({"conv2": (2,)}, {"conv2": (0,)}),
    ),
    "lenet-relu": ("lenet", "zero", 1, "a channel at the output of a ReLU", ({"relu2": (1,)},)),
    "lenet-pool": ("lenet", "epsilon-plus", 1, "a channel at the output of max pooling", ({"pool1": (0,)},)),
    "lenet-dense": (
        *("lenet", "epsilon-alpha2beta1", 1, "two neurons of a hidden layer"),
        ({"dense1": (0, 3)},),
    ),
    "lenet-all-channels": (
        *("lenet", "epsilon-gamma-box", 1, "all channels, which is no condition"),
        ({"conv2": (0, 1, 2)},),
    ),
    "mlp-neurons": (
        *("mlp", "zplus", 2, "one hidden neuron after the other"),
        ({"dense2": (0,)}, {"dense2": (1,)}, {"dense2": (2,)}, {"dense2": (3,)}),
    ),
    "average-one-channel": (
        *("average", "epsilon-plus", 1, "one channel before average pooling"),
        ({"conv1": (1,)},),
    ),
    "batch-norm-channel": (
        *("batch-norm", "epsilon-plus", 1, "a channel at the output of the normalisation"),
        ({"norm": (2,)},),
    ),
    "one-pixel-channels": (
        *("one-pixel", "zero", 1, "channels of maps of one pixel"),
        ({"conv1": (1,)}, {"conv1": (0, 3)}),
    ),
    "strided-groups": (
        *("strided", "epsilon-plus", 1, "channels of convolutions in groups"),
        ({"conv2": (3,)}, {"conv1": (0, 1)}),
    ),
}


def network_case(
    name: str,
    network: Network,
    assignment: str,
    n: int,
    what: str = "",
    conditions: Conditions | None = None,
    *,
    lowest: bool = False,
) -> Case:
    """Draw a network until it suits."""
    reason = f"{network.what}, under {ASSIGNMENTS[assignment].what}"
    reason += f": {what}." if what else "."
    for attempt in itertools.count():
        rng = random(f"{name} {attempt}")
        layers = assigned(network.make(rng), ASSIGNMENTS[assignment])
        x = numbers(rng, n, *network.image)
        case = explained(name, reason, layers, x, (0,) * n, "network", conditions=conditions)
        outputs = case.outputs()
        pick = np.argmin if lowest else np.argmax
        case = replace(case, output=tuple(int(j) for j in pick(outputs[-1], axis=1)))
        if is_decided(case, outputs) and all(is_well_conditioned(case, d) for d in DIALECTS):
            return case
    raise AssertionError


def assigned(layers: list[LayerSpec], assignment: Assignment) -> list[LayerSpec]:
    """Give the layers their rules."""
    return [replace(spec, rule=assignment.rule(spec.kind, is_first=k == 0)) for k, spec in enumerate(layers)]


def is_decided(case: Case, outputs: list[Array]) -> bool:
    """Tell whether all switches are far from switching, and outputs from each other and from 0."""
    values = {"x": case.x} | {spec.name: a for spec, a in zip(case.layers, outputs, strict=True)}
    for spec, names in zip(case.layers, case.inputs, strict=True):
        a = values[names[0]]
        if spec.kind in ("relu", "relu6") and np.abs(a).min() < RELU_MARGIN * np.abs(a).max():
            return False
        if "max_pool" in spec.kind and not has_clear_winners(windows(spec, a)):
            return False
    sizes = np.sort(outputs[-1], axis=1)
    margin = POOL_MARGIN * np.abs(sizes).max()
    return bool(np.abs(sizes).min() > margin and np.diff(sizes, axis=1).min() > margin)


def windows(spec: LayerSpec, a: Array) -> Array:
    """Give the values that each window of max pooling sees, along the last axis."""
    if spec.kind == "global_max_pool":
        return a.reshape(*a.shape[:2], -1)
    if spec.kind == "adaptive_max_pool":
        rows = pool_windows(spec.kind, spec.settings, a.shape[1:])[0]
        sizes = itertools.zip_longest(*rows, fillvalue=-1)  # -1 stands for what a smaller bin does not have
        padded = np.pad(a.reshape(len(a), -1), ((0, 0), (0, 1)), constant_values=-np.inf)
        return padded[:, np.array(list(sizes)).T]
    (ph, pw), (sh, sw) = spec.settings["padding"], spec.settings["stride"]
    padded = np.pad(a, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=-np.inf)
    seen = np.lib.stride_tricks.sliding_window_view(padded, spec.settings["kernel_size"], axis=(2, 3))
    return seen[:, :, ::sh, ::sw].reshape(-1, np.prod(spec.settings["kernel_size"]))


def has_clear_winners(seen: Array) -> bool:
    """Tell whether the maximum of each window is far from the next value, or the window is one of zeros."""
    second, first = np.moveaxis(np.sort(seen, axis=-1)[..., -2:], -1, 0)
    return bool(((first == 0) | (first - second > POOL_MARGIN * first)).all())


def is_well_conditioned(case: Case, name: str) -> bool:
    """Tell whether float32 can do it in a dialect, and whether there is anything to explain."""
    if not has(DIALECTS[name], case):
        return True
    largest = np.abs(explain(case, name, exact=False)).max()
    return bool(largest > 0 and sensitivity(case, name).max() < MAX_CONDITION / 4 * largest)
