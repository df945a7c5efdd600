"""The networks and inputs of the benchmarks: the same weights for refcrp and for torch."""

from collections import OrderedDict

import numpy as np

import refcrp as rc
from refcrp import layers as L

VGG16_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions
VGG16_LOW, VGG16_HIGH = -2.5, 2.5  # between which all pixels lie
LAST_CONVOLUTION = "conv13"


def lenet5():
    """The built-in LeNet-5, float32."""
    return rc.load_model("lenet5")


def digits(batch):
    """`batch` handwritten digits (batch, 1, 28, 28), and their labels."""
    x, labels = rc.load_digits()
    chosen = np.arange(batch) % len(x)
    return np.ascontiguousarray(x[chosen], np.float32), labels[chosen].astype(np.intp)


def vgg16(seed=0, image=224, width=1.0):
    """VGG-16 with random weights as for training (He et al. 2015), float32; `width` scales its channels."""
    rng = np.random.default_rng(seed)
    layers, channels = [], 3
    for block_channels, convolutions in VGG16_BLOCKS:
        for _ in range(convolutions):
            outputs = max(1, round(block_channels * width))
            layers.append(random_convolution(rng, channels, outputs, 3, padding=1, activation="relu"))
            channels = outputs
        layers.append(L.MaxPool(2))
    layers.append(L.Flatten())
    inputs = channels * (image // 2 ** len(VGG16_BLOCKS)) ** 2
    for outputs, activation in ((4096, "relu"), (4096, "relu"), (1000, None)):
        weight, bias = random_parameters(rng, (outputs, inputs))
        layers.append(L.Dense(weight, bias, activation=activation))
        inputs = outputs
    return rc.Sequential(layers, input_shape=(3, image, image))


def random_convolution(rng, channels, outputs, kernel, dtype=np.float32, **settings):
    """A convolution with random weights and small random biases."""
    weight, bias = random_parameters(rng, (outputs, channels, kernel, kernel), dtype)
    return L.Conv2d(weight, bias, **settings)


def random_parameters(rng, shape, dtype=np.float32):
    """A weight that keeps the size of activations, and a small bias."""
    weight = rng.standard_normal(shape, dtype=dtype)
    weight *= np.sqrt(2 / np.prod(shape[1:]), dtype=dtype)
    return weight, rng.standard_normal(shape[0], dtype=dtype) * dtype(0.05)


def random_images(batch, image=224, seed=1):
    """Images (batch, 3, image, image) of normal noise, cut at the bounds."""
    noise = np.random.default_rng(seed).standard_normal((batch, 3, image, image), dtype=np.float32)
    return noise.clip(VGG16_LOW, VGG16_HIGH)


def torch_network(model):
    """The same network in torch, sharing the weights; ``conv2`` is followed by ``conv2_relu``."""
    from torch import nn

    modules = OrderedDict()
    for name, layer in zip(model.names, model, strict=True):
        if isinstance(layer, L.Conv2d):
            modules[name] = nn.utils.skip_init(
                nn.Conv2d,
                layer.in_channels,
                len(layer.weight),
                layer.window.kernel,
                stride=layer.stride,
                padding=layer.padding,
                dilation=layer.dilation,
                groups=layer.groups,
            )
        elif isinstance(layer, L.Dense):
            modules[name] = nn.utils.skip_init(nn.Linear, *reversed(layer.weight.shape))
        elif isinstance(layer, L.MaxPool):
            modules[name] = nn.MaxPool2d(layer.kernel_size, layer.stride, layer.padding)
        elif isinstance(layer, L.Flatten):
            modules[name] = nn.Flatten()
        else:
            raise TypeError(f"no torch module for {layer!r}")
        if layer.arrays():
            modules[name].weight = nn.Parameter(as_tensor(layer.weight), requires_grad=False)
            modules[name].bias = nn.Parameter(as_tensor(layer.bias), requires_grad=False)
            if layer.nonlinearity is not None:
                modules[f"{name}_relu"] = nn.ReLU()
    return nn.Sequential(modules).eval()


def as_tensor(array):
    """The array's memory as a tensor; a copy where it is read-only."""
    import torch

    return torch.from_numpy(array if array.flags.writeable else array.copy())
