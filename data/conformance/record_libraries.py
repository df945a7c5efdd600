"""Run zennit, zennit-crp and Captum, and store what they print in data/conformance/recorded.h5.

    pip install 'refcrp[compare]'
    pip install --no-deps zennit-crp==0.6.0  # it asks for an older zennit, but works with this one
    python data/conformance/record_libraries.py

The test vectors that a library has the layers and rules for, in float64, and LeNet-5 on the first four
digits under the library's own composites. `tests/conformance/test_recorded.py` compares all of it with the
dialects of `refcrp.dialects`, and needs none of the libraries.

    /vectors/LIBRARY/ids, sizes, values      one vector after the other
    /lenet5/LIBRARY/COMPOSITE/DTYPE          relevance of the input for the highest output, (4, 1, 28, 28);
                                             under the attribute ``conditions``, condition-major
"""

import argparse
import importlib
import json
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import torch
from crp.attribution import CondAttribution
from zennit import composites
from zennit.attribution import Gradient

import refcrp as rc
from refcrp.conformance import NotSupported, load_vectors
from refcrp.conformance.adapters import as_torch, captum
from refcrp.conformance.cases import Case, LayerSpec, RuleSpec

PATH = Path(__file__).parent / "recorded.h5"
LIBRARIES = {"zennit": "zennit", "zennit-crp": "zennit_crp", "captum": "captum"}  # and their adapters
DIGITS = 4
ZERO, ONE = torch.tensor(0.0), torch.tensor(1.0)
COMPOSITES = {
    "EpsilonPlus": composites.EpsilonPlus(),
    "EpsilonPlusFlat": composites.EpsilonPlusFlat(),
    "EpsilonGammaBox": composites.EpsilonGammaBox(low=ZERO, high=ONE),
    "EpsilonAlpha2Beta1": composites.EpsilonAlpha2Beta1(),
    "EpsilonAlpha2Beta1Flat": composites.EpsilonAlpha2Beta1Flat(),
}
CONDITIONS = [{"conv2": [0]}, {"conv2": [5]}, {"conv2": [3, 11]}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("path", type=Path, nargs="?", default=PATH)
    path = parser.parse_args().path
    torch.set_num_threads(1)
    vectors = load_vectors()
    with h5py.File(path, "w", libver="v110") as file:
        file.attrs["format"] = np.bytes_("refcrp-recorded")
        file.attrs["torch"] = np.bytes_(version("torch").partition("+")[0])
        for library, adapter in LIBRARIES.items():
            file.attrs[library] = np.bytes_(version(library))
            explain = importlib.import_module(f"refcrp.conformance.adapters.{adapter}").explain
            count = record_vectors(file.create_group(f"vectors/{library}"), explain, vectors)
            print(f"{library} {version(library)}: {count} of {len(vectors)} vectors")
        record_lenet5(file.create_group("lenet5"))
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def record_vectors(group, explain, vectors) -> int:
    """Store what a library gives for each vector that it has the rules and layers for; give how many."""
    found = {}
    for case in vectors:
        try:
            found[case.id] = explain(case)
        except NotSupported:
            continue
        except Exception as error:
            error.add_note(f"on vector {case.id}")
            raise
    write(group, "ids", np.array(list(found), dtype=bytes))
    write(group, "sizes", np.array([R.size for R in found.values()], dtype=np.int32))
    write(group, "values", np.concatenate([R.ravel() for R in found.values()]))
    return len(found)


def record_lenet5(group) -> None:
    """Store LeNet-5's relevance under the composites that the libraries bring along."""
    digits = rc.load_digits()[0][:DIGITS]
    for dtype in (np.float64, np.float32):
        case = lenet5(digits.astype(dtype))
        network, x = as_torch.network(case), as_torch.tensor(case.x)
        output = network(x)
        chosen = output.argmax(dim=1).tolist()
        for name, composite in COMPOSITES.items():
            with Gradient(network, composite) as attributor:
                R = attributor(x.clone(), as_torch.one_hot(output, chosen))[1]
            write(group, f"zennit/{name}/{x.dtype}".replace("torch.", ""), R.detach().numpy())
        if dtype is np.float64:
            name = "zennit-crp/EpsilonPlusFlat/float64"
            write(group, name, conditional(network, x, chosen))
            group[name].attrs["conditions"] = np.bytes_(json.dumps(CONDITIONS))
            # Captum's own choice for each layer is its epsilon rule
            R = captum.LRP(captum.FlatteningNet(case)).attribute(x.requires_grad_(), target=chosen)
            write(group, "captum/default/float64", R.detach().numpy())


def conditional(network, x, chosen) -> np.ndarray:
    """Give zennit-crp's heatmaps; of a grey image there is one channel, so they are the relevance."""
    attribution = CondAttribution(network)
    maps = []
    for condition in CONDITIONS:
        conditions = [condition | {"y": [neuron]} for neuron in chosen]
        data = x.clone().requires_grad_()
        maps.append(attribution(data, conditions, COMPOSITES["EpsilonPlusFlat"]).heatmap.numpy()[:, None])
    return np.concatenate(maps)


def lenet5(x: np.ndarray) -> Case:
    """Give LeNet-5 as a case, activation functions as layers of their own."""
    layers = []
    for layer in rc.load_model("lenet5").astype(x.dtype):
        kind = {"conv": "conv2d", "dense": "dense", "maxpool": "max_pool", "flatten": "flatten"}[layer.kind]
        settings = {key: value for key, value in layer.settings().items() if key != "activation"}
        layers.append(LayerSpec(kind, layer.name, RuleSpec("zero"), layer.arrays(), settings))
        if getattr(layer, "activation", None) is not None:
            layers.append(LayerSpec("relu", f"{layer.name}_relu", RuleSpec("zero")))
    return Case("lenet5", "the built-in network", tuple(layers), x)


def write(group, name: str, array: np.ndarray) -> None:
    """Write a dataset, packed, with a checksum so that damage is noticed."""
    packing = {"compression": "gzip", "compression_opts": 9, "shuffle": True}
    group.create_dataset(name, data=array, fletcher32=True, **packing)


if __name__ == "__main__":
    main()
