"""The network of a case in torch, for the libraries that explain torch modules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from refcrp.arrays import Array
from refcrp.conformance import NotSupported
from refcrp.conformance.cases import Case, LayerSpec
from refcrp.errors import MissingDependencyError
from refcrp.speech import UNEVEN


@contextmanager
def needed_for(library: str, how: str = "pip install 'refcrp[compare]'") -> Iterator[None]:
    """Say how to install what an adapter imports, where it is missing."""
    try:
        yield
    except ImportError as error:
        missing = error.name or library
        raise MissingDependencyError(f"the adapter of {library} needs {missing}: {how}") from error


with needed_for("torch modules"):
    import torch
    from torch import nn

__all__ = ["Channelwise", "needed_for", "network", "one_hot", "tensor"]

PARAMETERS = {"mean": "running_mean", "variance": "running_var", "gamma": "weight", "beta": "bias"}


class Channelwise(nn.Conv2d):  # type: ignore[misc, unused-ignore] # Any where torch is not installed
    """One weight and one bias for each channel, or feature: a convolution, so that rules know it."""

    def __init__(self, channels: int, bias: bool) -> None:
        super().__init__(channels, channels, 1, groups=channels, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale and shift."""
        image = x.reshape(*x.shape, *[1] * (4 - x.ndim))
        return super().forward(image).reshape(x.shape)


class AnyBatchNorm(nn.BatchNorm2d):  # type: ignore[misc, unused-ignore]
    """Batch normalisation of images and of vectors."""

    def _check_input_dim(self, input: torch.Tensor) -> None:  # noqa: A002 - torch's name
        """Take either."""


class Sum(nn.Module):  # type: ignore[misc, unused-ignore]
    """The sum of inputs that come stacked along the last axis, so that hooks see one input."""

    def forward(self, stacked: torch.Tensor) -> torch.Tensor:
        """Add."""
        return stacked.sum(-1)


class Concat(nn.Module):  # type: ignore[misc, unused-ignore]
    """Inputs side by side."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Put them together."""
        return torch.cat(inputs, self.axis)


class Reshape(nn.Module):  # type: ignore[misc, unused-ignore]
    """Each sample in another shape."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Reshape."""
        return x.reshape(len(x), *self.shape)


