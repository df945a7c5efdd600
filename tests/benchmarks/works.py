"""What is compared: each work is done by refcrp and by one peer."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import networks
import pairs
import peers
from convolutions import RESNET18, VGG16, measure_convolutions
from processes import measure_import, measure_memory
from timing import interleaved

# Where two pixels of a pooling window are equal but for rounding, two libraries that compute in float32 may each
# let another one win. In VGG-16 that happens in one window of 10 000, and moves what its relevance explains.
ROUNDED_WINNERS = 2e-2
SHARED_WINS = (
    5e-2  # the toolbox divides between pixels that are equally large, as the dark ones of a digit are
)


@dataclass(frozen=True)
class Work:
    """One row of a table.

    ``ratio`` is the peer's time (or memory) over refcrp's; `at_least` and `aim` are what it should be, None
    if the row is there for information. `measure` takes the options and gives what the row says.
    """

    name: str
    title: str
    peer: str
    measure: Callable
    at_least: float | None = None
    aim: float | None = None
    tolerance: float = 1e-3  # largest difference over largest value, and so of means
    unit: str = "ms"
    is_slow: bool = False  # left out by --quick


def measure_pair(prepare, options):
    """Time what `prepare` gives."""
    pair = prepare(options)
    times, disagreement = interleaved(pair, options.budget)
    ours, theirs = (seconds * 1e3 / pair.parts for seconds in times.medians())
    calls = (len(times.ours), len(times.theirs))
    return {"ours": ours, "theirs": theirs, "disagreement": disagreement, "calls": calls}


def by_pair(name, title, peer, prepare, at_least=None, aim=None, **more):
    """A work that is timed in turns."""
    return Work(name, title, peer, partial(measure_pair, prepare), at_least, aim, **more)


LENET_LRP = [
    by_pair(
        f"lenet-lrp-{batch}/zennit",
        f"LeNet-5 LRP EpsilonPlusFlat, batch {batch}",
        "zennit",
        partial(pairs.zennit_plus_flat, partial(pairs.lenet_inputs, batch)),
        at_least,
        aim,
    )
    for batch, at_least, aim in ((1, 6, 10), (32, 4, 6), (256, 3, 5))
]
LENET_CRP = [
    by_pair(
        f"lenet-crp-{batch}/zennit-crp",
        f"LeNet-5 CRP, 16 channels of conv2, batch {batch}",
        "zennit-crp",
        partial(pairs.zennit_crp_lenet, batch, 16),
        at_least,
        aim,
    )
    for batch, at_least, aim in ((1, 8, 15), (32, 6, 10))
]
LENET_REFERENCES = by_pair(
    "lenet-references/zennit-crp",
    "LeNet-5 reference samples of conv2, 1000 images",
    "zennit-crp",
    partial(pairs.zennit_crp_references, 2048),
    10,
)
VGG = [
    by_pair(
        "vgg-lrp/zennit",
        "VGG-16 LRP EpsilonPlusFlat, batch 1",
        "zennit",
        partial(pairs.zennit_plus_flat, pairs.vgg_inputs),
        1.6,
        2.5,
        tolerance=ROUNDED_WINNERS,
    ),
    by_pair(
        "vgg-gamma/zennit",
        "VGG-16 LRP EpsilonGammaBox, batch 1",
        "zennit",
        partial(pairs.zennit_gamma_box, pairs.vgg_inputs),
        2.5,
        4,
        tolerance=ROUNDED_WINNERS,
    ),
    by_pair(
        "vgg-crp-8/zennit-crp",
        "VGG-16 CRP, each of 8 channels of conv13",
        "zennit-crp",
        partial(pairs.zennit_crp_vgg, 8),
        6,
        10,
        tolerance=ROUNDED_WINNERS,
    ),
    by_pair(
        "vgg-crp-64/zennit-crp",
        "VGG-16 CRP, each of 64 channels of conv13",
        "zennit-crp",
        partial(pairs.zennit_crp_vgg, 64),
        6,
        10,
        tolerance=ROUNDED_WINNERS,
        is_slow=True,
    ),
]
BY_HAND = [
    *(
        by_pair(
            f"lenet-lrp-{batch}/torch",
            f"LeNet-5 LRP EpsilonPlusFlat, batch {batch}",
            "torch",
            partial(pairs.by_hand_lrp, partial(pairs.lenet_inputs, batch)),
        )
        for batch in (1, 32, 256)
    ),
    *(
        by_pair(
            f"lenet-crp-{batch}/torch",
            f"LeNet-5 CRP, 16 channels of conv2, batch {batch}",
            "torch",
            partial(pairs.by_hand_crp, partial(pairs.lenet_inputs, batch), "conv2", range(16), 16),
        )
        for batch in (1, 32)
    ),
    by_pair(
        "vgg-lrp/torch",
        "VGG-16 LRP EpsilonPlusFlat, batch 1",
        "torch",
        partial(pairs.by_hand_lrp, pairs.vgg_inputs),
        1.0,
        1.5,
        tolerance=ROUNDED_WINNERS,
    ),
    by_pair(
        "vgg-crp-64/torch",
        "VGG-16 CRP, each of 64 channels of conv13",
        "torch",
        partial(pairs.by_hand_crp, pairs.vgg_inputs, networks.LAST_CONVOLUTION, range(0, 512, 8), 8),
        1.0,
        1.5,
        tolerance=ROUNDED_WINNERS,
        is_slow=True,
    ),
]
OTHERS = [
    by_pair(
        "lenet-epsilon-32/captum",
        "LeNet-5 LRP EpsilonRule, batch 32",
        "captum",
        partial(pairs.captum_epsilon, 32),
    ),
    by_pair(
        "lenet-epsilon-32/toolbox",
        "LeNet-5 LRP EpsilonRule, batch 32, float64",
        peers.TOOLBOX,
        partial(pairs.toolbox_epsilon, 32),
        tolerance=SHARED_WINS,
    ),
]
CONVOLUTIONS = [
    Work(
        f"conv-{network}-{direction}-{dtype}/torch",
        f"{title} convolutions, {direction}, {dtype}",
        "torch",
        partial(measure_convolutions, shapes, direction, dtype),
        0.9,
        1.2,
    )
    for network, title, shapes in (("vgg", "VGG-16", VGG16), ("resnet", "ResNet-18", RESNET18))
    for dtype in ("float32", "float64")
    for direction in ("forward", "adjoint")
]
MEMORY = Work(
    "memory/zennit-crp",
    "Peak memory of VGG-16 CRP, 8 channels",
    "zennit-crp",
    measure_memory,
    2,
    3,
    unit="MB",
)
IMPORT = Work("import", "import", "", measure_import)
WORKS = (*LENET_LRP, *LENET_CRP, LENET_REFERENCES, *VGG, *BY_HAND, *CONVOLUTIONS, *OTHERS, MEMORY, IMPORT)


def chosen_works(names):
    """The works whose name starts with one of `names`; all if there are none."""
    unknown = [name for name in names if not any(work.name.startswith(name) for work in WORKS)]
    if unknown:
        raise ValueError(
            f"no work called {', '.join(unknown)}; there are\n  " + "\n  ".join(w.name for w in WORKS)
        )
    return [work for work in WORKS if not names or any(work.name.startswith(name) for name in names)]
