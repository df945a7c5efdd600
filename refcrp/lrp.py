"""Layer-wise Relevance Propagation: one forward pass, and passes back under any conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from refcrp.arrays import Array, as_array, as_dtype, freeze, like, made_again
from refcrp.batches import condition_batches
from refcrp.checks import as_flag, as_integer, check_finite
from refcrp.composite import Composite, resolve_rules
from refcrp.conditions import (
    Condition,
    Masks,
    as_conditions,
    condition_masks,
    condition_neurons,
    first_of_equal,
    paths_alone,
)
from refcrp.dialects import REFCRP, Dialect, as_dialect
from refcrp.errors import ParameterError, ShapeError
from refcrp.explanation import Explanation, LayerValues, Origin, Question
from refcrp.kernels import using_threads
from refcrp.layers import Layer
from refcrp.ledger import Book
from refcrp.model import INPUT, Model
from refcrp.pull import Pull
from refcrp.rule import Bound, Rule
from refcrp.selection import Indices, OutputSelector, output_selector
from refcrp.speech import bind_as
from refcrp.tables import aligned
from refcrp.trace import Front, Trace, forward_only

__all__ = ["LRP", "analysis", "layer_indices", "merged"]


Call = TypeVar("Call", bound=Callable[..., Any])


def analysis(call: Call) -> Call:
    """Let an analyzer's call use its threads, and no warnings: results are checked instead."""

    @wraps(call)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        with np.errstate(all="ignore"), using_threads(self.threads):
            return call(self, *args, **kwargs)

    return run  # type: ignore[return-value]


