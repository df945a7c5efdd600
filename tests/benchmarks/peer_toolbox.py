"""The LRP toolbox of Lapuschkin et al. 2016 in NumPy; images are (n, h, w, channels) there."""

import importlib
import sys

import numpy as np

from refcrp import layers as L


def epsilon_lrp(path, model, x, neurons, epsilon=1e-6):
    """A function that explains `neurons` of the images `x` with the epsilon rule in every layer."""
    sys.path.insert(0, str(path))
    if "float" not in vars(np):
        vars(np)["float"] = float  # the toolbox was written for a NumPy that had it
    network = toolbox_network(importlib.import_module("modules"), model)
    images = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    one_hot = np.zeros((len(x), model.shapes[-1][0]))
    one_hot[np.arange(len(x)), neurons] = 1

    def explain():
        network.forward(images)
        return network.lrp(one_hot, "epsilon", epsilon)

    return explain


def toolbox_network(modules, model):
    """The same network in the toolbox."""
    layers, shape = [], model.input_shape
    for layer, output_shape in zip(model, model.shapes, strict=True):
        if isinstance(layer, L.Conv2d):
            kernels = layer.weight.transpose(2, 3, 1, 0)
            part = modules.Convolution(filtersize=kernels.shape, stride=layer.stride)
            part.W, part.B = np.ascontiguousarray(kernels), np.array(layer.bias)
        elif isinstance(layer, L.Dense):
            weight = layer.weight
            if len(shape) == 3:  # which neuron reads which pixel is another order there
                weight = weight.reshape(-1, *shape).transpose(0, 2, 3, 1).reshape(len(weight), -1)
                shape = ()
            part = modules.Linear(*reversed(weight.shape))
            part.W, part.B = np.ascontiguousarray(weight.T), np.array(layer.bias)
        elif isinstance(layer, L.MaxPool):
            part = modules.MaxPool(pool=layer.kernel_size, stride=layer.stride)
        elif isinstance(layer, L.Flatten):
            part = modules.Flatten()
        else:
            raise TypeError(f"no toolbox layer for {layer!r}")
        layers.append(part)
        if layer.arrays() and layer.nonlinearity is not None:
            layers.append(modules.Rect())
        shape = shape if isinstance(layer, L.Flatten | L.Dense) else output_shape
    return modules.Sequential(layers)
