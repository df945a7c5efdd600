"""Composites: which rule goes to which layer.

A composite is a list of primitives. Each primitive matches some layers; the last one that matches a layer
decides its rule, and a layer that none matches gets `ZeroRule`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from refcrp.errors import ParameterError
from refcrp.model import Model
from refcrp.primitive import Primitive, RuleByType, check_rule
from refcrp.primitives import GlobalMap
from refcrp.rule import Rule
from refcrp.rules import ZeroRule
from refcrp.tables import aligned

__all__ = ["Composite", "resolve_rules"]


@dataclass(frozen=True, init=False, repr=False)
class Composite:
    """Rules for the layers of a model, by place and type.

    Parameters
    ----------
    *primitives : Primitive
        The last one that matches a layer decides. A rule in place of the first one is a `GlobalMap`.

    Raises
    ------
    ParameterError
        If something is not a primitive.

    Examples
    --------
    >>> import refcrp as rc
    >>> by_type = rc.GlobalTypeMap([(rc.ConvLayer, rc.ZPlusRule())])
    >>> print(rc.Composite(by_type, rc.LayerMap("conv2", rc.GammaRule())))
    Composite(
      GlobalTypeMap: all layers
        ConvLayer     => ZPlusRule()
      LayerMap
        layer 'conv2' => GammaRule(gamma=0.25)
    )
    """

    primitives: tuple[Primitive, ...]

    def __init__(self, *primitives: Primitive | Rule) -> None:
        checked = tuple(
            GlobalMap(p) if k == 0 and isinstance(p, Rule) else p for k, p in enumerate(primitives)
        )
        for primitive in checked:
            if not isinstance(primitive, Primitive):
                raise ParameterError(
                    f"Composite: expected primitives such as GlobalTypeMap, got {primitive!r}"
                )
        object.__setattr__(self, "primitives", checked)

    def rules(self, model: Model) -> tuple[Rule, ...]:
        """Give the rule of each layer of `model`.

        Raises
        ------
        UnknownLayerError
            If a primitive names a layer that the model does not have.
        """
        rules: list[Rule] = [ZeroRule()] * len(model)
        for primitive in self.primitives:
            for k, layer in enumerate(model):
                if primitive.covers(k, model):
                    rules[k] = primitive.rule_for(layer) or rules[k]
        return tuple(rules)

    def __repr__(self) -> str:
        rows = [row for p in self.primitives for row in p.rows()]
        lines = aligned(rows, (" => ",))
        text = ""
        for p in self.primitives:
            place = f": {p.place()}" if isinstance(p, RuleByType) else ""
            text += f"  {type(p).__name__}{place}\n"
            text += "".join(f"    {next(lines)}\n" for _ in p.rows())
        return f"Composite(\n{text})"


def resolve_rules(composite: Composite | Rule | Sequence[Rule] | None, model: Model) -> tuple[Rule, ...]:
    """Give one rule for each layer, from a composite, one rule, a rule for each layer, or nothing.

    Raises
    ------
    ParameterError
        If it is none of these, or there are more or fewer rules than layers.
    """
    if composite is None:
        composite = Composite()
    if isinstance(composite, Rule):
        composite = Composite(GlobalMap(composite))
    if isinstance(composite, Composite):
        return composite.rules(model)
    if isinstance(composite, type) or not isinstance(composite, Sequence):
        raise ParameterError(f"LRP: expected a Composite, a Rule or a list of Rules, got {composite!r}")
    rules = tuple(composite)
    if len(rules) != len(model):
        raise ParameterError(f"LRP: got {len(rules)} rules for a model of {len(model)} layers")
    for k, rule in enumerate(rules):
        check_rule(rule, f"LRP: layer {k}")
    return rules
