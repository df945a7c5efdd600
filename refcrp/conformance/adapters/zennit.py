"""zennit: relevance in place of gradients, by hooks on torch modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from refcrp.arrays import Array
from refcrp.conformance import NotSupported
from refcrp.conformance.adapters.as_torch import needed_for, network, one_hot, tensor
from refcrp.conformance.cases import Case, LayerSpec

with needed_for("zennit"):
    import torch
    from zennit import rules
    from zennit.attribution import Gradient
    from zennit.composites import NameMapComposite
    from zennit.core import Hook

__all__ = ["composite", "explain"]

WITHOUT_WEIGHT = (
    *("avg_pool", "global_avg_pool", "adaptive_avg_pool", "add"),
    *("upsample_nearest", "upsample_bilinear"),
)
BY_GRADIENT = (  # zennit's composites leave them to autograd
    *("max_pool", "global_max_pool", "adaptive_max_pool", "flatten", "concat"),
    *("reshape", "permute", "zero_pad", "identity", "dropout"),
)
# zennit's composites pass relevance through them
PASSED = ("relu", "relu6", "hard_tanh", "leaky_relu", "prelu", "batch_norm")
RULES: Mapping[str, Callable[..., Hook]] = {
    "zero": rules.Epsilon,  # whose default, 1e-6, is the stabilizer of the others
    "epsilon": rules.Epsilon,
    "gamma": rules.Gamma,
    "generalized_gamma": rules.Gamma,
    "zplus": rules.ZPlus,
    "alpha_beta": rules.AlphaBeta,
    "wsquare": rules.WSquare,
    "flat": rules.Flat,
    "zbox": rules.ZBox,
    "pass": rules.Pass,
}


def explain(case: Case) -> Array:
    """Give the relevance of the input; at an output neuron that is to be explained it starts as 1."""
    if case.conditions is not None:
        raise NotSupported("zennit has no conditions")
    x = tensor(case.x).requires_grad_()
    with Gradient(network(case), composite(case)) as attributor:
        relevance = attributor(x, partial(start, case))[1]
    return np.asarray(relevance.detach())


def start(case: Case, output: torch.Tensor) -> torch.Tensor:
    """Give the relevance of the output."""
    if case.relevance_out is not None:
        return tensor(case.relevance_out)
    assert case.output is not None
    return one_hot(output, case.output)


def composite(case: Case) -> NameMapComposite:
    """Give the rules of a case to the modules of their names."""
    hooks = ((spec.name, hook(spec)) for spec in case.layers)
    return NameMapComposite([((name,), chosen) for name, chosen in hooks if chosen is not None])


def hook(spec: LayerSpec) -> Hook | None:
    """Give zennit's rule for a layer; None where relevance flows as the gradient does."""
    name, parameters = spec.rule.name, spec.rule.parameters
    if spec.kind in BY_GRADIENT or spec.kind in PASSED:
        if name not in ("zero", "epsilon", "pass") or (name == "pass" and "pool" in spec.kind):
            raise NotSupported(f"zennit has no rule {name} for {spec.kind}")
        return None if spec.kind in BY_GRADIENT else rules.Pass()
    if name not in RULES:
        raise NotSupported(f"zennit has no rule {name}")
    if name == "zero" and spec.kind in WITHOUT_WEIGHT:
        return rules.Norm()
    if name == "zbox":  # numbers that are no tensors, zennit would round to float32
        return RULES[name](**{bound: torch.tensor(v, dtype=torch.float64) for bound, v in parameters.items()})
    return RULES[name](**parameters)
