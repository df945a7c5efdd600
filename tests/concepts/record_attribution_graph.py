"""Run zennit-crp's AttributionGraph on the built-in LeNet-5, and store what it gives beside this file.

    pip install 'refcrp[compare]'
    pip install --no-deps zennit-crp==0.6.0  # it asks for an older zennit, but works with this one
    python tests/concepts/record_attribution_graph.py

`test_graph_recorded.py` compares, and needs none of the libraries.
"""

import json
from importlib.metadata import version
from pathlib import Path

import torch
from crp.attribution import AttributionGraph, CondAttribution
from crp.concepts import ChannelConcept
from crp.graph import trace_model_graph
from record_zennit_crp import network
from zennit.composites import EpsilonPlus, EpsilonPlusFlat

import refcrp as rc

FILE = Path(__file__).with_name("attribution_graph.json")
COMPOSITES = {"EpsilonPlus": EpsilonPlus, "EpsilonPlusFlat": EpsilonPlusFlat}
LAYERS = ["conv1", "conv2", "dense1", "dense2", "dense3"]
CASES = [
    # sample, target, layer, channel, width, composite
    (0, 0, "conv2", 3, [4], "EpsilonPlusFlat"),
    (9, 0, "dense1", 73, [5, 3], "EpsilonPlusFlat"),
    (17, 1, "dense2", 43, [4, 3, 2], "EpsilonPlusFlat"),
    (23, 2, "dense2", 4, [120], "EpsilonPlus"),  # all: some have negative relevance, some none
]


def record():
    model = rc.load_model("lenet5")
    digits, _ = rc.load_digits()
    net = network(model)
    attribution = CondAttribution(net)
    x = torch.tensor(digits, dtype=torch.float64)
    structure = trace_model_graph(net, x[:1], LAYERS)
    graph = AttributionGraph(attribution, structure, {name: ChannelConcept() for name in LAYERS})
    cases = []
    for sample, target, layer, channel, width, composite in CASES:
        connections = {
            normalised: graph(
                x[sample : sample + 1].clone().requires_grad_(),
                COMPOSITES[composite](),
                channel,
                layer,
                target=target,
                width=width,
                abs_norm=normalised,
                verbose=False,
            )
            for normalised in (False, True)
        }
        edges = {}
        for source, targets in connections[False].connections.items():
            shares = connections[True].connections[source]
            for (name, c, relevance), (*same, share) in zip(targets, shares, strict=True):
                assert [name, c] == same
                # a channel reached several times is listed as often, with the same children
                edges[(*source, name, c)] = relevance, share
        cases.append(
            {
                "sample": sample,
                "target": target,
                "layer": layer,
                "channel": channel,
                "width": width,
                "composite": composite,
                "edges": [[*ends, *numbers] for ends, numbers in edges.items()],
            }
        )
    return {"made by": f"zennit-crp {version('zennit-crp')}, zennit {version('zennit')}", "cases": cases}


if __name__ == "__main__":
    document = record()
    rows = ",\n".join(json.dumps(case) for case in document["cases"])
    FILE.write_text(f'{{"made by": {json.dumps(document["made by"])}, "cases": [\n{rows}\n]}}\n')
