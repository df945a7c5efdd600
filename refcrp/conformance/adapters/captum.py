"""Captum: relevance by hooks that change gradients, one rule object in each module."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from refcrp.arrays import Array
from refcrp.conformance import NotSupported
from refcrp.conformance.adapters.as_torch import needed_for, network, tensor
from refcrp.conformance.cases import Case, LayerSpec

with needed_for("captum"):
    import torch
    from captum.attr import LRP
    from captum.attr._utils import lrp_rules as rules
    from torch import nn

__all__ = ["FlatteningChain", "explain"]

RULES: Mapping[str, Callable[..., rules.PropagationRule]] = {
    "zero": rules.EpsilonRule,  # whose default, 1e-9, is the stabilizer of the others
    "epsilon": rules.EpsilonRule,
    "gamma": rules.GammaRule,
    "zplus": rules.Alpha1_Beta0_Rule,
    "pass": rules.IdentityRule,
}


class FlatteningChain(nn.Sequential):  # type: ignore[misc, unused-ignore] # Any where torch is not installed
    """Modules one after the other. Flattening is none of them: Captum has no rule for it."""

    def __init__(self, case: Case) -> None:
        modules = network(case).named_children()
        super().__init__(OrderedDict((name, m) for name, m in modules if not isinstance(m, nn.Flatten)))
        self.steps = [None if spec.kind == "flatten" else spec.name for spec in case.layers]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the output."""
        for name in self.steps:
            x = x.flatten(1) if name is None else getattr(self, name)(x)
        return x


class LRPOf(LRP):  # type: ignore[misc, unused-ignore]
    """Captum's LRP for a given relevance of the output, where Captum has that of one neuron's value."""

    def __init__(self, model: nn.Module, R: torch.Tensor) -> None:
        super().__init__(model)
        self.R = R
        self.gradient_func = self.pull_back

    def pull_back(self, forward: Any, inputs: tuple[torch.Tensor, ...], *_: Any) -> tuple[torch.Tensor, ...]:
        """Carry R down through Captum's hooks."""
        with torch.autograd.set_grad_enabled(True):
            return tuple(torch.autograd.grad(forward(*inputs), inputs, grad_outputs=self.R))

    def _compute_output_and_change_weights(self, *args: Any) -> torch.Tensor:
        """Captum multiplies its result by what this returns: nothing, as R is whole already."""
        super()._compute_output_and_change_weights(*args)
        return torch.ones(len(self.R), dtype=self.R.dtype)


def explain(case: Case) -> Array:
    """Give the relevance of the input; at an output neuron it starts as the neuron's value."""
    if case.conditions is not None:
        raise NotSupported("Captum has no conditions")
    chain = FlatteningChain(case)
    for spec in case.layers:
        if spec.kind not in ("relu", "flatten"):
            getattr(chain, spec.name).rule = rule(spec)
    x = tensor(case.x).requires_grad_()
    if case.relevance_out is None:
        relevance = LRP(chain).attribute(x, target=list(case.output or ()))
    else:
        relevance = LRPOf(chain, tensor(case.relevance_out)).attribute(x)
    return np.asarray(relevance.detach())


def rule(spec: LayerSpec) -> rules.PropagationRule:
    """Give Captum's rule for a layer."""
    if spec.rule.name not in RULES:
        raise NotSupported(f"Captum has no rule {spec.rule.name}")
    return RULES[spec.rule.name](**spec.rule.parameters)
