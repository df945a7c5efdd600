"""Test vectors for pooling: its settings, ties, near ties, windows of zeros."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from vectors_parts import EPSILON, ZERO, case, drawn, plain, pool, random

from refcrp.conformance.cases import Case


def cases() -> Iterator[Case]:
    """Give the vectors."""
    yield from pool_cases()
    yield from max_edges()
    yield from global_edges()
    yield from average_edges()


POOLS: dict[str, tuple[str, tuple[int, int, int], tuple[Any, ...], dict[str, Any], tuple[str, ...]]] = {
    "plain": ("with windows side by side", (2, 4, 4), (2,), {}, ()),
    "overlapping": ("with overlapping windows", (2, 4, 4), (3,), {"stride": 1}, ("overlap",)),
    "padded": ("with padding", (2, 4, 4), (3,), {"stride": 2, "padding": 1}, ("overlap",)),
    "rectangular": ("with windows that are not square", (1, 4, 6), ((2, 3),), {}, ()),
    "leftover": ("whose windows leave a row and a column unseen", (2, 5, 5), (2,), {}, ("unseen-inputs",)),
    "gaps": ("with gaps between windows", (1, 5, 5), (2,), {"stride": 3}, ("unseen-inputs",)),
    "one-by-one": ("with windows of one pixel", (2, 2, 2), (1,), {}, ()),
}  # fmt: skip


def pool_cases() -> Iterator[Case]:
    """Pooling."""
    for rule, spec in (("zero", ZERO), ("epsilon", EPSILON)):
        for kind, title in (("max_pool", "Max pooling"), ("avg_pool", "Average pooling")):
            for setting, (what, image, arguments, more, flags) in POOLS.items():
                name = f"{kind.replace('_', '-')}-{setting}-{rule}"
                x = distinct(name, 2 if setting == "plain" else 1, *image)
                layer = pool(kind, *arguments, spec, **more)
                yield drawn(name, f"{title} {what}, under the rule {rule}.", layer, x, "layer", *flags)
        name = f"avg-pool-padding-not-counted-{rule}"
        layer = pool("avg_pool", 3, spec, stride=2, padding=1, count_include_pad=False)
        reason = f"Average pooling under the rule {rule}, where padding does not count in the mean."
        yield drawn(name, reason, layer, distinct(name, 1, 2, 4, 4), "layer", "overlap")
        for kind, title in (("global_max_pool", "The maximum"), ("global_avg_pool", "The mean")):
            for setting, n, image in (("maps", 2, (3, 2, 3)), ("one-pixel", 1, (3, 1, 1))):
                name = f"{kind.replace('_', '-')}-{setting}-{rule}"
                what = "a whole map" if setting == "maps" else "one pixel, which is the whole map,"
                reason = f"{title} over {what} under the rule {rule}."
                yield drawn(name, reason, plain(kind, spec), distinct(name, n, *image), "layer")


def distinct(name: str, *shape: int) -> np.ndarray:
    """Give numbers in steps of 1/32, no two the same or near, of which no four or nine add up to 0."""
    count = int(np.prod(shape))
    steps = random(name).permutation(np.arange(count) - count // 2)
    return ((8 * steps + 1) / 256).reshape(shape)


# Edges of max pooling ---------------------------------------------------------------------------------------

ONE = 1.0
BELOW = 1 - 2.0**-12  # relative difference 2.4e-4: within the square root of float32's 2**-23
FAR_BELOW = 1 - 2.0**-11  # 4.9e-4: outside
JUST_WITHIN = 1 - 361 * 2.0**-20  # 3.443e-4, where the square root is 3.453e-4
JUST_OUTSIDE = 1 - 363 * 2.0**-20  # 3.462e-4

# Images of one channel that windows of 2x2 see side by side.
MAX_EDGES: dict[str, tuple[str, list[list[float]], tuple[str, ...]]] = {
    "tie-row": ("The maximum stands twice in a row, and the first wins.", [[1, 1], [0.25, 0.5]], ("tie",)),
    "tie-order": (
        "Of two maxima the upper one is first in row-major order, the left one in column-major.",
        [[0.5, 2], [2, 0.25]],
        ("tie",),
    ),
    "tie-all": ("All values of a window are the same.", [[1.5, 1.5], [1.5, 1.5]], ("tie",)),
    "tie-three": ("Three of four values are the maximum.", [[0.5, 3], [3, 3]], ("tie",)),
    "tie-negative": (
        "A negative maximum stands twice.",
        [[-2, -0.5], [-0.5, -1]],
        ("tie", "negative-maximum"),
    ),
    "near-tie-before": (
        "A value 2.4e-4 below the maximum comes before it, and wins where near ties count as ties.",
        [[0.5, BELOW], [ONE, 0.25]],
        ("near-tie",),
    ),
    "near-tie-after": (
        "A value 2.4e-4 below the maximum comes after it, and loses everywhere.",
        [[0.5, ONE], [BELOW, 0.25]],
        ("near-tie",),
    ),
    "near-tie-outside": (
        "A value 4.9e-4 below the maximum comes before it: too far for any near tie.",
        [[0.5, FAR_BELOW], [ONE, 0.25]],
        ("near-tie",),
    ),
    "near-tie-just-within": (
        "A value comes before the maximum that is just within the square root of 2**-23.",
        [[JUST_WITHIN, 0.5], [ONE, 0.25]],
        ("near-tie",),
    ),
    "near-tie-just-outside": (
        "A value comes before the maximum that is just outside the square root of 2**-23.",
        [[JUST_OUTSIDE, 0.5], [ONE, 0.25]],
        ("near-tie",),
    ),
    "near-tie-chain": (
        "Two values come before the maximum, each 2.4e-4 from the next: only the second is near it.",
        [[2 * BELOW - 1, BELOW], [ONE, 0.25]],
        ("near-tie",),
    ),
    "near-tie-negative": (
        "All values are negative, and one 2.4e-4 below the maximum comes before it.",
        [[-1, -2], [-BELOW, -3]],
        ("near-tie", "negative-maximum"),
    ),
    "near-tie-of-zero": (
        "The maximum is zero and a value just below it comes first: no relative difference makes it near.",
        [[-1, -(2.0**-20)], [0, -0.5]],
        ("near-tie",),
    ),
    "tie-in-float32": (
        "The maximum is 1e-12 larger than the value before it: distinct in float64, a tie in float32.",
        [[0.5, 1], [1 + 2.0**-40, 0.25]],
        ("near-tie", "float64-only"),
    ),
    "zero-window": (
        "A window of zeros has no winner to speak of.",
        [[0, 0], [0, 0]],
        ("zero-window", "tie"),
    ),
    "zero-maximum": ("The maximum is zero, and the other values are negative.", [[-1, -2], [0, -0.5]], ()),
    "zero-tie": ("The maximum is zero twice, as after a ReLU.", [[-1, 0], [-2, 0]], ("tie",)),
    "negative-maximum": ("All values are negative.", [[-3, -1], [-0.5, -2]], ("negative-maximum",)),
    "tiny-maximum": (
        "The maximum is near the stabilizer, which takes part of the relevance where there is one.",
        [[2.0**-31, 2.0**-32], [2.0**-30, 0]],
        ("tiny",),
    ),
    "huge-maximum": ("The values are around 1e18.", [[2.0**60, 2.0**59], [-(2.0**61), 2.0**58]], ("huge",)),
}  # fmt: skip

OVERLAPS: dict[str, tuple[str, list[list[float]], dict[str, Any], tuple[str, ...]]] = {
    "overlapping-winner": (
        "One pixel wins in four overlapping windows, and collects the relevance of all.",
        [[1, 2, 1], [2, 5, 3], [1, 4, 2]],
        {"stride": 1},
        (),
    ),
    "overlapping-ties": (
        "Overlapping windows with ties: each has a first winner of its own.",
        [[1, 2, 2], [2, 1, 2], [2, 2, 1]],
        {"stride": 1},
        ("tie",),
    ),
    "overlapping-zeros": (
        "Overlapping windows, one of them of zeros, as after a ReLU.",
        [[0, 0, 1], [0, 0, 0], [0, 2, 0]],
        {"stride": 1},
        ("zero-window", "tie"),
    ),
    "padded-negative": (
        "All values are negative and there is padding, which is no zero that could win.",
        [[-1, -2, -3], [-4, -0.5, -2], [-3, -1, -2]],
        {"stride": 2, "padding": 1},
        ("negative-maximum",),
    ),
    "padded-corner": (
        "With padding the window in each corner sees one pixel.",
        [[-1, 2], [3, -4]],
        {"padding": 1},
        (),
    ),
}  # fmt: skip


def max_edges() -> Iterator[Case]:
    """Ties, zeros and signs under max pooling."""
    for setting, (reason, image, flags) in MAX_EDGES.items():
        name = f"max-pool-{setting}"
        yield case(name, reason, pool("max_pool", 2), [[image]], [[[[1.5]]]], "edge", *flags)
    for setting, (reason, image, more, flags) in OVERLAPS.items():
        name = f"max-pool-{setting}"
        is_overlap = ("overlap",) if more.get("stride") == 1 else ()
        yield drawn(
            name, reason, pool("max_pool", 2, **more), np.array([[image]]), "edge", *flags, *is_overlap
        )
    reason = (
        "The output has relevance of both signs, and negative relevance goes to the winner like any other."
    )
    name = "max-pool-signed-relevance"
    yield drawn(name, reason, pool("max_pool", 2), distinct(name, 1, 2, 4, 4), "edge", signed=True)
    reason = "A window of zeros and a tiny maximum under the epsilon rule, whose epsilon is the stabilizer."
    image = [[0, 0, 2.0**-20, -1], [0, 0, -1, 2.0**-21]]
    layer = pool("max_pool", 2, EPSILON)
    yield case(
        "max-pool-zero-window-epsilon", reason, layer, [[image]], [[[[1, 2]]]], "edge", "zero-window", "tie"
    )


def global_edges() -> Iterator[Case]:
    """Ties, zeros and signs under global max pooling."""
    maps = [[[1, 3], [3, 2]], [[0, 0], [0, 0]], [[-1, -2], [-3, -0.5]], [[BELOW, 0.5], [ONE, 0]]]
    reason = "Maps with a tie, of zeros, of negative values, and with a near tie, under the global maximum."
    flags = ("tie", "near-tie", "zero-window", "negative-maximum")
    yield drawn(
        "global-max-pool-edges", reason, plain("global_max_pool", ZERO), np.array([maps]), "edge", *flags
    )


# Images of one channel, and settings of average pooling.
AVERAGE_EDGES: dict[str, tuple[str, list[list[float]], dict[str, Any], tuple[str, ...]]] = {
    "zero-mean": (
        "The mean is zero though the values are not, and the stabilizer alone is left.",
        [[1, -2], [3, -2]],
        {},
        ("zero-denominator",),
    ),
    "zero-window": (
        "A window of zeros has no relevance to give.",
        [[0, 0], [0, 0]],
        {},
        ("zero-window", "zero-denominator"),
    ),
    "negative": ("All values are negative, and so is the mean.", [[-1, -2], [-0.5, -4]], {}, ()),
    "cancellation": (
        "The mean is a small difference of large values.",
        [[64, -64], [1, -0.96875]],
        {},
        ("cancellation",),
    ),
    "tiny": (
        "The mean is near the stabilizer, which is added to the mean, not to the sum.",
        [[2.0**-29, 0], [2.0**-30, 0]],
        {},
        ("tiny",),
    ),
    "signed": (
        "Values of both signs under overlapping windows.",
        [[1, -3, 2], [0.5, 4, -1], [2, -2, 3]],
        {"stride": 1},
        ("overlap",),
    ),
    "padded-corner": (
        "With padding the window in each corner averages one pixel and three zeros.",
        [[-1, 2], [3, -4]],
        {"padding": 1},
        (),
    ),
    "padded-corner-not-counted": (
        "With padding that does not count the mean in each corner is that of one pixel.",
        [[-1, 2], [3, -4]],
        {"padding": 1, "count_include_pad": False},
        (),
    ),
}  # fmt: skip


def average_edges() -> Iterator[Case]:
    """Zeros and signs under average pooling."""
    for setting, (reason, image, more, flags) in AVERAGE_EDGES.items():
        yield drawn(
            f"avg-pool-{setting}", reason, pool("avg_pool", 2, **more), np.array([[image]]), "edge", *flags
        )
    maps = [[[1, -1], [2, -2]], [[0, 0], [0, 0]], [[-1, -2], [-3, -0.5]]]
    reason = "Maps whose mean is zero, of zeros, and of negative values, under the global mean."
    flags = ("zero-denominator", "zero-window")
    yield drawn(
        "global-avg-pool-edges",
        reason,
        plain("global_avg_pool"),
        np.array([maps], dtype=float),
        "edge",
        *flags,
    )
