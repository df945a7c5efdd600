"""Dialects: where implementations of LRP disagree, each disagreement one named choice.

The papers leave things open, and libraries have filled the gaps differently. A `Dialect` records what one of
them does, as data: `CHOICES` says what each field means, `DIALECTS` holds the known ones. ``LRP(...,
dialect="zennit")`` computes as zennit does. What each library really does was read in its source, and, for
those marked as recorded, compared with the numbers it prints (`docs/conformance.md`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from refcrp.checks import check_number
from refcrp.errors import ParameterError, nearest_names

__all__ = ["CHOICES", "DIALECTS", "SOURCES", "Dialect", "as_dialect"]

# For each field the options and what they mean, as it would be said of an implementation that does so.
CHOICES: Mapping[str, Mapping[str, str]] = {
    "stabilizer": {
        "signed": "denominators become z + ε where z >= 0 and z - ε where z < 0",
        "positive": "ε is added to denominators of either sign",
        "at zero": "ε is added to denominators that are exactly zero, and to no others",
    },
    "epsilon_rule": {
        "signed": "the epsilon rule divides by z + ε where z >= 0 and by z - ε where z < 0",
        "positive": "the epsilon rule divides by z + ε of either sign, plus the stabilizer of all rules",
    },
    "gamma_contributions": {
        "weights": "the gamma rule raises positive weights",
        "products": "the gamma rule is the generalized one, which raises contributions of the sign of z",
    },
    "gamma_bias": {
        "scaled": "the gamma rule raises the bias as it does the weights",
        "plain": "the gamma rule does not scale the bias",
    },
    "zplus_contributions": {
        "products": "z-plus counts the positive contributions, (aW)⁺",
        "weights": "z-plus counts positive weights, a·W⁺, whatever the sign of the input",
    },
    "zplus_bias": {
        "positive": "z-plus has the positive part of the bias in the denominator",
        "whole": "in z-plus the bias is not clipped",
        "none": "z-plus leaves the bias out",
    },
    "alpha_beta_bias": {
        "parts": "alpha-beta has the positive part of the bias under alpha and the negative part under beta",
        "whole": "alpha-beta has the whole bias in both denominators",
        "none": "alpha-beta leaves the bias out",
    },
    "wsquare_bias": {
        "none": "w-square leaves the bias out",
        "squared": "w-square has the squared bias in the denominator",
    },
    "max_pool": {
        "stabilized": "max pooling gives the winner R·a/stabilize(z), so nothing where the maximum is zero",
        "winner": "max pooling gives all relevance to the winner",
        "shared": "max pooling divides relevance equally among ties",
        "average": "max pooling divides relevance as average pooling would",
    },
    "batch_norm": {
        "affine": "an unmerged BatchNorm divides relevance as an affine map",
        "pass": "an unmerged BatchNorm passes relevance on unchanged",
    },
    "seed": {
        "one": "relevance starts as 1 at the explained output",
        "output": "relevance starts as the explained output's own value",
    },
}


# Where it says so: files of zennit 0.5.1, captum 0.9.0, RelevancePropagation.jl, iNNvestigate, lrp_toolbox.
SOURCES: Mapping[str, str] = {
    "stabilizer": (
        "zennit/core.py Stabilizer; captum lrp_rules.py _create_backward_hook_output; Julia src/utils.jl "
        "stabilize_denom; iNNvestigate safe_divide; the tutorial's z + 1e-9"
    ),
    "epsilon_rule": (
        "zennit/rules.py Epsilon, captum, iNNvestigate and Julia: EpsilonRule; "
        "lrp_toolbox linear.py; the tutorial's incr"
    ),
    "gamma_contributions": "zennit/rules.py Gamma (Andéol et al. 2021); Montavon et al. 2019, section 10.2.3",
    "gamma_bias": "captum GammaRule, which modifies the weight alone; Julia src/rules.jl modify_bias",
    "zplus_contributions": "captum Alpha1_Beta0_Rule; zennit/rules.py ZPlus; Bach et al. 2015, equation 60",
    "zplus_bias": "captum Alpha1_Beta0_Rule; iNNvestigate ZPlusRule, which is Alpha1Beta0IgnoreBiasRule",
    "alpha_beta_bias": "iNNvestigate AlphaBetaRule, bias=True; zennit/rules.py AlphaBeta, zero_bias",
    "wsquare_bias": "zennit/rules.py WSquare, whose modifier also squares the bias",
    "max_pool": (
        "zennit has no hook for it; captum EpsilonRule; Julia's generic rule; lrp_toolbox maxpool.py; the "
        "tutorial's AvgPool2d in place of MaxPool2d"
    ),
    "batch_norm": "zennit/composites.py layer_map_base; captum SUPPORTED_LAYERS_WITH_RULES",
    "seed": (
        "zennit-crp crp/attribution.py relevance_init; captum _core/lrp.py; Julia src/lrp.jl; iNNvestigate "
        "network_base.py; the demos of lrp_toolbox and of the tutorial"
    ),
}


@dataclass(frozen=True)
class Dialect:
    """How one implementation fills what the papers leave open.

    Parameters
    ----------
    name : str
    source : str
        Where this was read, and whether it was compared with numbers that the library printed.
    epsilon : float
        The size of the stabilizer of every rule but the epsilon rule, whose own ε stands in its place.
    near_tie : float
        Max pooling's winner is the first value within this, relative, of the maximum.
    lacks : tuple of str
        Rules, layers, and settings of layers that the implementation does not have, by their words in test
        cases.
    stabilizer, epsilon_rule, gamma_contributions, gamma_bias, zplus_contributions, zplus_bias,
    alpha_beta_bias, wsquare_bias, max_pool, batch_norm, seed : str
        Choices, each one of the options in `CHOICES`, which says what they mean.

    Raises
    ------
    ParameterError
        If a choice is none of its options.

    Examples
    --------
    LRP-w² with the bias in the denominator, 1² + 2² + 1².

    >>> import refcrp as rc
    >>> model = rc.Sequential([rc.layers.Dense([[1.0, -2.0]], [1.0])])
    >>> squared = rc.Dialect("mine", wsquare_bias="squared", seed="output")
    >>> rc.LRP(model, rc.WSquareRule(), dialect=squared)([[4.0, 1.0]]).relevance
    array([[0.5, 2. ]])
    >>> rc.DIALECTS["zennit-crp"].differences(rc.DIALECTS["zennit"])
    {'seed': 'output'}
    """

    name: str
    source: str = ""
    epsilon: float = 1e-9
    near_tie: float = 0.0
    lacks: tuple[str, ...] = ()
    stabilizer: str = "signed"
    epsilon_rule: str = "signed"
    gamma_contributions: str = "weights"
    gamma_bias: str = "scaled"
    zplus_contributions: str = "products"
    zplus_bias: str = "positive"
    alpha_beta_bias: str = "parts"
    wsquare_bias: str = "none"
    max_pool: str = "stabilized"
    batch_norm: str = "affine"
    seed: str = "one"

    def __post_init__(self) -> None:
        check_number(f"Dialect {self.name!r}: epsilon", self.epsilon, 0, includes_low=False)
        check_number(f"Dialect {self.name!r}: near_tie", self.near_tie, 0, 1)
        for choice, options in CHOICES.items():
            if getattr(self, choice) not in options:
                known = ", ".join(map(repr, options))
                raise ParameterError(
                    f"Dialect {self.name!r}: {choice} must be one of {known}, got {getattr(self, choice)!r}"
                )

    @property
    def is_derived(self) -> bool:
        """Whether it was read in the library's source, and not compared with numbers that it printed."""
        return self.source.startswith("derived")

    def differences(self, other: Dialect) -> dict[str, Any]:
        """Give the choices of this dialect that `other` makes differently, by field."""
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name not in {"name", "source", "lacks"} and getattr(self, f.name) != getattr(other, f.name)
        }


