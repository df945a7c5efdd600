"""Layer-wise Relevance Propagation: one forward pass, and passes back under any conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import check_finite
from refcrp.composite import Composite, resolve_rules
from refcrp.conditions import Condition, Masks, condition_masks, condition_neurons
from refcrp.errors import ShapeError
from refcrp.explanation import Explanation, LayerValues
from refcrp.model import INPUT, Model
from refcrp.propagation import Pull
from refcrp.rule import Bound, Rule
from refcrp.selection import Indices, OutputSelector, output_selector
from refcrp.tables import aligned

__all__ = ["LRP", "Trace", "layer_indices", "merged"]


@dataclass(frozen=True, eq=False)
class Trace:
    """What one forward pass computed: the output of every layer, and the way back through it.

    It can be pulled back any number of times, from several threads.
    """

    model: Model
    input: Array
    pulls: tuple[Pull, ...]

    @property
    def output(self) -> Array:
        """The model's output."""
        return self.pulls[-1].output

    def pull(
        self,
        arriving: Mapping[int, Array],
        *,
        down_to: int = INPUT,
        masks: Masks | None = None,
        recorded: dict[int, Array] | None = None,
    ) -> Array:
        """Carry relevance down to the output of layer `down_to`.

        Parameters
        ----------
        arriving : mapping
            Relevance at the outputs of some layers, by index: the model's last one for a whole pass.
        down_to : int
            Index of a layer; the model's input by default.
        masks : mapping, optional
            What relevance is multiplied by at the outputs of some layers, by index.
        recorded : dict, optional
            Is given the relevance that arrives at each layer whose index it holds, before masks.

        Returns
        -------
        array
            The relevance that arrives at the output of layer `down_to`, not masked.
        """
        arriving, masks = dict(arriving), masks or {}
        for k in range(max(arriving), down_to, -1):
            R = arriving.pop(k)
            if recorded is not None and k in recorded:
                recorded[k] = R
            if k in masks:
                R = R * masks[k]
            source, R_in = self.model.nodes[k].source, self.pulls[k](R)
            arriving[source] = arriving[source] + R_in if source in arriving else R_in
        return arriving[down_to]


