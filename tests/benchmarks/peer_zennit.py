"""zennit and zennit-crp: relevance by hooks on torch modules."""

import tempfile
from pathlib import Path

import numpy as np
import torch
from networks import torch_network
from zennit.attribution import Gradient
from zennit.composites import EpsilonGammaBox, EpsilonPlus, EpsilonPlusFlat

STABILIZER = 1e-9  # as refcrp's; the default of zennit is 1e-6


def plus_flat():
    """zennit's EpsilonPlusFlat in refcrp's dialect."""
    return EpsilonPlusFlat(epsilon=1e-6, stabilizer=STABILIZER)


def gamma_box(low, high):
    """zennit's EpsilonGammaBox in refcrp's dialect."""
    return EpsilonGammaBox(low, high, epsilon=1e-6, gamma=0.25, stabilizer=STABILIZER)


def lrp(model, composite, x, neurons):
    """A function that explains `neurons` of the images `x`.

    The hooks are registered once, outside of what is timed.
    """
    network = torch_network(model)
    attributor = Gradient(network, composite)
    attributor.__enter__()
    images = torch.from_numpy(x)
    one_hot = torch.zeros(len(x), model.shapes[-1][0])
    one_hot[torch.arange(len(x)), torch.from_numpy(neurons)] = 1

    def explain():
        return attributor(images, one_hot)[1].numpy()

    return explain


def crp(model, composite, x, neurons, layer, channels):
    """A function that explains images through each of some channels: heatmaps (n k, h, w), sample-major."""
    from crp.attribution import CondAttribution

    attribution = CondAttribution(torch_network(model))
    images = torch.from_numpy(x)
    conditions = [{layer: [channel], "y": [int(y)]} for y in neurons for channel in channels]

    def explain():
        data = images.repeat_interleave(len(channels), dim=0).requires_grad_()
        return attribution(data, conditions, composite, init_rel=1).heatmap.numpy()

    return explain


def crp_in_batches(model, composite, x, neuron, layer, channels, batch_size=8):
    """A function that explains one image, of which zennit-crp keeps the graph for all batches."""
    from crp.attribution import CondAttribution

    attribution = CondAttribution(torch_network(model))
    image = torch.from_numpy(x)

    def explain(channels=channels):
        conditions = [{layer: [channel], "y": [int(neuron)]} for channel in channels]
        data = image.clone().requires_grad_()
        parts = attribution.generate(
            data, conditions, composite, init_rel=1, batch_size=batch_size, verbose=False
        )
        return torch.cat([part.heatmap.clone() for part in parts]).numpy()

    return explain


def references(model, x, neurons, layer, batch_size=256):
    """A function that collects reference samples, 40 of each channel: their scores (40, channels)."""
    from crp.attribution import CondAttribution
    from crp.concepts import ChannelConcept
    from crp.visualization import FeatureVisualization

    attribution = CondAttribution(torch_network(model))
    data = [(torch.from_numpy(image), int(y)) for image, y in zip(x, neurons, strict=True)]

    def collect():
        with tempfile.TemporaryDirectory() as folder:
            fv = FeatureVisualization(
                attribution, data, {layer: ChannelConcept()}, abs_norm=False, path=folder
            )
            fv.run(EpsilonPlus(), 0, len(data), batch_size=batch_size)
            return np.load(Path(folder) / "RelMax_sum_unnormed" / f"{layer}_rel.npy")

    return collect
