"""Captum: relevance by hooks that change gradients, one rule object in each module."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from refcrp.arrays import Array
from refcrp.conformance import NotSupported
from refcrp.conformance.adapters.as_torch import Sum, needed_for, network, tensor
from refcrp.conformance.cases import Case, LayerSpec

with needed_for("captum"):
    import torch
    from captum.attr import LRP
    from captum.attr._utils import lrp_rules as rules
    from torch import nn

__all__ = ["FlatteningNet", "explain"]

MOVING = ("flatten", "reshape", "permute", "zero_pad", "identity")
ACTIVATIONS = ("relu6", "hard_tanh", "leaky_relu", "prelu")  # Captum knows others

RULES: Mapping[str, Callable[..., rules.PropagationRule]] = {
    "zero": rules.EpsilonRule,  # whose default, 1e-9, is the stabilizer of the others
    "epsilon": rules.EpsilonRule,
    "gamma": rules.GammaRule,
    "zplus": rules.Alpha1_Beta0_Rule,
    "pass": rules.IdentityRule,
}


class Addition(nn.Module):  # type: ignore[misc, unused-ignore] # Any where torch is not installed
    """Captum's Addition_Module, for more than two inputs, too."""

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Add."""
        return sum(inputs[1:], inputs[0])


class FlatteningNet(nn.Sequential):  # type: ignore[misc, unused-ignore]
    """The modules of a case. Flattening and its like are none of them: Captum has no rule for it."""

    def __init__(self, case: Case) -> None:
        whole = network(case)
        kinds = {spec.name: spec.kind for spec in case.layers}
        modules = ((name, Addition() if isinstance(m, Sum) else m) for name, m in whole.named_children())
        super().__init__(OrderedDict((name, m) for name, m in modules if kinds[name] not in MOVING))
        # As functions, so that they are no modules of this one.
        moves = {spec.name: getattr(whole, spec.name).forward for spec in case.layers if spec.kind in MOVING}
        self.steps = [
            (spec.name, moves.get(spec.name), names)
            for spec, names in zip(case.layers, case.inputs, strict=True)
        ]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the output."""
        values = {"x": x}
        for name, move, names in self.steps:
            read = [values[source] for source in names]
            x = values[name] = getattr(self, name)(*read) if move is None else move(*read)
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
    if any(spec.kind == "concat" for spec in case.layers):
        raise NotSupported("Captum has no rule for a concatenation")
    net = FlatteningNet(case)
    for spec in case.layers:
        if spec.kind in ACTIVATIONS:
            raise NotSupported(f"Captum has no rule for {spec.kind}")
        if spec.kind not in ("relu", "dropout", *MOVING):
            getattr(net, spec.name).rule = rule(spec)
    x = tensor(case.x).requires_grad_()
    if case.relevance_out is None:
        relevance = LRP(net).attribute(x, target=list(case.output or ()))
    else:
        relevance = LRPOf(net, tensor(case.relevance_out)).attribute(x)
    return np.asarray(relevance.detach())


def rule(spec: LayerSpec) -> rules.PropagationRule:
    """Give Captum's rule for a layer."""
    if spec.rule.name not in RULES:
        raise NotSupported(f"Captum has no rule {spec.rule.name}")
    return RULES[spec.rule.name](**spec.rule.parameters)