REFCRP = Dialect("refcrp", "the equations of the papers, as in refcrp/rules.py")

# Layers that others do not have, or whose source was not read for them.
UNRULED = ("uneven_padding", "group_norm", "instance_norm", "multiply")  # torch has no module, or no rule
ACTIVATIONS = ("relu6", "hard_tanh", "leaky_relu", "prelu")
RARE = (
    *("zero_pad", "adaptive_max_pool", "adaptive_avg_pool", "upsample_nearest", "upsample_bilinear"),
    *("reshape", "permute", *ACTIVATIONS, *UNRULED),
)
NEVER_READ = ("conv_transpose2d", "identity", "dropout", *RARE)

ZENNIT = Dialect(
    "zennit",
    "recorded with zennit 0.5.1; zennit/rules.py, zennit/core.py, zennit/composites.py",
    epsilon=1e-6,
    gamma_contributions="products",
    wsquare_bias="squared",
    max_pool="winner",
    batch_norm="pass",
    lacks=("layer_norm", *UNRULED),
)

KNOWN = (
    REFCRP,
    ZENNIT,
    replace(
        ZENNIT,
        name="zennit-crp",
        source="recorded with zennit-crp 0.6.0; crp/attribution.py",
        seed="output",
    ),
    Dialect(
        "relevance-propagation-jl",
        "derived from RelevancePropagation.jl, src/rules.jl, and NNlib's max pooling in Float32",
        near_tie=math.sqrt(2.0**-23),
        lacks=RARE,
    ),
    Dialect(
        "captum",
        "recorded with captum 0.9.0; captum/attr/_utils/lrp_rules.py",
        gamma_bias="plain",
        zplus_contributions="weights",
        zplus_bias="whole",
        seed="output",
        lacks=(
            *("generalized_gamma", "alpha_beta", "wsquare", "flat", "zbox", "layer_norm", "concat"),
            *ACTIVATIONS,
            *UNRULED,
        ),
    ),
    Dialect(
        "innvestigate",
        "derived from iNNvestigate 1 and 2, relevance_based/relevance_rule.py",
        epsilon=1e-7,
        stabilizer="at zero",
        zplus_bias="none",
        alpha_beta_bias="whole",
        max_pool="winner",
        seed="output",
        lacks=(
            *("gamma", "generalized_gamma", "layer_norm", "batch_norm", "global_max_pool"),
            *NEVER_READ,
        ),
    ),
    Dialect(
        "lrp-toolbox",
        "derived from lrp_toolbox, python/modules; its average pooling scales the output and is left out",
        epsilon=1e-16,
        max_pool="shared",
        seed="output",
        lacks=(
            *("gamma", "generalized_gamma", "zbox", "layer_norm"),
            *("batch_norm", "scale", "avg_pool", "global_avg_pool", "padding", "dilation", "groups"),
            *("add", "concat"),
            *NEVER_READ,
        ),
    ),
    Dialect(
        "montavon-tutorial",
        "derived from the tutorial at heatmapping.org, VGG-16 part",
        stabilizer="positive",
        epsilon_rule="positive",
        max_pool="average",
        seed="output",
        lacks=(
            *("generalized_gamma", "zplus", "alpha_beta", "wsquare", "flat", "layer_norm", "pass"),
            *("batch_norm", "scale", "add", "concat"),
            *NEVER_READ,
        ),
    ),
)

DIALECTS: Mapping[str, Dialect] = {dialect.name: dialect for dialect in KNOWN}


def as_dialect(dialect: Dialect | str) -> Dialect:
    """Give a dialect, one of your own or a known one by its name.

    Raises
    ------
    ParameterError
        If there is none of that name.
    """
    if isinstance(dialect, Dialect):
        return dialect
    if not isinstance(dialect, str) or dialect not in DIALECTS:
        raise ParameterError(f"no dialect {dialect!r}; {nearest_names(str(dialect), DIALECTS)}")
    return DIALECTS[dialect]