class Permute(nn.Module):  # type: ignore[misc, unused-ignore]
    """Axes in another order."""

    def __init__(self, axes: Sequence[int]) -> None:
        super().__init__()
        self.axes = tuple(axes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Permute."""
        return x.permute(self.axes)


class Net(nn.Sequential):  # type: ignore[misc, unused-ignore]
    """Modules that read each other's outputs."""

    def __init__(self, modules: OrderedDict[str, nn.Module], inputs: Sequence[Sequence[str]]) -> None:
        super().__init__(modules)
        self.inputs = inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the output."""
        values = {"x": x}
        for (name, layer), names in zip(self.named_children(), self.inputs, strict=True):
            read = [values[source] for source in names]
            x = values[name] = layer(torch.stack(read, -1)) if isinstance(layer, Sum) else layer(*read)
        return x


def network(case: Case) -> nn.Module:
    """Give the network of a case, its modules called as the layers are."""
    modules = OrderedDict((spec.name, module(spec)) for spec in case.layers)
    net = Net(modules, case.inputs).to(tensor(case.x).dtype)
    for spec in case.layers:
        values = {PARAMETERS.get(name, name): tensor(value) for name, value in spec.arrays.items()}
        if spec.kind == "scale":
            values["weight"] = values["weight"].reshape(-1, 1, 1, 1)
        loaded = getattr(net, spec.name).load_state_dict(values, strict=False)  # a gamma of None stays 1
        assert not loaded.unexpected_keys, f"{spec.name}: {loaded.unexpected_keys}"
    return net.eval().requires_grad_(False)


def module(spec: LayerSpec) -> nn.Module:
    """Give the torch module of a layer, without its parameters."""
    if UNEVEN in spec.words:
        raise NotSupported(f"no torch module stands for a layer {spec.kind} whose padding is uneven")
    if spec.kind not in MODULES:
        raise NotSupported(f"no torch module stands for a layer {spec.kind}")
    return MODULES[spec.kind](spec)


def convolution(spec: LayerSpec) -> nn.Conv2d:
    """Give a convolution of the right size."""
    outputs, inputs, *kernel = spec.arrays["weight"].shape
    inputs *= spec.settings["groups"]
    return nn.Conv2d(inputs, outputs, tuple(kernel), bias="bias" in spec.arrays, **spec.settings)


def transposed_convolution(spec: LayerSpec) -> nn.ConvTranspose2d:
    """Give a transposed convolution of the right size."""
    inputs, outputs, *kernel = spec.arrays["weight"].shape
    outputs *= spec.settings["groups"]
    return nn.ConvTranspose2d(inputs, outputs, tuple(kernel), bias="bias" in spec.arrays, **spec.settings)


def zero_pad(spec: LayerSpec) -> nn.ZeroPad2d:
    """Give zeros around an image: torch counts from the last axis."""
    top, bottom, left, right = spec.settings["padding"]
    return nn.ZeroPad2d((left, right, top, bottom))


def linear(spec: LayerSpec) -> nn.Linear:
    """Give a dense layer of the right size."""
    outputs, inputs = spec.arrays["weight"].shape
    return nn.Linear(inputs, outputs, bias="bias" in spec.arrays)


MODULES: Mapping[str, Callable[[LayerSpec], nn.Module]] = {
    "conv2d": convolution,
    "conv_transpose2d": transposed_convolution,
    "dense": linear,
    "scale": lambda spec: Channelwise(spec.arrays["weight"].size, "bias" in spec.arrays),
    "batch_norm": lambda spec: AnyBatchNorm(spec.arrays["mean"].size, eps=spec.settings["epsilon"]),
    "max_pool": lambda spec: nn.MaxPool2d(**spec.settings),
    "avg_pool": lambda spec: nn.AvgPool2d(**spec.settings),
    "global_max_pool": lambda _: nn.AdaptiveMaxPool2d(1),
    "global_avg_pool": lambda _: nn.AdaptiveAvgPool2d(1),
    "relu": lambda _: nn.ReLU(),
    "flatten": lambda _: nn.Flatten(),
    "zero_pad": zero_pad,
    "adaptive_max_pool": lambda spec: nn.AdaptiveMaxPool2d(spec.settings["output_size"]),
    "adaptive_avg_pool": lambda spec: nn.AdaptiveAvgPool2d(spec.settings["output_size"]),
    "upsample_nearest": lambda spec: nn.Upsample(spec.settings["size"], mode="nearest"),
    "upsample_bilinear": lambda spec: nn.Upsample(**spec.settings, mode="bilinear"),
    "relu6": lambda _: nn.ReLU6(),
    "hard_tanh": lambda spec: nn.Hardtanh(spec.settings["low"], spec.settings["high"]),
    "leaky_relu": lambda spec: nn.LeakyReLU(spec.settings["negative_slope"]),
    "prelu": lambda spec: nn.PReLU(spec.arrays["weight"].size),
    "reshape": lambda spec: Reshape(spec.settings["shape"]),
    "permute": lambda spec: Permute(spec.settings["axes"]),
    "identity": lambda _: nn.Identity(),
    "dropout": lambda spec: nn.Dropout(spec.settings["rate"]),
    "add": lambda _: Sum(),
    "concat": lambda spec: Concat(spec.settings["axis"]),
}


def tensor(array: Array) -> torch.Tensor:
    """Give a copy of an array as a tensor of the same type."""
    return torch.from_numpy(np.array(array))


def one_hot(output: torch.Tensor, chosen: Sequence[int]) -> torch.Tensor:
    """Give 1 at the chosen neuron of each sample, 0 elsewhere."""
    R = torch.zeros_like(output)
    R[range(len(R)), chosen] = 1
    return R