@dataclass(frozen=True, eq=False, repr=False)
class LRP:
    """Layer-wise Relevance Propagation.

    Parameters
    ----------
    model : Model
    composite : Composite, Rule, or sequence of Rule, optional
        Which rule goes to which layer: a composite, one rule for all layers, or one for each. `ZeroRule`
        everywhere by default.
    normalize_output_relevance : bool, optional
        Start with relevance 1 at the selected output neuron; if False, with the neuron's own output. As the
        dialect does, if None; refcrp's own starts with 1.
    threads : int, optional
        How many threads the kernels may use; ``REFCRP_NUM_THREADS``, or all processors, if None. Numbers do
        not depend on it.
    dialect : str or Dialect
        Compute as another implementation does: one of `refcrp.DIALECTS` by name, or one of your own.
    dtype : str or dtype, optional
        Compute in this type, weights and input: ``"float64"``, ``"longdouble"``, or ``object`` for exact
        fractions. As the model and the input are, if None.

    Raises
    ------
    RuleCompatibilityError
        If a rule is not defined on the layer it goes to, or not known to the dialect.
    ParameterError
        If there is no such dialect.
    SoftmaxError
        If the model contains a softmax.

    References
    ----------
    Bach et al., On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
    propagation, PLoS ONE 10(7), 2015.

    Examples
    --------
    >>> import refcrp as rc
    >>> model = rc.Sequential([rc.layers.Dense([[3, 2]], [2])])
    >>> rc.LRP(model, rc.ZPlusRule())([[2.0, 1.0]]).relevance
    array([[0.6, 0.2]])
    """

    model: Model
    composite: Composite | Rule | Sequence[Rule] | None = None
    normalize_output_relevance: bool | None = field(default=None, kw_only=True)
    threads: int | None = field(default=None, kw_only=True)
    dialect: Dialect | str = field(default=REFCRP, kw_only=True)
    dtype: Any = field(default=None, kw_only=True)
    spoken: Dialect = field(init=False)
    rules: tuple[Rule, ...] = field(init=False)
    bound: tuple[Bound, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.model, Model):
            raise ParameterError(f"LRP: expected a model, got {self.model!r}; load_model() reads one")
        if self.threads is not None:
            object.__setattr__(self, "threads", as_integer(self.threads, "LRP: threads", 1))
        if self.dtype is not None:
            object.__setattr__(self, "dtype", as_dtype(self.dtype, "LRP: dtype"))
            object.__setattr__(self, "model", self.model.astype(self.dtype))
        object.__setattr__(self, "spoken", as_dialect(self.dialect))
        rules = resolve_rules(self.composite, self.model)
        object.__setattr__(self, "rules", rules)
        with np.errstate(all="ignore"):  # modified weights are checked instead
            bound = tuple(self.bind(rule, layer) for rule, layer in zip(rules, self.model, strict=True))
        object.__setattr__(self, "bound", bound)

    def bind(self, rule: Rule, layer: Layer) -> Bound:
        """Bind a rule to its layer, as the dialect has it."""
        return rule.bind(layer) if self.spoken == REFCRP else bind_as(rule, layer, self.spoken)

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
        exclude_parallel: bool = False,
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
        exclude_parallel : bool
            Follow only the paths through the conditioned layers; by default relevance also flows around them
            on parallel branches.

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
        normalize = self.starts_at_one(normalize_output_relevance)
        exclude_parallel = as_flag("exclude_parallel", exclude_parallel)
        return self.explain(
            trace,
            Question(selected, layers, normalize, batch_size, conditions, exclude_parallel=exclude_parallel),
        )

    @analysis
    def answer(self, x: Array, question: Question, book: Book | None = None) -> Explanation:
        """Explain what was asked before, perhaps in another type; `book` takes down the ledger."""
        return self.explain(self.trace(x), question, book)

    def explain(self, trace: Trace, question: Question, book: Book | None = None) -> Explanation:
        """Pull relevance back through `trace`."""
        if question.conditions is None:
            seed = self.seed(trace, [question.selected[:, None]], question.normalize)
            selected: Indices | tuple[Indices, ...] = question.selected
            R_in, recorded = trace.pull(seed, record=question.layers, book=book)
        else:
            selected = condition_neurons(question.conditions, trace.output, question.selected)
            R_in, recorded = self.pull_conditions(trace, question, selected, book)
        return Explanation(
            input=trace.input,
            relevance=merged(R_in),
            output=trace.output,
            selected=selected,
            activations=self.by_name({k: trace.pulls[k].output for k in question.layers}),
            relevances=self.by_name({k: merged(recorded[k]) for k in question.layers}),
            conditions=question.conditions,
            origin=Origin(self, question),
        )

    def pull_conditions(
        self, trace: Trace, question: Question, neurons: Sequence[Indices], book: Book | None
    ) -> tuple[Array, dict[int, Array]]:
        """Pull relevance of output `neurons` back under conditions; as `Trace.pull`."""
        assert question.conditions is not None
        masks = condition_masks(question.conditions, self.model, trace.outputs)
        # Down to the first conditioned layer, conditions that start at the same neurons are one.
        distinct, which = first_of_equal(neurons)
        top = max(masks, default=len(self.model) - 1)
        seed = self.seed(trace, distinct, question.normalize)
        front, above = trace.flow({len(self.model) - 1: seed}, top, record=question.layers, book=book)
        if book is not None:
            book.spread(which)
        alone = paths_alone(question.conditions, self.model) if question.exclude_parallel else {}

        def start(batch: slice) -> tuple[Front, Masks, Mapping[int, Array]]:
            here = {k: mask[batch] for k, mask in masks.items()}
            return (
                {k: R[which[batch]] for k, R in front.items()},
                here,
                {k: a[batch] for k, a in alone.items()},
            )

        R_in, recorded = trace.flow_batches(
            start,
            condition_batches(len(which), trace.outputs[: top + 1], question.batch_size),
            record=question.layers,
            book=book,
        )
        return R_in, recorded | {k: R_k[which] for k, R_k in above.items()}

    # The steps, for analyzers built on this one ----------------------------------------------------------

    def trace(self, x: Array, down_to: int = INPUT) -> Trace:
        """Compute forward, keeping what the way back needs: outputs and denominators of every layer.

        The way back ends at the output of layer `down_to`: of it and those before, only outputs are kept.
        """
        x = self.model.check_input(as_input(x, self.dtype))
        x = freeze(x)  # a pull is made of what the input was, not of what it becomes
        pulls: list[Pull] = []
        for k, (node, bound) in enumerate(zip(self.model.nodes, self.bound, strict=True)):
            inputs = (x if source == INPUT else pulls[source].output for source in node.sources)
            pulls.append(bound.linearize(*inputs) if k > down_to else forward_only(node.layer, *inputs))
        return Trace(self.model, x, tuple(pulls))

    def select(self, trace: Trace, output: int | Iterable[int] | OutputSelector | None) -> Indices:
        """Choose the output neuron to explain, (n,)."""
        if trace.output.ndim != 2:
            raise ShapeError(
                f"the model's output has shape {trace.output.shape}, expected (batch, neurons): "
                "end the model with Flatten, or GlobalAvgPool and Flatten"
            )
        return output_selector(output).select(trace.output)

    def starts_at_one(self, normalize: bool | None) -> bool:
        """Decide whether relevance starts as 1: as the call says, else the analyzer, else the dialect."""
        own = self.normalize_output_relevance
        choice = normalize if normalize is not None else own
        return self.spoken.seed == "one" if choice is None else choice

    def seed(self, trace: Trace, neurons: Sequence[Indices], normalize: bool = True) -> Array:
        """Put relevance on output neurons, (n, m) of them for each of k conditions: gives (k, n, neurons)."""
        output = trace.output
        values = np.ones_like(output) if normalize else output
        R = np.zeros((len(neurons), *output.shape), dtype=output.dtype)
        sample = np.arange(len(output))[:, None]
        for row, chosen in zip(R, neurons, strict=True):
            row[sample, chosen] = values[sample, chosen]
        return R

    def astype(self, dtype: Any) -> LRP:
        """Give the same analyzer, computing in another type."""
        return replace(self, dtype=dtype)

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        """Pickle what it was made from: what is bound holds functions, and is soon made again."""
        return made_again(self)

    def by_name(self, values: Mapping[int, Array]) -> LayerValues:
        """Give values by layer name."""
        return LayerValues(self.model, {self.model.names[k]: value for k, value in values.items()})

    def __repr__(self) -> str:
        numbered = enumerate(zip(self.model, self.rules, strict=True))
        rows = [(str(k), repr(layer), repr(rule)) for k, (layer, rule) in numbered]
        lines = [f"  {row}" for row in aligned(rows, ("  ", " => "))]
        if self.spoken != REFCRP:
            lines.append(f"  dialect {self.spoken.name!r}")
        return "\n".join(["LRP(", *lines, ")"])


def as_input(x: Array, dtype: np.dtype[Any] | None) -> Array:
    """Give the input in the type that was asked for, if one was."""
    return x if dtype is None else np.asarray(like(as_array(x, "input", dtype), np.empty(0, dtype)))


def layer_indices(model: Model, layers: Iterable[int | str] | int | str) -> tuple[int, ...]:
    """Give the indices of one or several layers."""
    if isinstance(layers, str) or not isinstance(layers, Iterable):
        layers = [layers]
    return tuple(model.index(layer) for layer in layers)


def merged(relevance: Array) -> Array:
    """Join the axes of conditions and samples into one, condition-major; raise if it is not finite."""
    check_finite(relevance, "relevance (a denominator is too small for this element type)")
    return relevance.reshape(relevance.shape[0] * relevance.shape[1], *relevance.shape[2:])
