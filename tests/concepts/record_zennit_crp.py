"""Run zennit-crp's FeatureVisualization on the built-in LeNet-5, and store what it gives beside this file.

    pip install 'refcrp[compare]'
    pip install --no-deps zennit-crp==0.6.0  # it asks for an older zennit, but works with this one
    python tests/concepts/record_zennit_crp.py

`test_references_recorded.py` compares, and needs none of the libraries. Channels are those of the convolutions'
outputs, before the ReLU, which is a module of its own; everything is computed in float64.
"""

import tempfile
from collections import OrderedDict
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import torch
from crp.attribution import CondAttribution
from crp.concepts import ChannelConcept
from crp.visualization import FeatureVisualization
from zennit.composites import EpsilonPlus, EpsilonPlusFlat

import refcrp as rc

vars(np)["int"] = int  # which crp.helper still uses

FILE = Path(__file__).with_name("zennit_crp_references.h5")
LAYERS = ("conv1", "conv2")
TABLES = {"relevance": "Rel", "activation": "Act"}
MEAN_CLASSES = 5


def network(model):
    """The built-in LeNet-5 in torch, layers under the same names."""
    layers = OrderedDict()
    for layer in model:
        kind = type(layer).__name__
        if kind == "Conv2d":
            layers[layer.name] = torch.nn.Conv2d(*layer.weight.shape[1::-1], layer.weight.shape[2:])
        elif kind == "Dense":
            layers[layer.name] = torch.nn.Linear(*layer.weight.shape[::-1])
        else:
            layers[layer.name] = torch.nn.MaxPool2d(2) if kind == "MaxPool" else torch.nn.Flatten()
        if kind in ("Conv2d", "Dense"):
            layers[layer.name].weight.data = torch.tensor(layer.weight)
            layers[layer.name].bias.data = torch.tensor(layer.bias)
            if layer.activation is not None:
                layers[f"{layer.name}_relu"] = torch.nn.ReLU()
    return torch.nn.Sequential(layers).double().eval()


def reference_samples(composite, over, abs_norm, folder):
    """What FeatureVisualization writes, by name: (ids, scores, positions) for all samples and for each class."""
    digits, labels = rc.load_digits()
    data = [(torch.tensor(x, dtype=torch.float64), int(y)) for x, y in zip(digits, labels, strict=True)]
    attribution = CondAttribution(network(rc.load_model("lenet5")))
    concepts = dict.fromkeys(LAYERS, ChannelConcept())
    fv = FeatureVisualization(
        attribution, data, concepts, max_target=over, abs_norm=abs_norm, path=str(folder)
    )
    fv.run(composite, 0, len(data), batch_size=25)
    found = {}
    for by, short in TABLES.items():
        best, of_class = (
            folder / f"{short}{what}_{over}_{'normed' if abs_norm else 'unnormed'}"
            for what in ("Max", "Stats")
        )
        for layer in LAYERS:
            files = [best / f"{layer}_{what}.npy" for what in ("data", "rel", "rf")]
            found[f"{by}/{layer}/all"] = [np.load(file) for file in files]
            files = [
                [of_class / layer / f"{y}_{what}.npy" for y in range(10)] for what in ("data", "rel", "rf")
            ]
            found[f"{by}/{layer}/classes"] = [np.stack([np.load(f) for f in some]) for some in files]
            means = [
                fv.compute_stats(c, layer, by, top_N=MEAN_CLASSES)
                for c in range(found[f"{by}/{layer}/all"][0].shape[1])
            ]
            found[f"{by}/{layer}/means"] = [np.stack([np.asarray(m[k]) for m in means]) for k in (0, 1)]
    return found


def record():
    """Write the file."""
    with h5py.File(FILE, "w", libver="latest") as file:
        for name in ("torch", "zennit", "zennit-crp"):
            file.attrs[name] = version(name)
        for over in ("sum", "max"):
            for abs_norm in (False, True):
                with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
                    plus = reference_samples(EpsilonPlus(), over, abs_norm, Path(one))
                    flat = reference_samples(EpsilonPlusFlat(), over, abs_norm, Path(two))
                for name, arrays in plus.items():
                    # The rule of conv1 shows only below its output.
                    assert all(np.array_equal(a, b) for a, b in zip(arrays, flat[name], strict=True))
                    group = f"{over}/{'normed' if abs_norm else 'plain'}/{name}"
                    store(file, group, arrays)


def store(file, group, arrays):
    """Store ids, scores and positions in types that are large enough."""
    names = ("samples", "scores", "positions") if len(arrays) == 3 else ("labels", "scores")
    for name, array in zip(names, arrays, strict=True):
        dtype = {"scores": np.float32, "positions": np.uint16}.get(name, np.uint8)
        assert name == "scores" or np.array_equal(array, array.astype(dtype))
        file.create_dataset(f"{group}/{name}", data=array.astype(dtype))


if __name__ == "__main__":
    record()
