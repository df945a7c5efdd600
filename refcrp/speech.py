"""Rules as a dialect has them: what the choices of `refcrp.dialects` mean in contributions and stabilizers.

The engine knows rules only; this module turns a rule and a dialect into the rule that computes as the dialect
does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from refcrp import input_rules, rules
from refcrp import layers as L
from refcrp.arrays import Array
from refcrp.dialects import Dialect
from refcrp.errors import RuleCompatibilityError
from refcrp.layers import Layer
from refcrp.modifiers import (
    AddPositive,
    add_always,
    keep,
    negative,
    ones,
    positive,
    replace_zeros,
    square,
    stabilize,
    zero,
)
from refcrp.propagation import Contribution, Share
from refcrp.rule import Bound, Rule
from refcrp.rules import AlphaBetaRule, EpsilonRule, GammaRule, PassRule, ZPlusRule

__all__ = ["LAYERS", "RULES", "UNEVEN", "USUAL", "SpokenRule", "bind_as"]

# The words for layers and rules, in `Dialect.lacks` and in test cases.
LAYERS: Mapping[str, type[Layer]] = {
    "conv2d": L.Conv2d,
    "dense": L.Dense,
    "batch_norm": L.BatchNorm,  # before scale, which it is one of
    "scale": L.Scale,
    "layer_norm": L.LayerNorm,
    "max_pool": L.MaxPool,
    "avg_pool": L.AvgPool,
    "global_max_pool": L.GlobalMaxPool,
    "global_avg_pool": L.GlobalAvgPool,
    "relu": L.ReLU,
    "flatten": L.Flatten,
    "softmax": L.Softmax,
    "add": L.Add,
    "concat": L.Concat,
    "conv_transpose2d": L.ConvTranspose2d,
    "zero_pad": L.ZeroPad,
    "adaptive_max_pool": L.AdaptiveMaxPool,
    "adaptive_avg_pool": L.AdaptiveAvgPool,
    "upsample_nearest": L.UpsampleNearest,
    "upsample_bilinear": L.UpsampleBilinear,
    "group_norm": L.GroupNorm,
    "instance_norm": L.InstanceNorm,
    "multiply": L.Multiply,
    "relu6": L.ReLU6,
    "hard_tanh": L.HardTanh,
    "leaky_relu": L.LeakyReLU,
    "prelu": L.PReLU,
    "reshape": L.Reshape,
    "permute": L.Permute,
    "identity": L.Identity,
    "dropout": L.Dropout,
}

# Settings of convolutions and pooling that some implementations do not have, and their usual values.
USUAL: Mapping[str, Any] = {"padding": (0, 0), "dilation": (1, 1), "groups": 1}
UNEVEN = "uneven_padding"  # padding on four sides that differ

RULES: Mapping[str, type[Rule]] = {
    "zero": rules.ZeroRule,
    "epsilon": rules.EpsilonRule,
    "gamma": rules.GammaRule,
    "generalized_gamma": rules.GeneralizedGammaRule,
    "zplus": rules.ZPlusRule,
    "alpha_beta": rules.AlphaBetaRule,
    "wsquare": input_rules.WSquareRule,
    "flat": input_rules.FlatRule,
    "zbox": input_rules.ZBoxRule,
    "pass": rules.PassRule,
    "layer_norm": rules.LayerNormRule,
}


def bind_as(rule: Rule, layer: Layer, dialect: Dialect) -> Bound:
    """Bind `rule` to `layer` as `dialect` has it.

    Raises
    ------
    RuleCompatibilityError
        If the rule is not defined on this layer, or the dialect does not have the rule or the layer.
    """
    layer.check_rule(rule)
    missing = [word for word in dialect.lacks if has(word, rule, layer)]
    if missing:
        raise RuleCompatibilityError(
            f"{rule!r} cannot be used on {layer!r} in the dialect {dialect.name!r}: it has no {missing[0]}"
        )
    if isinstance(layer, L.BatchNorm) and rule.is_plain and dialect.batch_norm == "pass":
        return PassRule().bind(layer)
    if isinstance(rule, PassRule):
        return rule.bind(layer)
    return layer.bind_checked(SpokenRule(rule, dialect))


def has(word: str, rule: Rule, layer: Layer) -> bool:
    """Tell whether `word` names the rule, the layer, or a setting of the layer that is not the usual one."""
    if word == UNEVEN or word in USUAL:
        if not isinstance(layer, (L.ConvLayer, L.PoolingLayer)):
            return False
        if word == UNEVEN:
            return len(getattr(layer, "padding", ())) > len(USUAL["padding"])
        return bool(np.any(getattr(layer, word, USUAL[word]) != USUAL[word]))
    return type(rule) is RULES.get(word) or type(layer) is LAYERS.get(word)


@dataclass(frozen=True)
class SpokenRule(Rule):
    """A rule as a dialect has it; for layers that it is defined on."""

    rule: Rule
    dialect: Dialect

    def shares(self) -> tuple[Share, ...]:
        """Say which contributions count, as the dialect has it."""
        in_dialect = SHARES.get(type(self.rule))
        return self.rule.shares() if in_dialect is None else in_dialect(self.rule, self.dialect)

    def stabilize(self, z: Array) -> Array:
        """Make the denominator safe to divide by, as the dialect does."""
        return self.stabilizer(z)

    @cached_property
    def stabilizer(self) -> Callable[[Array], Array]:
        """The stabilizer; a rule of the user's own with a stabilizer of its own keeps that."""
        rule, dialect = self.rule, self.dialect
        if isinstance(rule, EpsilonRule) and dialect.epsilon_rule == "positive":
            return lambda z: add_always(add_always(z, rule.epsilon), dialect.epsilon)
        if type(rule).stabilize is not Rule.stabilize:
            return rule.stabilize
        return partial(STABILIZERS[dialect.stabilizer], epsilon=dialect.epsilon)

    @property
    def max_pool(self) -> str:
        """How max pooling divides relevance."""
        return self.dialect.max_pool

    @property
    def near_tie(self) -> float:
        """Max pooling's winner is the first value within this, relative, of the maximum."""
        return self.dialect.near_tie

    def __repr__(self) -> str:
        return repr(self.rule)


