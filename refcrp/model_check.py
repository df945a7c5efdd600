"""Whether a network can be explained: what is supported of it, operator by operator, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from refcrp import layers as L
from refcrp.canonization import remainders
from refcrp.errors import ModelFormatError, ParameterError, RuleCompatibilityError, SoftmaxError
from refcrp.input_rules import FlatRule, WSquareRule, ZBoxRule
from refcrp.io import BUILT_IN, format_of, load_model
from refcrp.io.torch import from_torch
from refcrp.layers import Activation, Layer
from refcrp.layers.norm import Affine
from refcrp.model import Model
from refcrp.rule import Rule
from refcrp.rules import (
    AlphaBetaRule,
    EpsilonRule,
    GammaRule,
    GeneralizedGammaRule,
    LayerNormRule,
    PassRule,
    ZeroRule,
    ZPlusRule,
)
from refcrp.tables import aligned

__all__ = ["Entry", "ModelCheck", "check_model"]

RULES: tuple[Rule, ...] = (
    *(ZeroRule(), EpsilonRule(), GammaRule(), GeneralizedGammaRule(), ZPlusRule(), AlphaBetaRule()),
    *(WSquareRule(), FlatRule(), ZBoxRule(0.0, 1.0), PassRule(), LayerNormRule()),
)
NOT_RELU = (L.ELU, L.GELU, L.HardTanh, L.LeakyReLU, L.PReLU, L.Sigmoid, L.SiLU, L.Tanh)


@dataclass(frozen=True)
class Entry:
    """One operator of a source, or one layer of a model.

    Parameters
    ----------
    name : str
    kind : str
        The operator, or the layer with its settings.
    is_supported : bool
        Whether there is a layer for it, and a rule for the layer.
    rules : tuple of str
        Of a layer: the rules that are defined on it.
    remarks : tuple of str
        Of a layer: what to know before it is explained.
    """

    name: str
    kind: str
    is_supported: bool
    rules: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelCheck:
    """What `check_model` found; printing it gives a table.

    Parameters
    ----------
    source : str
        What was checked.
    entries : tuple of Entry
        The layers of the model; the operators, if it could not be made a model.
    is_model : bool
        Which of the two.
    problem : str or None
        Why it is no model though each operator is supported: a setting that is not.

    Examples
    --------
    >>> import refcrp as rc
    >>> print(rc.check_model(rc.Sequential([rc.layers.Dense([[1.0]]), rc.layers.Softmax()])))
    model: 2 layers
    name      layer          rules
    dense1    Dense(1 => 1)  all but LayerNormRule
    softmax1  Softmax()      none
    softmax1: softmax at the end: refcrp.strip_softmax(model) takes it off, then the scores are explained
    all layers are supported
    """

    source: str
    entries: tuple[Entry, ...]
    is_model: bool
    problem: str | None = None

    @property
    def ok(self) -> bool:
        """Whether all of it is supported."""
        return self.is_model and all(entry.is_supported for entry in self.entries)

    def __str__(self) -> str:
        parts = layer_lines(self) if self.is_model else operator_lines(self)
        return "\n".join(parts)


def check_model(
    source: Any,
    example_input: Any = None,
    *,
    layers: Mapping[Any, Callable[..., Any]] | None = None,
) -> ModelCheck:
    """Say of each part of a network whether it is supported, without stopping at the first that is not.

    Of a file or a PyTorch module all operators are looked at. If there are layers for all of them, and of a
    `Model` from the start, the layers are: which rules are defined on each, and what to know of it.

    Parameters
    ----------
    source : Model, path, name of a built-in model, or torch.nn.Module
    example_input : (batch, ...) tensor or array
        For a module; as for `from_torch`.
    layers : mapping, optional
        Layers of your own, as for `load_model` and `from_torch`.

    Raises
    ------
    ModelFormatError
        If the file cannot be read, or the module not be traced.

    Examples
    --------
    >>> import refcrp as rc
    >>> check = rc.check_model(rc.Sequential([rc.layers.ReLU(), rc.layers.Softmax()]))
    >>> check.ok, check.entries[0].rules
    (True, ('ZeroRule', 'EpsilonRule', 'PassRule'))
    """
    if isinstance(source, Model):
        return ModelCheck("model", layer_entries(source), is_model=True)
    if isinstance(source, (str, PathLike)):
        return check_file(source, layers)
    return check_module(source, example_input, layers)


def check_file(source: str | PathLike[str], layers: Mapping[Any, Callable[..., Any]] | None) -> ModelCheck:
    """Check a file, or a built-in model."""
    name = fspath(source)
    if name in BUILT_IN:
        return ModelCheck(name, layer_entries(load_model(name)), is_model=True)
    from refcrp.io.listing import file_operators  # noqa: PLC0415 - h5py is imported where it is used

    path = Path(name)
    operators = file_operators(path, format_of(path), layers)
    return complete(name, operators, lambda: load_model(path, layers=layers))


def check_module(
    module: Any, example_input: Any, layers: Mapping[Any, Callable[..., Any]] | None
) -> ModelCheck:
    """Check a PyTorch module."""
    from refcrp.io.listing import torch_operators  # noqa: PLC0415

    if not hasattr(module, "named_modules"):
        raise ParameterError(
            f"check_model: expected a model, a file or a torch.nn.Module, got {module!r:.200}"
        )
    operators = torch_operators(module, example_input, layers)
    return complete(
        type(module).__name__, operators, lambda: from_torch(module, example_input, layers=layers)
    )


def complete(source: str, operators: list[Any], load: Callable[[], Model]) -> ModelCheck:
    """Check the model, if each operator is known and it can be made, else the operators."""
    problem = None
    if all(operator.is_known for operator in operators):
        try:
            return ModelCheck(source, layer_entries(load()), is_model=True)
        except ModelFormatError as error:
            problem = str(error)
    entries = tuple(Entry(o.name, o.kind, o.is_known) for o in operators)
    return ModelCheck(source, entries, is_model=False, problem=problem)


# Layers -----------------------------------------------------------------------------------------------------


def layer_entries(model: Model) -> tuple[Entry, ...]:
    """Look at each layer of a model."""
    left = dict(remainders(model))
    entries = []
    for k, node in enumerate(model.nodes):
        rules = tuple(type(rule).__name__ for rule in RULES if is_defined(rule, node.layer))
        stripped = k == len(model) - 1 and is_softmax(node.layer)
        remarks = tuple(remarks_on(node.layer, left.get(node.name), stripped=stripped))
        kind = f"{type(node.layer).__name__}({node.layer.summary()})"
        entries.append(Entry(node.name, kind, bool(rules) or stripped, rules, remarks))
    return tuple(entries)


def is_defined(rule: Rule, layer: Layer) -> bool:
    """Tell whether a layer takes a rule."""
    try:
        layer.check_rule(rule)
    except (RuleCompatibilityError, SoftmaxError):
        return False
    return True


def activation_of(layer: Layer) -> Activation | None:
    """Give a layer's activation function: itself, or the one fused into it."""
    if isinstance(layer, L.WeightedLayer):
        return layer.nonlinearity
    return layer if isinstance(layer, Activation) else None


