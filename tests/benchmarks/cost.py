"""How the cost of refcrp grows with image size, channels, conditions and batch: measure, and draw.

Writes the curves to PATH.svg and PATH.png, and the numbers to PATH.json.
"""

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import networks
import numpy as np

import refcrp as rc

SIZE, CHANNELS, LAYERS = 56, 64, 3  # of the network where something else varies


@dataclass(frozen=True)
class Panel:
    """One curve: what varies, over which values, and how the cost should grow."""

    name: str
    label: str
    values: tuple
    slope: int
    quick_values: tuple


PANELS = (
    Panel("size", "image height and width, pixels", (14, 28, 56, 112, 224), 2, (14, 28, 56)),
    Panel("channels", "channels of each layer", (16, 32, 64, 128, 256), 2, (16, 32, 64)),
    Panel("conditions", "conditions (channels explained)", (1, 2, 4, 8, 16, 32), 1, (1, 2, 4)),
    Panel("batch", "images in a batch", (1, 2, 4, 8, 16, 32), 1, (1, 2, 4)),
)


def network(size, channels):
    """Three convolutions, pooling, and a dense layer."""
    rng = np.random.default_rng(0)
    inputs = [3] + [channels] * (LAYERS - 1)
    convolutions = [
        networks.random_convolution(rng, c, channels, 3, padding=1, activation="relu") for c in inputs
    ]
    weight, bias = networks.random_parameters(rng, (10, channels))
    layers = [*convolutions, rc.layers.GlobalAvgPool(), rc.layers.Flatten(), rc.layers.Dense(weight, bias)]
    return rc.Sequential(layers, input_shape=(3, size, size))


def analysis(panel, value):
    """The function to time where `value` takes the place of what varies."""
    size = value if panel.name == "size" else SIZE
    channels = value if panel.name == "channels" else CHANNELS
    x = networks.random_images(value if panel.name == "batch" else 1, image=size)
    lrp = rc.LRP(network(size, channels), rc.EpsilonPlusFlat())
    if panel.name != "conditions":
        return lambda: lrp(x, output=0)
    crp = rc.CRP(lrp, layer=f"conv{LAYERS}", features=rc.IndexedFeatures(*range(value)))
    return lambda: crp(x, output=0)


def median_time(function, seconds):
    """The median of at least 5 calls, in ms, after one that does not count."""
    function()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def measure(seconds, is_quick):
    """The points of each curve: {name: [[value, ms], ...]}."""
    curves = {}
    for panel in PANELS:
        values = panel.quick_values if is_quick else panel.values
        curves[panel.name] = [[v, median_time(analysis(panel, v), seconds)] for v in values]
        print(
            f"{panel.name}: {', '.join(f'{v}: {ms:.3g} ms' for v, ms in curves[panel.name])}", file=sys.stderr
        )
    return curves


def draw(curves, path):
    """Draw one panel for each curve, with a line of the slope that the arithmetic has."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "refcrp", "font.size": 9, "axes.spines.top": False})
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter

    figure, axes = plt.subplots(1, len(PANELS), figsize=(11, 2.9), layout="constrained")
    for axis, panel in zip(axes, PANELS, strict=True):
        values, times = zip(*curves[panel.name], strict=True)
        last_value, last_time = values[-1], times[-1]
        guide = [last_time * (v / last_value) ** panel.slope for v in values]
        axis.loglog(values, guide, "--", color="0.6", lw=1, label=f"slope {panel.slope}")
        axis.loglog(values, times, "o-", color="tab:blue", ms=4)
        axis.set_xlabel(panel.label)
        axis.set_xticks(values, [str(v) for v in values])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.yaxis.set_major_formatter(ScalarFormatter())
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.spines["right"].set_visible(False)
        axis.grid(color="0.92")
        axis.legend(frameon=False, loc="upper left")
    axes[0].set_ylabel("time, ms")
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), dpi=150)
    plt.close(figure)


def main():
    """Measure, or take numbers measured before, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="where the files go; endings are added")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each point, 1 by default")
    parser.add_argument("--quick", action="store_true", help="few points, to see whether it works")
    parser.add_argument("--from-json", type=Path, metavar="FILE", help="draw these numbers, measure nothing")
    arguments = parser.parse_args()
    if not arguments.path.parent.is_dir():
        parser.error(f"there is no folder {arguments.path.parent}")
    if arguments.from_json:
        curves = json.loads(arguments.from_json.read_text())
    else:
        curves = measure(arguments.seconds, arguments.quick)
        arguments.path.with_suffix(".json").write_text(json.dumps(curves, indent=1) + "\n")
    draw(curves, arguments.path)


if __name__ == "__main__":
    main()