STABILIZERS: Mapping[str, Callable[..., Array]] = {
    "signed": stabilize,
    "positive": add_always,
    "at zero": replace_zeros,
}


def gamma_shares(rule: Any, dialect: Dialect) -> tuple[Share, ...]:
    """Raise weights or contributions; the bias scaled or plain."""
    if dialect.gamma_contributions == "products":
        return rules.GeneralizedGammaRule(rule.gamma).shares()
    up = AddPositive(rule.gamma)
    return (Share((Contribution(weight=up, bias=up if dialect.gamma_bias == "scaled" else keep),)),)


def zplus_shares(rule: Any, dialect: Dialect) -> tuple[Share, ...]:
    """Count positive products or positive weights; the bias clipped, whole or left out."""
    bias = {"positive": positive, "whole": keep, "none": zero}[dialect.zplus_bias]
    if dialect.zplus_contributions == "weights":
        return (Share((Contribution(weight=positive, bias=bias),)),)
    return (Share((Contribution(positive, positive, bias), Contribution(negative, negative, zero))),)


def alpha_beta_shares(rule: Any, dialect: Dialect) -> tuple[Share, ...]:
    """Put the bias in by its parts, whole or not at all."""
    bias_for, bias_against = {"parts": (positive, negative), "whole": (keep, keep), "none": (zero, zero)}[
        dialect.alpha_beta_bias
    ]
    speaks_for = (Contribution(positive, positive, bias_for), Contribution(negative, negative, zero))
    against = (Contribution(positive, negative, bias_against), Contribution(negative, positive, zero))
    return (Share(speaks_for, scale=rule.alpha), Share(against, scale=-rule.beta))


def wsquare_shares(rule: Any, dialect: Dialect) -> tuple[Share, ...]:
    """Square the bias, or leave it out."""
    bias = {"none": zero, "squared": square}[dialect.wsquare_bias]
    return (Share((Contribution(ones, square, bias),)),)


# The rules that dialects divide differently; all others have the shares they have.
SHARES: Mapping[type[Rule], Callable[[Any, Dialect], tuple[Share, ...]]] = {
    GammaRule: gamma_shares,
    ZPlusRule: zplus_shares,
    AlphaBetaRule: alpha_beta_shares,
    input_rules.WSquareRule: wsquare_shares,
}
