"""Single convolutions, forward and adjoint, against torch's."""

from dataclasses import dataclass

import networks
import numpy as np
from timing import Pair, interleaved


@dataclass(frozen=True)
class Shape:
    """A convolution of one image."""

    channels: int
    outputs: int
    size: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1

    @property
    def operations(self):
        """Additions and multiplications, padding included."""
        size = (self.size + 2 * self.padding - self.kernel) // self.stride + 1
        return 2 * self.channels * self.outputs * (self.kernel * size) ** 2

    def __str__(self):
        text = f"{self.channels} => {self.outputs}, {self.kernel}x{self.kernel}, {self.size}x{self.size}"
        return text + (f", stride {self.stride}" if self.stride > 1 else "")


VGG16 = (
    Shape(3, 64, 224),
    Shape(64, 64, 224),
    Shape(64, 128, 112),
    Shape(128, 128, 112),
    Shape(128, 256, 56),
    Shape(256, 256, 56),
    Shape(256, 512, 28),
    Shape(512, 512, 28),
    Shape(512, 512, 14),
)
RESNET18 = (
    Shape(3, 64, 224, kernel=7, stride=2, padding=3),
    Shape(64, 64, 56),
    Shape(128, 128, 28),
    Shape(256, 256, 14),
    Shape(512, 512, 7),
    Shape(64, 128, 56, stride=2),
    Shape(128, 256, 28, stride=2),
    Shape(256, 512, 14, stride=2),
    Shape(64, 128, 56, kernel=1, stride=2, padding=0),
    Shape(128, 256, 28, kernel=1, stride=2, padding=0),
    Shape(256, 512, 14, kernel=1, stride=2, padding=0),
)


def our_forward(layer):
    """The way an analyzer computes the layer, its weights laid out once, without the checks around it."""
    return layer.own_map.linear


def our_adjoint(layer, input_shape):
    """The way an analyzer sends values back through the layer, its weights laid out once."""
    return lambda s: layer.own_map.transpose(s, input_shape[1:])


def measure_convolutions(shapes, direction, dtype, options):
    """Time all shapes, one after the other; the row gives the sums of their medians."""
    details, differences = [], []
    for shape in shapes:
        times, difference = interleaved(
            pair_of(shape, direction, np.dtype(dtype).type), options.budget_of(len(shapes))
        )
        ours, theirs = times.medians()
        differences.append(difference)
        rates = {"our_rate": shape.operations / ours / 1e9, "their_rate": shape.operations / theirs / 1e9}
        details.append({"shape": str(shape), "ours": ours * 1e3, "theirs": theirs * 1e3, **rates})
    sums = {side: sum(detail[side] for detail in details) for side in ("ours", "theirs")}
    worst = [max(column) for column in zip(*differences, strict=True)]
    return {**sums, "disagreement": worst, "details": details}


def pair_of(shape, direction, dtype):
    """One convolution, or its adjoint, by both libraries."""
    import torch
    from torch.nn import functional as F

    rng = np.random.default_rng(0)
    settings = {"stride": shape.stride, "padding": shape.padding}
    layer = networks.random_convolution(rng, shape.channels, shape.outputs, shape.kernel, dtype, **settings)
    weight, bias = networks.as_tensor(layer.weight), networks.as_tensor(layer.bias)
    x = rng.standard_normal((1, shape.channels, shape.size, shape.size), dtype=dtype)
    if direction == "forward":
        forward, image = our_forward(layer), torch.from_numpy(x)
        return Pair(lambda: forward(x), without_gradients(lambda: F.conv2d(image, weight, bias, **settings)))

    s = rng.standard_normal(layer.forward(x).shape, dtype=dtype)
    adjoint, outputs = our_adjoint(layer, x.shape), torch.from_numpy(s)
    left_over = (shape.size + 2 * shape.padding - shape.kernel) % shape.stride
    settings["output_padding"] = left_over
    return Pair(
        lambda: adjoint(s), without_gradients(lambda: F.conv_transpose2d(outputs, weight, **settings))
    )


def without_gradients(function):
    """The function as torch runs it in inference mode."""
    import torch

    return torch.inference_mode()(function)