@dataclass(frozen=True, eq=False, repr=False)
class LRP:
    """Layer-wise Relevance Propagation.

    Parameters
    ----------
    model : Model
    composite : Composite, Rule, or sequence of Rule, optional
        Which rule goes to which layer: a composite, one rule for all layers, or one for each. `ZeroRule`
        everywhere by default.
    normalize_output_relevance : bool
        Start with relevance 1 at the selected output neuron; if False, with the neuron's own output.

    Raises
    ------
    RuleCompatibilityError
        If a rule is not defined on the layer it goes to.
    SoftmaxError
        If the model contains a softmax.

    References
    ----------
    Bach et al., On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
    propagation, PLoS ONE 10(7), 2015.
    """

    model: Model
    composite: Composite | Rule | Sequence[Rule] | None = None
    normalize_output_relevance: bool = field(default=True, kw_only=True)
    rules: tuple[Rule, ...] = field(init=False)
    bound: tuple[Bound, ...] = field(init=False)

    def __post_init__(self) -> None:
        rules = resolve_rules(self.composite, self.model)
        object.__setattr__(self, "rules", rules)
        bound = (rule.bind(layer) for rule, layer in zip(rules, self.model, strict=True))
        object.__setattr__(self, "bound", tuple(bound))

    def __call__(
        self,
        x: Array,
        output: int | Iterable[int] | OutputSelector | None = None,
        *,
        conditions: Sequence[Condition] | None = None,
        record: Iterable[int | str] | int | str = (),
        normalize_output_relevance: bool | None = None,
    ) -> Explanation:
        """Explain the model's output for a batch of inputs.

        Parameters
        ----------
        x : (n, ...) array
        output : int, sequence of int, or OutputSelector, optional
            The output neuron to explain: one for all samples, or one for each; the highest by default.
        conditions : sequence of mappings, optional
            Each maps layers (index or name) to lists of channels, and may map ``"y"`` to output neurons:
            relevance that arrives at other channels of the layer's output is dropped. Channels of one layer
            are alternatives (OR), layers must all hold (AND). All conditions go down together.
        record : layers, optional
            Index or name of the layers whose activations and relevances to keep.
        normalize_output_relevance : bool, optional
            In place of the analyzer's own.

        Returns
        -------
        Explanation
            Condition-major if there are conditions.

        Raises
        ------
        ShapeError, NonFiniteError, ArrayTypeError
            If the input does not fit the model.
        UnknownLayerError, FeatureError
            If there is no such layer, channel or output neuron.
        """
        recorded_layers = layer_indices(self.model, record)
        trace = self.trace(x)
        selected = self.select(trace, output)
        neurons: tuple[Indices, ...] = (selected[:, None],)
        masks: Masks = {}
        if conditions is not None:
            neurons = condition_neurons(conditions, trace.output, selected)
            masks = condition_masks(conditions, self.model, [pull.output for pull in trace.pulls])

        R = self.seed(trace, neurons, normalize_output_relevance)
        recorded = dict.fromkeys(recorded_layers, R)
        R_in = trace.pull({len(self.model) - 1: R}, masks=masks, recorded=recorded)
        return Explanation(
            input=trace.input,
            relevance=merged(R_in),
            output=trace.output,
            selected=selected if conditions is None else neurons,
            activations=self.by_name({k: trace.pulls[k].output for k in recorded_layers}),
            relevances=self.by_name({k: merged(R) for k, R in recorded.items()}),
            conditions=None if conditions is None else tuple(dict(c) for c in conditions),
        )

    # The steps, for analyzers built on this one ----------------------------------------------------------

    def trace(self, x: Array) -> Trace:
        """Compute forward, keeping what the way back needs: outputs and denominators of every layer."""
        x = self.model.check_input(x)
        pulls: list[Pull] = []
        for node, bound in zip(self.model.nodes, self.bound, strict=True):
            pulls.append(bound.linearize(x if node.source == INPUT else pulls[node.source].output))
        check_finite(pulls[-1].output, "the model's output (an activation overflowed on the way)")
        return Trace(self.model, x, tuple(pulls))

    def select(self, trace: Trace, output: int | Iterable[int] | OutputSelector | None) -> Indices:
        """Choose the output neuron to explain, (n,)."""
        if trace.output.ndim != 2:
            raise ShapeError(
                f"the model's output has shape {trace.output.shape}, expected (batch, neurons): "
                "end the model with Flatten, or GlobalAvgPool and Flatten"
            )
        return output_selector(output).select(trace.output)

    def seed(self, trace: Trace, neurons: Sequence[Indices], normalize: bool | None = None) -> Array:
        """Put relevance on output neurons, (n, m) of them for each of k conditions: gives (k, n, neurons)."""
        normalize = self.normalize_output_relevance if normalize is None else normalize
        output = trace.output
        values = np.ones_like(output) if normalize else output
        R = np.zeros((len(neurons), *output.shape), dtype=output.dtype)
        for row, chosen in zip(R, neurons, strict=True):
            np.put_along_axis(row, chosen, np.take_along_axis(values, chosen, axis=1), axis=1)
        return R

    def by_name(self, values: Mapping[int, Array]) -> LayerValues:
        """Give values by layer name."""
        return LayerValues(self.model, {self.model.names[k]: value for k, value in values.items()})

    def __repr__(self) -> str:
        numbered = enumerate(zip(self.model, self.rules, strict=True))
        rows = [(str(k), repr(layer), repr(rule)) for k, (layer, rule) in numbered]
        return "LRP(\n" + "\n".join(f"  {row}" for row in aligned(rows, ("  ", " => "))) + "\n)"


def layer_indices(model: Model, layers: Iterable[int | str] | int | str) -> tuple[int, ...]:
    """Give the indices of one or several layers."""
    if isinstance(layers, str) or not isinstance(layers, Iterable):
        layers = [layers]
    return tuple(model.index(layer) for layer in layers)


def merged(relevance: Array) -> Array:
    """Join the axes of conditions and samples into one, condition-major; raise if it is not finite."""
    check_finite(relevance, "relevance (a denominator is too small for this element type)")
    return relevance.reshape(-1, *relevance.shape[2:])
