"""zennit-crp: zennit's rules, and relevance masked at the output of layers."""

from __future__ import annotations

import numpy as np

from refcrp.arrays import Array
from refcrp.conformance.adapters.as_torch import needed_for, network, tensor
from refcrp.conformance.adapters.zennit import composite
from refcrp.conformance.cases import Case

with needed_for("zennit-crp", "pip install --no-deps zennit-crp==0.6.0, and 'refcrp[compare]'"):
    import torch
    from crp.attribution import CondAttribution

__all__ = ["explain"]


class Attribution(CondAttribution):  # type: ignore[misc, unused-ignore] # Any where it is not installed
    """zennit-crp's attribution, with the relevance of every channel of the input."""

    def heatmap_modifier(self, data: torch.Tensor, on_device: str | None = None) -> torch.Tensor:
        """Give relevance as it is, where zennit-crp sums over channels."""
        gradient = data.grad
        assert gradient is not None  # zennit-crp has gone backward
        return gradient.detach().clone()


def explain(case: Case) -> Array:
    """Give the relevance of the input; at an output neuron it starts as the neuron's value.

    One condition at a time, for all samples: zennit-crp answers several sample by sample, and those that name
    the same layers together.
    """
    attribution = Attribution(network(case), device=torch.device("cpu"))
    order = [spec.name for spec in case.layers]
    maps = []
    for condition in case.conditions or [{}]:
        # zennit-crp walks through the layers as they are named, and must come from the output.
        names = sorted(condition, key=order.index, reverse=True)
        layers = {name: list(condition[name]) for name in names}
        if case.relevance_out is None:
            assert case.output is not None
            conditions, R = [layers | {"y": [neuron]} for neuron in case.output], None
        else:
            conditions, R = [layers] * len(case.x), tensor(case.relevance_out)
        x = tensor(case.x).requires_grad_()
        maps.append(
            attribution(x, conditions, composite(case), init_rel=R, exclude_parallel=False).heatmap.numpy()
        )
    return np.concatenate(maps)
