"""Layer-wise Relevance Propagation: one forward pass, and passes back under any conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from refcrp.arrays import Array, as_relevance, freeze
from refcrp.batches import condition_batches
from refcrp.checks import as_integer, check_finite
from refcrp.composite import Composite, resolve_rules
from refcrp.conditions import (
    Condition,
    Masks,
    as_conditions,
    condition_masks,
    condition_neurons,
    first_of_equal,
)
from refcrp.errors import ParameterError, ShapeError
from refcrp.explanation import Explanation, LayerValues
from refcrp.kernels import using_threads
from refcrp.model import INPUT, Model
from refcrp.propagation import Pull
from refcrp.rule import Bound, Rule
from refcrp.selection import Indices, OutputSelector, output_selector
from refcrp.tables import aligned

__all__ = ["LRP", "Trace", "analysis", "layer_indices", "merged"]


Call = TypeVar("Call", bound=Callable[..., Any])


def analysis(call: Call) -> Call:
    """Let an analyzer's call use its threads, and no warnings: results are checked instead."""

    @wraps(call)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with np.errstate(all="ignore"), using_threads(self.threads):
            return call(self, *args, **kwargs)

    return run  # type: ignore[return-value]


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

    @property
    def outputs(self) -> list[Array]:
        """The outputs of all layers."""
        return [pull.output for pull in self.pulls]

    def pull(
        self,
        R: Array,
        at: int | str = -1,
        *,
        down_to: int | str | None = None,
        masks: Masks | None = None,
        record: Iterable[int] = (),
    ) -> tuple[Array, dict[int, Array]]:
        """Carry relevance down, layer by layer.

        Parameters
        ----------
        R : array
            Relevance of a layer's output, (n, ...), or (k, n, ...) for k conditions at once.
        at : int or str
            Which layer's, by index or name; the last one's by default.
        down_to : int or str, optional
            The layer at whose output to stop; the model's input if None.
        masks : mapping, optional
            What relevance is multiplied by at the outputs of some layers, by index.
        record : indices, optional
            The layers whose relevance to keep.

        Returns
        -------
        relevance : array
            What arrives at the output of `down_to`, not masked.
        recorded : dict
            By index, what arrived at the outputs of the layers to `record`, before masks.
        """
        start, stop = self.model.index(at), INPUT if down_to is None else self.model.index(down_to)
        if stop > start:
            raise ParameterError(f"relevance flows down: cannot pull from layer {at!r} to {down_to!r}")
        R = as_relevance(R, self.pulls[start].output, f"relevance of layer {self.model.names[start]!r}")
        masks, recorded = masks or {}, {}
        for k in range(start, stop, -1):
            if k in record:
                recorded[k] = R
            R = self.pulls[k](R * masks[k].astype(R.dtype) if k in masks else R)
        return R, recorded

    def pull_batches(
        self,
        start: Callable[[slice], tuple[Array, Masks]],
        batches: Iterable[slice],
        at: int | str,
        record: Iterable[int] = (),
    ) -> tuple[Array, dict[int, Array]]:
        """Carry relevance down from layer `at` to the input, some conditions at a time.

        `start` gives the relevance and the masks of a batch of conditions; the rest is as in `pull`.
        """
        results = []
        for batch in batches:
            R, masks = start(batch)
            results.append(self.pull(R, at, masks=masks, record=record))
        if len(results) == 1:
            return results[0]
        relevances, recorded = zip(*results, strict=True)
        layers = {k: np.concatenate([values[k] for values in recorded]) for k in recorded[0]}
        return np.concatenate(relevances), layers


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
    threads : int, optional
        How many threads the kernels may use; ``REFCRP_NUM_THREADS``, or all processors, if None. Numbers do
        not depend on it.

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
    threads: int | None = field(default=None, kw_only=True)
    rules: tuple[Rule, ...] = field(init=False)
    bound: tuple[Bound, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.model, Model):
            raise ParameterError(f"LRP: expected a model, got {self.model!r}; load_model() reads one")
        if self.threads is not None:
            object.__setattr__(self, "threads", as_integer(self.threads, "LRP: threads", 1))
        rules = resolve_rules(self.composite, self.model)
        object.__setattr__(self, "rules", rules)
        with np.errstate(all="ignore"):  # modified weights are checked instead
            bound = tuple(rule.bind(layer) for rule, layer in zip(rules, self.model, strict=True))
        object.__setattr__(self, "bound", bound)

    @analysis
    def __call__(
        self,
        x: Array,
        output: int | Iterable[int] | OutputSelector | None = None,
        *,
        conditions: Iterable[Condition] | None = None,
        record: Iterable[int | str] | int | str = (),
        normalize_output_relevance: bool | None = None,
        batch_size: int | None = None,
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
        batch_size : int, optional
            How many conditions go down together; as many as memory is meant for, if None.

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
        layers = layer_indices(self.model, record)
        if batch_size is not None:
            as_integer(batch_size, "batch_size", 1)
        if conditions is not None:
            conditions = as_conditions(conditions, output_is_given=output is not None)
        trace = self.trace(x)
        selected = self.select(trace, output)
        if conditions is None:
            neurons = None
            seed = self.seed(trace, [selected[:, None]], normalize_output_relevance)
            R_in, recorded = trace.pull(seed, record=layers)
        else:
            neurons = condition_neurons(conditions, trace.output, selected)
            masks = condition_masks(conditions, self.model, trace.outputs)
            # Down to the first conditioned layer, conditions that start at the same neurons are one.
            distinct, which = first_of_equal(neurons)
            top = max(masks, default=len(self.model) - 1)
            seed = self.seed(trace, distinct, normalize_output_relevance)
            R, above = trace.pull(seed, down_to=top, record=layers)
            R_in, recorded = trace.pull_batches(
                lambda batch: (R[which[batch]], {k: mask[batch] for k, mask in masks.items()}),
                condition_batches(len(which), trace.outputs[: top + 1], batch_size),
                at=top,
                record=layers,
            )
            recorded |= {k: R_k[which] for k, R_k in above.items()}
        return Explanation(
            input=trace.input,
            relevance=merged(R_in),
            output=trace.output,
            selected=selected if neurons is None else neurons,
            activations=self.by_name({k: trace.pulls[k].output for k in layers}),
            relevances=self.by_name({k: merged(recorded[k]) for k in layers}),
            conditions=conditions,
        )

    # The steps, for analyzers built on this one ----------------------------------------------------------

    def trace(self, x: Array) -> Trace:
        """Compute forward, keeping what the way back needs: outputs and denominators of every layer."""
        x = freeze(self.model.check_input(x))  # a pull is made of what the input was, not of what it becomes
        pulls: list[Pull] = []
        for node, bound in zip(self.model.nodes, self.bound, strict=True):
            pulls.append(bound.linearize(x if node.source == INPUT else pulls[node.source].output))
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
        sample = np.arange(len(output))[:, None]
        for row, chosen in zip(R, neurons, strict=True):
            row[sample, chosen] = values[sample, chosen]
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
    return relevance.reshape(relevance.shape[0] * relevance.shape[1], *relevance.shape[2:])
