"""Run zennit-crp on graphs, and store what it gives in tests/conformance/recorded_graphs.h5.

    pip install 'refcrp[compare]'
    pip install --no-deps zennit-crp==0.6.0  # it asks for an older zennit, but works with this one
    python tests/conformance/recorded_graphs.py

The networks and conditions are those of `graph_nets.py`; `test_recorded_graphs.py` compares, and needs none of
the libraries.

    /NET/weights/NAME        the network's parameters, in float64
    /NET/input               (2, *graph_nets.INPUT)
    /NET/NUMBER/WAY/LAYER    relevance recorded at a layer; that of the input is at "x"
"""

from importlib.metadata import version
from pathlib import Path

import graph_nets
import h5py
import numpy as np
import torch
from crp.attribution import CondAttribution
from torch import nn
from zennit import composites
from zennit.layer import Sum

PATH = Path(__file__).parent / "recorded_graphs.h5"


class WithGradient(CondAttribution):
    """Gives relevance of every channel; zennit-crp's own map is summed over them."""

    def heatmap_modifier(self, data, on_device=None):
        return data.grad.detach().clone()


class Net(nn.Module):
    """Has the layers with weights, and a ReLU after each convolution."""

    def __init__(self, shapes):
        super().__init__()
        for name, (outputs, inputs, *kernel) in shapes.items():
            if kernel:
                self.add_module(name, nn.Conv2d(inputs, outputs, kernel[0], padding=kernel[0] // 2))
                self.add_module(f"{name}_relu", nn.ReLU())
            else:
                self.add_module(name, nn.Linear(inputs, outputs))
        self.flat, self.smaller, self.pool = nn.Flatten(), nn.MaxPool2d(2), nn.AvgPool2d(3, 1, 1)
        self.sum, self.sum_relu = Sum(), nn.ReLU()

    def conv(self, name, x):
        return self.get_submodule(f"{name}_relu")(self.get_submodule(name)(x))


class Residual(Net):
    def forward(self, x):
        a = self.conv("first", x)
        z = self.sum(torch.stack([self.body2(self.conv("body1", a)), a], dim=-1))
        return self.dense(self.flat(self.conv("late", self.sum_relu(z))))


class Inception(Net):
    def forward(self, x):
        x = self.conv("stem", x)
        b = self.conv("b2", self.conv("b1", x))
        x = torch.cat([self.conv("a", x), b, self.conv("c", self.pool(x))], dim=1)
        return self.dense(self.flat(self.smaller(self.conv("late", x))))


class DenseNet(Net):
    def forward(self, x):
        x = self.conv("stem", x)
        first = self.conv("grow1", x)
        second = self.conv("grow2", torch.cat([x, first], dim=1))
        x = self.conv("transition", torch.cat([x, first, second], dim=1))
        return self.dense(self.flat(self.smaller(x)))


NETS = {"residual": Residual, "inception": Inception, "densenet": DenseNet}


def made(name, seed=0):
    """Give a network and two inputs, both random."""
    torch.manual_seed(seed)
    net = NETS[name](graph_nets.SHAPES[name]).double().eval()
    return net, torch.randn(2, *graph_nets.INPUT, dtype=torch.double)


def arrays_of(net):
    return {name: value.detach().numpy().copy() for name, value in net.state_dict().items()}


def explained(net, x, question, exclude_parallel):
    """Give what zennit-crp says, by the layer's name; the input's relevance as "x"."""
    attribution = WithGradient(net)(
        x[: question.samples].clone().requires_grad_(),
        [dict(condition) for condition in question.conditions],
        getattr(composites, question.composite)(),
        exclude_parallel=exclude_parallel,
        record_layer=list(question.record),
    )
    recorded = {name: attribution.relevances[name].numpy() for name in question.record}
    return {"x": attribution.heatmap.numpy()} | recorded


def write(file, name, array):
    packing = {"compression": "gzip", "compression_opts": 9, "shuffle": True}
    file.create_dataset(name, data=np.asarray(array), fletcher32=True, **packing)


def main():
    torch.set_num_threads(1)
    with h5py.File(PATH, "w", libver="v110") as file:
        for library in ("torch", "zennit", "zennit-crp"):
            file.attrs[library] = np.bytes_(version(library).partition("+")[0])
        for name in NETS:
            net, x = made(name)
            write(file, f"{name}/input", x.numpy())
            for key, array in arrays_of(net).items():
                write(file, f"{name}/weights/{key}", array)
        for key, (name, question, alone) in graph_nets.RUNS.items():
            net, x = made(name)
            for layer, R in explained(net, x, question, alone).items():
                write(file, f"{key}/{layer}", R)
    print(f"{PATH}: {PATH.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
