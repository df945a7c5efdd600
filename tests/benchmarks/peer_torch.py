"""LRP and CRP written by hand for one composite, with plain torch functions and nothing computed twice.

This is what a careful user would write without any library: the rules of EpsilonPlusFlat are in the code,
weights are clamped once, the way back reuses what the way forward stored, no hooks, no gradients. Images are
stored with channels last, in which torch's convolutions on a CPU are fastest.
"""

from dataclasses import dataclass

import torch
from networks import as_tensor
from torch.nn import functional as F

from refcrp import layers as L

STABILIZER, EPSILON = 1e-9, 1e-6
FORMAT = torch.channels_last


@dataclass
class FlatConvolution:
    """The first convolution: relevance goes evenly to the pixels of each window, in all channels."""

    layer: object

    def __post_init__(self):
        self.weight, self.bias = (
            as_tensor(self.layer.weight).to(memory_format=FORMAT),
            as_tensor(self.layer.bias),
        )
        self.settings = {"stride": self.layer.stride, "padding": self.layer.padding}
        self.window = torch.ones(1, 1, *self.weight.shape[2:])

    def forward(self, a):
        pixels = F.conv2d(torch.ones(1, 1, *a.shape[2:]), self.window, **self.settings)
        z = F.conv2d(a, self.weight, self.bias, **self.settings)
        return F.relu_(z), (pixels * a.shape[1], a.shape)

    def backward(self, R, stored):
        count, shape = stored
        s = R.sum(dim=1, keepdim=True) / count
        return F.conv_transpose2d(s, self.window, **self.settings).expand(-1, *shape[1:])


@dataclass
class PlusConvolution:
    """A convolution behind a ReLU, by the z+ rule."""

    layer: object

    def __post_init__(self):
        self.weight, self.bias = (
            as_tensor(self.layer.weight).to(memory_format=FORMAT),
            as_tensor(self.layer.bias),
        )
        self.positive_weight, self.positive_bias = self.weight.clamp(min=0), self.bias.clamp(min=0)
        self.settings = {"stride": self.layer.stride, "padding": self.layer.padding}

    def forward(self, a):
        z = F.conv2d(a, self.weight, self.bias, **self.settings)
        z_plus = F.conv2d(a, self.positive_weight, self.positive_bias, **self.settings)
        return F.relu_(z), (a, z_plus.add_(STABILIZER))

    def backward(self, R, stored):
        a, z_plus = stored
        s = by_condition(R, z_plus).div(z_plus).flatten(0, 1)
        R_in = F.conv_transpose2d(s, self.positive_weight, **self.settings)
        return by_condition(R_in, a).mul_(a).flatten(0, 1)


@dataclass
class Dense:
    """A dense layer by the epsilon rule."""

    layer: object

    def __post_init__(self):
        self.weight, self.bias = as_tensor(self.layer.weight), as_tensor(self.layer.bias)
        self.has_activation = self.layer.nonlinearity is not None

    def forward(self, a):
        z = F.linear(a, self.weight, self.bias)
        denominator = torch.where(z >= 0, z + EPSILON, z - EPSILON)
        return F.relu_(z) if self.has_activation else z, (a, denominator)

    def backward(self, R, stored):
        a, denominator = stored
        s = by_condition(R, denominator).div(denominator).flatten(0, 1)
        return by_condition(s @ self.weight, a).mul_(a).flatten(0, 1)


@dataclass
class MaxPool:
    """All relevance goes to the winner."""

    layer: object

    def forward(self, a):
        z, winner = F.max_pool2d(a, self.layer.kernel_size, self.layer.stride, return_indices=True)
        return z, (winner, a.shape)

    def backward(self, R, stored):
        winner, shape = stored
        winner = winner.expand(len(R) // len(winner), *winner.shape).reshape(R.shape)
        return F.max_unpool2d(R, winner, self.layer.kernel_size, self.layer.stride, output_size=shape[2:])


@dataclass
class Flatten:
    """Relevance takes the shape of the input."""

    layer: object

    def forward(self, a):
        return a.flatten(1), a.shape

    def backward(self, R, shape):
        return R.reshape(-1, *shape[1:]).contiguous(memory_format=FORMAT)


STEPS = {L.Conv2d: PlusConvolution, L.Dense: Dense, L.MaxPool: MaxPool, L.Flatten: Flatten}


def by_condition(R, like):
    """Relevance (k n, ...) as (k, n, ...), for something that is (n, ...)."""
    return R.unflatten(0, (-1, len(like)))


class HandWritten:
    """EpsilonPlusFlat by hand."""

    def __init__(self, model):
        first, *rest = model
        self.names = model.names
        self.steps = [FlatConvolution(first), *(STEPS[type(layer)](layer) for layer in rest)]

    @torch.inference_mode()
    def lrp(self, x, neurons):
        """Relevance of each pixel for one output neuron of each image."""
        output, stored = self.forward(as_images(x))
        return self.backward(one_hot(output, neurons), stored, len(self.steps), 0).numpy()

    @torch.inference_mode()
    def crp(self, x, neurons, layer, channels, batch_size):
        """The same through each channel of a layer: (k n, ...), channel-major."""
        output, stored = self.forward(as_images(x))
        place = self.names.index(layer) + 1
        R = self.backward(one_hot(output, neurons), stored, len(self.steps), place)
        parts = []
        for start in range(0, len(channels), batch_size):
            chosen = channels[start : start + batch_size]
            R_channels = torch.zeros_like(R.repeat(len(chosen), 1, 1, 1))
            for row, channel in zip(by_condition(R_channels, R), chosen, strict=True):
                row[:, channel] = R[:, channel]
            parts.append(self.backward(R_channels, stored, place, 0))
        return torch.cat(parts).numpy()

    def forward(self, a):
        """The output, and what each step needs on the way back."""
        stored = []
        for step in self.steps:
            a, kept = step.forward(a)
            stored.append(kept)
        return a, stored

    def backward(self, R, stored, above, below):
        """Carry relevance down from the steps before `above` to those from `below` on."""
        for k in range(above - 1, below - 1, -1):
            R = self.steps[k].backward(R, stored[k])
        return R


def as_images(x):
    """NumPy's images for torch."""
    return torch.from_numpy(x).contiguous(memory_format=FORMAT)


def one_hot(output, neurons):
    """Relevance 1 at one neuron of each sample."""
    R = torch.zeros_like(output)
    R[torch.arange(len(R)), torch.from_numpy(neurons)] = 1
    return R
