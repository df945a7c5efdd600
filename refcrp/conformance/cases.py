"""Test cases: a small network, an input, and what to explain, as plain data.

A case names layers and rules by words and holds arrays, so that it can be read from a file in any language,
and explained by code that knows nothing of this package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from refcrp.arrays import Array
from refcrp.building import Sequential
from refcrp.layers import Layer
from refcrp.model import INPUT, INPUT_NAME, Graph, Model
from refcrp.rule import Rule
from refcrp.speech import LAYERS, RULES, UNEVEN, USUAL

__all__ = ["LAYERS", "RULES", "WINDOWED", "Case", "LayerSpec", "RuleSpec"]

WINDOWED = ("conv2d", "conv_transpose2d", "max_pool", "avg_pool")  # what has the settings of `USUAL`
SIDES = ("top", "bottom", "left", "right")


@dataclass(frozen=True)
class RuleSpec:
    """A rule by its name, one of `RULES`, and its parameters: ``RuleSpec("gamma", {"gamma": 0.25})``.

    Examples
    --------
    >>> from refcrp.conformance import RuleSpec
    >>> RuleSpec("gamma", {"gamma": 0.25}).rule
    GammaRule(gamma=0.25)
    """

    name: str
    parameters: Mapping[str, float] = field(default_factory=dict)

    @property
    def rule(self) -> Rule:
        """The rule as refcrp has it."""
        return RULES[self.name](**self.parameters)


@dataclass(frozen=True, eq=False)
class LayerSpec:
    """A layer as plain data.

    Parameters
    ----------
    kind : str
        One of `LAYERS`. Activation functions are layers of their own.
    name : str
        By which conditions address it.
    rule : RuleSpec
        ``zero`` on layers that only move values (relu, flatten): there it means relevance as it is.
    arrays : mapping
        Parameters, float64: ``weight``, ``bias`` (absent if there is none), and so on.
    settings : mapping
        ``stride``, ``padding``, ``dilation``, ``kernel_size`` as pairs of int, ``groups``, ``epsilon``, ...;
        always all of them. Padding that differs from side to side is four: top, bottom, left, right.
    inputs : tuple of str, optional
        What the layer reads: names of layers before it, ``"x"`` for the network's input. None: the layer
        before.

    Examples
    --------
    >>> import numpy as np
    >>> from refcrp.conformance import LayerSpec, RuleSpec
    >>> spec = LayerSpec("dense", "fc", RuleSpec("zero"), {"weight": np.array([[2.0, 1.0]])})
    >>> spec.layer
    Dense(2 => 1, name='fc')
    """

    kind: str
    name: str
    rule: RuleSpec
    arrays: Mapping[str, Array] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] | None = None

    @property
    def words(self) -> set[str]:
        """What an implementation needs for it: kind, rule, unusual settings of convolutions and pooling."""
        words = {self.kind, self.rule.name}
        if self.kind not in WINDOWED:
            return words
        settings = {key: np.ravel(self.settings.get(key, usual)) for key, usual in USUAL.items()}
        words |= {key for key, setting in settings.items() if np.any(setting != np.max(USUAL[key]))}
        return words | ({UNEVEN} if settings["padding"].size == len(SIDES) else set())

    @property
    def layer(self) -> Layer:
        """The layer as refcrp has it."""
        return LAYERS[self.kind](**self.arrays, **self.settings, name=self.name)


@dataclass(frozen=True, eq=False)
class Case:
    """A network, an input, what to explain, and the relevance that is right.

    Parameters
    ----------
    id : str
        Unique, and never used again for something else.
    reason : str
        A sentence on why the case exists.
    flags : tuple of str
        What is special about it, from `refcrp.conformance.schema.FLAGS`.
    layers : tuple of LayerSpec
        In an order in which they compute; a chain, or a graph if some say what they read.
    x : (n, ...) array
        The input.
    relevance_out : (n, ...) array, optional
        Relevance of the last layer's output. If None, the output neurons ``output`` are explained, with
        relevance as the dialect starts (1, or the neuron's value).
    output : tuple of n int, optional
        The output neuron to explain, for each sample.
    conditions : tuple of mappings, optional
        From names of layers to lists of channels: relevance at other channels of the layer's output is
        dropped. Results come condition-major.
    expected : mapping
        The right relevance of the input, (n, ...) or (k n, ...), by dialect; a dialect that has no such rule
        is absent.
    scale : (n, ...) or (k n, ...) array, optional
        For each value, how far it moves to first order when every number that enters, and every
        intermediate result, is off by 1 relative. Errors of u · scale are what a computation with unit
        roundoff u cannot avoid. For refcrp's own dialect.

    Examples
    --------
    >>> import numpy as np
    >>> from refcrp.conformance import Case, LayerSpec, RuleSpec
    >>> weight, R = {"weight": np.array([[2.0, 1.0]])}, np.array([[8.0]])
    >>> layer = LayerSpec("dense", "fc", RuleSpec("zero"), weight)
    >>> case = Case("mine", "One neuron, by hand.", (layer,), np.array([[1.0, 2.0]]), relevance_out=R)
    >>> case.outputs(), sorted(case.words)
    ([array([[4.]])], ['dense', 'zero'])
    """

    id: str
    reason: str
    layers: tuple[LayerSpec, ...]
    x: Array
    relevance_out: Array | None = None
    output: tuple[int, ...] | None = None
    conditions: tuple[Mapping[str, Sequence[int]], ...] | None = None
    flags: tuple[str, ...] = ()
    expected: Mapping[str, Array] = field(default_factory=dict)
    scale: Array | None = None

    @cached_property
    def model(self) -> Model:
        """The network as refcrp has it."""
        if not self.is_graph:
            return Sequential([spec.layer for spec in self.layers], input_shape=self.x.shape[1:])
        nodes = [(spec.name, spec.layer, read) for spec, read in zip(self.layers, self.inputs, strict=True)]
        return Graph(nodes, input_shape=self.x.shape[1:])

    @property
    def is_graph(self) -> bool:
        """Whether any layer says what it reads."""
        return any(spec.inputs is not None for spec in self.layers)

    @property
    def inputs(self) -> tuple[tuple[str, ...], ...]:
        """What each layer reads: names of layers, and ``"x"`` for the network's input."""
        before = (INPUT_NAME, *(spec.name for spec in self.layers))
        return tuple(
            (before[k],) if spec.inputs is None else spec.inputs for k, spec in enumerate(self.layers)
        )

    def outputs(self) -> list[Array]:
        """Compute the output of each layer, as refcrp does."""
        outputs = {INPUT: self.x}
        for k, node in enumerate(self.model.nodes):
            outputs[k] = node.layer.apply(*(outputs[source] for source in node.sources))
        return [outputs[k] for k in range(len(self.layers))]

    @property
    def rules(self) -> list[Rule]:
        """One rule for each layer, as refcrp has them."""
        return [spec.rule.rule for spec in self.layers]

    @property
    def words(self) -> set[str]:
        """What an implementation needs for it: the words of all layers."""
        return {word for spec in self.layers for word in spec.words}

    @property
    def condition_number(self) -> float:
        """The largest scale over the largest relevance: a relative error of u in becomes one of u · κ out."""
        if self.scale is None:
            return float("nan")
        R = self.expected.get("refcrp", next(iter(self.expected.values()), np.zeros(1)))
        largest = float(np.abs(R).max())
        return float(self.scale.max()) / largest if largest else 0.0

    def astype(self, dtype: Any) -> Case:
        """Give the same case with the network, the input and the relevance of the output in another type."""
        layers = tuple(
            replace(spec, arrays={name: array.astype(dtype) for name, array in spec.arrays.items()})
            for spec in self.layers
        )
        R = self.relevance_out
        return replace(
            self,
            layers=layers,
            x=self.x.astype(dtype),
            relevance_out=None if R is None else R.astype(dtype),
        )
