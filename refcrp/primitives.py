"""The ten primitives of composites: one rule, or rules by type, for the layers in some place.

Their examples show which rule each layer of a small model gets; a layer that nothing covers gets `ZeroRule`.
"""

from __future__ import annotations

from dataclasses import dataclass

from refcrp.primitive import (
    AtFirst,
    AtLast,
    AtLayer,
    Everywhere,
    InFirstN,
    InRange,
    OneRule,
    RuleByType,
)

__all__ = [
    "FirstLayerMap",
    "FirstLayerTypeMap",
    "FirstNTypeMap",
    "GlobalMap",
    "GlobalTypeMap",
    "LastLayerMap",
    "LastLayerTypeMap",
    "LayerMap",
    "RangeMap",
    "RangeTypeMap",
]


class GlobalMap(OneRule, Everywhere):
    """``GlobalMap(rule)``: a rule for all layers.

    Examples
    --------
    >>> import refcrp as rc
    >>> model = rc.Sequential([rc.layers.Dense([[1.0]]), rc.layers.ReLU(), rc.layers.Dense([[1.0]])])
    >>> rc.Composite(rc.GlobalMap(rc.EpsilonRule(0.1))).rules(model)
    (EpsilonRule(epsilon=0.1), EpsilonRule(epsilon=0.1), EpsilonRule(epsilon=0.1))
    """


@dataclass(frozen=True)
class LayerMap(OneRule, AtLayer):
    """``LayerMap(layer, rule)``: a rule for one layer, by index or name.

    Examples
    --------
    >>> import refcrp as rc
    >>> model = rc.Sequential([rc.layers.Dense([[1.0]]), rc.layers.ReLU(), rc.layers.Dense([[1.0]])])
    >>> rc.Composite(rc.LayerMap("dense2", rc.EpsilonRule(0.1))).rules(model)
    (ZeroRule(), ZeroRule(), EpsilonRule(epsilon=0.1))
    """


@dataclass(frozen=True)
class RangeMap(OneRule, InRange):
    """``RangeMap(range(a, b), rule)``: a rule for layers a to b - 1.

    Examples
    --------
    >>> import refcrp as rc
    >>> model = rc.Sequential([rc.layers.Dense([[1.0]]), rc.layers.ReLU(), rc.layers.Dense([[1.0]])])
    >>> rc.Composite(rc.RangeMap(range(1, 3), rc.EpsilonRule(0.1))).rules(model)
    (ZeroRule(), EpsilonRule(epsilon=0.1), EpsilonRule(epsilon=0.1))
    """


class FirstLayerMap(OneRule, AtFirst):
    """``FirstLayerMap(rule)``: a rule for the first layer.

    Examples
    --------
    >>> import refcrp as rc
    >>> model = rc.Sequential([rc.layers.Dense([[1.0]]), rc.layers.ReLU(), rc.layers.Dense([[1.0]])])
    >>> rc.Composite(rc.FirstLayerMap(rc.FlatRule())).rules(model)
    (FlatRule(), ZeroRule(), ZeroRule())
    """


class LastLayerMap(OneRule, AtLast):
    """``LastLayerMap(rule)``: a rule for the last layer.

    Examples
    --------
    >>> import refcrp as rc
    >>> model = rc.Sequential([rc.layers.Dense([[1.0]]), rc.layers.ReLU(), rc.layers.Dense([[1.0]])])
    >>> rc.Composite(rc.LastLayerMap(rc.EpsilonRule(0.1))).rules(model)
    (ZeroRule(), ZeroRule(), EpsilonRule(epsilon=0.1))
    """


class GlobalTypeMap(RuleByType, Everywhere):
    """``GlobalTypeMap([(type, rule), ...])``: rules for all layers, by type.

    Examples
    --------
    >>> import refcrp as rc
    >>> model = rc.Sequential([rc.layers.Dense([[1.0]]), rc.layers.ReLU(), rc.layers.Dense([[1.0]])])
    >>> rc.Composite(rc.GlobalTypeMap([(rc.layers.Dense, rc.ZPlusRule())])).rules(model)
    (ZPlusRule(), ZeroRule(), ZPlusRule())
    """


@dataclass(frozen=True)
class RangeTypeMap(RuleByType, InRange):
    """``RangeTypeMap(range(a, b), [(type, rule), ...])``: rules for layers a to b - 1, by type.

    Examples
    --------
    >>> import refcrp as rc
    >>> model = rc.Sequential([rc.layers.Dense([[1.0]]), rc.layers.ReLU(), rc.layers.Dense([[1.0]])])
    >>> rc.Composite(rc.RangeTypeMap(range(1, 3), [(rc.layers.Dense, rc.ZPlusRule())])).rules(model)
    (ZeroRule(), ZeroRule(), ZPlusRule())
    """


class FirstLayerTypeMap(RuleByType, AtFirst):
    """``FirstLayerTypeMap([(type, rule), ...])``: rules for the first layer, by its type.

    Examples
    --------
    >>> import refcrp as rc
    >>> model = rc.Sequential([rc.layers.Dense([[1.0]]), rc.layers.ReLU(), rc.layers.Dense([[1.0]])])
    >>> rc.Composite(rc.FirstLayerTypeMap([(rc.layers.Dense, rc.WSquareRule())])).rules(model)
    (WSquareRule(), ZeroRule(), ZeroRule())
    """


class LastLayerTypeMap(RuleByType, AtLast):
    """``LastLayerTypeMap([(type, rule), ...])``: rules for the last layer, by its type.

    Examples
    --------
    >>> import refcrp as rc
    >>> model = rc.Sequential([rc.layers.Dense([[1.0]]), rc.layers.ReLU(), rc.layers.Dense([[1.0]])])
    >>> rc.Composite(rc.LastLayerTypeMap([(rc.layers.Dense, rc.EpsilonRule(0.1))])).rules(model)
    (ZeroRule(), ZeroRule(), EpsilonRule(epsilon=0.1))
    """


@dataclass(frozen=True)
class FirstNTypeMap(RuleByType, InFirstN):
    """``FirstNTypeMap(n, [(type, rule), ...])``: rules for the first n layers, by type.

    Examples
    --------
    >>> import refcrp as rc
    >>> model = rc.Sequential([rc.layers.Dense([[1.0]]), rc.layers.ReLU(), rc.layers.Dense([[1.0]])])
    >>> rc.Composite(rc.FirstNTypeMap(2, [(rc.layers.Dense, rc.ZPlusRule())])).rules(model)
    (ZPlusRule(), ZeroRule(), ZeroRule())
    """