def is_softmax(layer: Layer) -> bool:
    """Tell whether a layer is, or ends with, a softmax."""
    return isinstance(activation_of(layer), L.Softmax)


def remarks_on(layer: Layer, left: str | None, *, stripped: bool) -> Iterator[str]:
    """Say what to know of a layer; `left` is why `canonize` cannot fold it."""
    activation = activation_of(layer)
    if stripped:
        yield "softmax at the end: refcrp.strip_softmax(model) takes it off, then the scores are explained"
    elif isinstance(activation, L.Softmax):
        yield "softmax before the end: no rule is defined on it"
    if isinstance(activation, NOT_RELU) and not (isinstance(activation, L.HardTanh) and activation.low >= 0):
        yield f"{activation.kind}: relevance passes unchanged, as rules were made for ReLU and its like"
    if left is not None:
        yield f"refcrp.canonize(model) leaves it: {left}"
    elif isinstance(layer, Affine):
        yield "refcrp.canonize(model) folds it into the layer beside it"


# Printing ---------------------------------------------------------------------------------------------------


def layer_lines(check: ModelCheck) -> Iterator[str]:
    """Write the table of layers, then the remarks, each once."""
    yield f"{check.source}: {len(check.entries)} layers"
    rows = [("name", "layer", "rules")]
    rows += [(e.name, e.kind, show_rules(e.rules)) for e in check.entries]
    yield from aligned(rows, ("  ",))
    remarks: dict[str, list[str]] = {}
    for entry in check.entries:
        for remark in entry.remarks:
            remarks.setdefault(remark, []).append(entry.name)
    for remark, names in remarks.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield f"{', '.join(names[:3])}{more}: {remark}"
    wrong = [entry.name for entry in check.entries if not entry.is_supported]
    yield f"not supported: {', '.join(wrong)}" if wrong else "all layers are supported"


def show_rules(rules: tuple[str, ...]) -> str:
    """Write which rules are defined, or which few are not."""
    missing = [type(rule).__name__ for rule in RULES if type(rule).__name__ not in rules]
    if len(missing) <= 2:
        return f"all but {' and '.join(missing)}" if missing else "all"
    return ", ".join(rules) or "none"


def operator_lines(check: ModelCheck) -> Iterator[str]:
    """Write the table of operators, and what can be done."""
    yield f"{check.source}: {len(check.entries)} operators"
    rows = [("name", "operator", "supported")]
    rows += [(e.name, e.kind, "yes" if e.is_supported else "NO") for e in check.entries]
    yield from aligned(rows, ("  ",))
    if check.problem is not None:
        yield f"there is a layer for each operator, but not for its settings: {check.problem}"
        return
    wrong = sorted({entry.kind for entry in check.entries if not entry.is_supported})
    yield f"not supported: {', '.join(wrong)}. A layer of your own for {wrong[0]}:"
    yield "    def my_layer(operator): ...  # gives a layer, made of what is known of the operator"
    yield f"    model = refcrp.load_model(path, layers={{{wrong[0]!r}: my_layer}})  # or from_torch"
    yield "which docs/write-a-layer.md shows step by step."
