"""The composites that are used most; the names say: upper layers, lower layers, first layer."""

from __future__ import annotations

from typing import Any

from refcrp.composite import Composite
from refcrp.input_rules import FlatRule, ZBoxRule
from refcrp.layers import (
    ConvLayer,
    Dense,
    DropoutLayer,
    NormalizationLayer,
    ReshapingLayer,
    SampleNorm,
    Scale,
)
from refcrp.primitives import FirstLayerTypeMap, GlobalTypeMap
from refcrp.rule import Rule
from refcrp.rules import (
    AlphaBetaRule,
    EpsilonRule,
    GammaRule,
    LayerNormRule,
    PassRule,
    ZPlusRule,
)

__all__ = [
    "EpsilonAlpha2Beta1",
    "EpsilonAlpha2Beta1Flat",
    "EpsilonGammaBox",
    "EpsilonPlus",
    "EpsilonPlusFlat",
]


def EpsilonPlus(*, epsilon: float = 1e-6) -> Composite:  # noqa: N802
    """EpsilonRule on dense layers, ZPlusRule on convolutions.

    Source: Montavon et al., Layer-wise relevance propagation: an overview, 2019; Kohlbrenner et al., Towards
    best practice in explaining neural network decisions with LRP, IJCNN 2020.

    Examples
    --------
    >>> import refcrp as rc
    >>> print(rc.EpsilonPlus())
    Composite(
      GlobalTypeMap: all layers
        ConvLayer          => ZPlusRule()
        Dense              => EpsilonRule(epsilon=1e-06)
        Scale              => EpsilonRule(epsilon=1e-06)
        SampleNorm         => LayerNormRule()
        DropoutLayer       => PassRule()
        NormalizationLayer => PassRule()
        ReshapingLayer     => PassRule()
    )
    """
    return Composite(by_type(ZPlusRule(), epsilon))


def EpsilonPlusFlat(*, epsilon: float = 1e-6) -> Composite:  # noqa: N802
    """`EpsilonPlus`, with FlatRule on a first layer that is a convolution. Source: as `EpsilonPlus`.

    Examples
    --------
    >>> import refcrp as rc
    >>> conv1, _, conv2, *_, dense3 = rc.EpsilonPlusFlat().rules(rc.load_model("lenet5"))
    >>> conv1, conv2, dense3
    (FlatRule(), ZPlusRule(), EpsilonRule(epsilon=1e-06))
    """
    return Composite(by_type(ZPlusRule(), epsilon), FirstLayerTypeMap(((ConvLayer, FlatRule()),)))


def EpsilonAlpha2Beta1(*, epsilon: float = 1e-6) -> Composite:  # noqa: N802
    """EpsilonRule on dense layers, AlphaBetaRule(2, 1) on convolutions. Source: as `EpsilonPlus`.

    Examples
    --------
    >>> import refcrp as rc
    >>> conv1, _, conv2, *_, dense3 = rc.EpsilonAlpha2Beta1().rules(rc.load_model("lenet5"))
    >>> conv1, conv2, dense3
    (AlphaBetaRule(alpha=2.0, beta=1.0), AlphaBetaRule(alpha=2.0, beta=1.0), EpsilonRule(epsilon=1e-06))
    """
    return Composite(by_type(AlphaBetaRule(2.0, 1.0), epsilon))


def EpsilonAlpha2Beta1Flat(*, epsilon: float = 1e-6) -> Composite:  # noqa: N802
    """`EpsilonAlpha2Beta1`, with FlatRule on a first layer that is a convolution.

    Source: as `EpsilonPlus`.

    Examples
    --------
    >>> import refcrp as rc
    >>> conv1, _, conv2, *_, dense3 = rc.EpsilonAlpha2Beta1Flat().rules(rc.load_model("lenet5"))
    >>> conv1, conv2, dense3
    (FlatRule(), AlphaBetaRule(alpha=2.0, beta=1.0), EpsilonRule(epsilon=1e-06))
    """
    return Composite(by_type(AlphaBetaRule(2.0, 1.0), epsilon), FirstLayerTypeMap(((ConvLayer, FlatRule()),)))


def EpsilonGammaBox(low: Any, high: Any, *, epsilon: float = 1e-6, gamma: float = 0.25) -> Composite:  # noqa: N802
    """EpsilonRule on dense layers, GammaRule on convolutions, ZBoxRule on a first layer that is one.

    Source: as `EpsilonPlus`.

    Parameters
    ----------
    low, high : float or array
        Lowest and highest value an input can have, as for `ZBoxRule`.
    epsilon, gamma : float
        As for `EpsilonRule` and `GammaRule`.

    Examples
    --------
    >>> import refcrp as rc
    >>> conv1, _, conv2, *_, dense3 = rc.EpsilonGammaBox(0.0, 1.0).rules(rc.load_model("lenet5"))
    >>> conv1, conv2, dense3
    (ZBoxRule(low=0.0, high=1.0), GammaRule(gamma=0.25), EpsilonRule(epsilon=1e-06))
    """
    return Composite(
        by_type(GammaRule(gamma), epsilon), FirstLayerTypeMap(((ConvLayer, ZBoxRule(low, high)),))
    )


def by_type(convolution: Rule, epsilon: float) -> GlobalTypeMap:
    """What all presets share: they differ in the rule of the convolutions."""
    return GlobalTypeMap(
        (
            (ConvLayer, convolution),
            (Dense, EpsilonRule(epsilon)),
            (Scale, EpsilonRule(epsilon)),
            (SampleNorm, LayerNormRule()),
            (DropoutLayer, PassRule()),
            (NormalizationLayer, PassRule()),
            (ReshapingLayer, PassRule()),
        )
    )
