"""What the primitives of composites are made of: what is assigned, one rule or rules by type, and where."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from refcrp.checks import as_integer
from refcrp.errors import ParameterError
from refcrp.layers import Layer
from refcrp.model import Model
from refcrp.rule import Rule

__all__ = [
    "AtFirst",
    "AtLast",
    "AtLayer",
    "Everywhere",
    "InFirstN",
    "InRange",
    "OneRule",
    "Primitive",
    "RuleByType",
    "check_rule",
]

TypePairs = Sequence[tuple[type[Layer], Rule]]


class Primitive(ABC):
    """One assignment of rules: where it applies, and what it assigns there."""

    def __post_init__(self) -> None:
        """Check what was given; there is nothing to check yet."""
        return

    @abstractmethod
    def covers(self, k: int, model: Model) -> bool:
        """Whether the primitive speaks of layer number `k`."""

    @abstractmethod
    def place(self) -> str:
        """Say which layers are covered, for printing."""

    @abstractmethod
    def rule_for(self, layer: Layer) -> Rule | None:
        """Give the rule for a layer that is covered; None if the primitive has none for it."""

    @abstractmethod
    def rows(self) -> list[tuple[str, str]]:
        """Give what is printed: (layers, rule)."""


# What is assigned -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OneRule(Primitive):
    """Assigns one rule, whatever the layer's type."""

    rule: Rule

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rule(self.rule, type(self).__name__)

    def rule_for(self, layer: Layer) -> Rule:
        """Give the rule."""
        return self.rule

    def rows(self) -> list[tuple[str, str]]:
        """One row."""
        return [(self.place(), repr(self.rule))]


@dataclass(frozen=True)
class RuleByType(Primitive):
    """Assigns rules by the type of layer; the first pair that fits counts."""

    pairs: TypePairs

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "pairs", as_type_pairs(self.pairs, type(self).__name__))

    def rule_for(self, layer: Layer) -> Rule | None:
        """Give the rule of the first type that the layer is of."""
        return next((rule for kind, rule in self.pairs if isinstance(layer, kind)), None)

    def rows(self) -> list[tuple[str, str]]:
        """One row a type."""
        return [(kind.__name__, repr(rule)) for kind, rule in self.pairs]


# Where ------------------------------------------------------------------------------------------------------


class Everywhere(Primitive):
    """Covers all layers."""

    def covers(self, k: int, model: Model) -> bool:
        """Every layer."""
        return True

    def place(self) -> str:
        """All layers."""
        return "all layers"


class AtFirst(Primitive):
    """Covers the first layer."""

    def covers(self, k: int, model: Model) -> bool:
        """The first layer."""
        return k == 0

    def place(self) -> str:
        """First layer."""
        return "first layer"


class AtLast(Primitive):
    """Covers the last layer."""

    def covers(self, k: int, model: Model) -> bool:
        """The last layer."""
        return k == len(model) - 1

    def place(self) -> str:
        """Last layer."""
        return "last layer"


@dataclass(frozen=True)
class AtLayer(Primitive):
    """Covers one layer, by index or name."""

    layer: int | str

    def covers(self, k: int, model: Model) -> bool:
        """The layer; raises `UnknownLayerError` if the model has none such."""
        return k == model.index(self.layer)

    def place(self) -> str:
        """Layer so-and-so."""
        return f"layer {self.layer!r}"


@dataclass(frozen=True)
class InRange(Primitive):
    """Covers a range of layers."""

    layers: range

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.layers, range):
            raise ParameterError(
                f"{type(self).__name__}: expected a range of layers such as range(0, 3), got {self.layers!r}"
            )

    def covers(self, k: int, model: Model) -> bool:
        """The layers in the range; raises `UnknownLayerError` if one of them is not in the model."""
        for end in {*self.layers[:1], *self.layers[-1:]}:
            model.index(end)
        return k in self.layers

    def place(self) -> str:
        """The range."""
        return f"layers {self.layers!r}"


@dataclass(frozen=True)
class InFirstN(Primitive):
    """Covers the first n layers."""

    n: int

    def __post_init__(self) -> None:
        super().__post_init__()
        as_integer(self.n, f"{type(self).__name__}: n", 1)

    def covers(self, k: int, model: Model) -> bool:
        """The first n layers."""
        return k < self.n

    def place(self) -> str:
        """First n layers."""
        return f"first {self.n} layers"


def check_rule(rule: object, where: str) -> None:
    """Raise `ParameterError` unless `rule` is one."""
    if not isinstance(rule, Rule):
        raise ParameterError(f"{where}: expected a rule such as ZeroRule(), got {rule!r}")


def as_type_pairs(pairs: Any, where: str) -> TypePairs:
    """Give (layer type, rule) pairs from a list of them, or a mapping."""
    items = tuple(pairs.items() if isinstance(pairs, Mapping) else pairs)
    for item in items:
        if not (isinstance(item, tuple) and len(item) == 2):
            raise ParameterError(f"{where}: expected pairs (layer type, rule), got {item!r}")
        if not (isinstance(item[0], type) and issubclass(item[0], Layer)):
            raise ParameterError(f"{where}: expected a type of layer such as ConvLayer, got {item[0]!r}")
        check_rule(item[1], where)
    return items
