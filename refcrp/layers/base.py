"""What all layers have in common: frozen values with an explicit forward and relevance method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from refcrp.arrays import Array, as_array, check_same_arithmetic, exact, freeze, like
from refcrp.checks import Shape, check_shape
from refcrp.errors import ParameterError, RuleCompatibilityError, ShapeError
from refcrp.modifiers import Modifier
from refcrp.propagation import BoundRule, Pull
from refcrp.rule import Bound, Rule
from refcrp.rules import LayerNormRule, PassRule, ZeroRule

__all__ = [
    "ConvLayer",
    "DropoutLayer",
    "Layer",
    "LinearLayer",
    "NormalizationLayer",
    "PoolingLayer",
    "ReshapingLayer",
    "array_field",
]


def array_field(**options: Any) -> Any:
    """Declare a field that holds parameters: stored as a read-only array, saved as a dataset."""
    return field(metadata={"array": True}, **options)


@dataclass(frozen=True, eq=False, repr=False)
class Layer(ABC):
    """A frozen layer: settings and parameters, and no memory of what went through it.

    Parameters
    ----------
    name : str, optional
        How composites, conditions and recordings address it in a model.
    """

    kind: ClassVar[str] = "layer"  # how a model names a layer that has no name: kind1, kind2, ...
    keeps_size: ClassVar[bool] = False  # whether the output always has as many values as the input

    name: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.name is not None and (not isinstance(self.name, str) or not self.name):
            raise ParameterError(
                f"{type(self).__name__}: name must be a string that is not empty, got {self.name!r}"
            )
        self._freeze_parameters()

    # What a layer does -----------------------------------------------------------------------------------

    def forward(self, x: Array) -> Array:
        """Compute the output.

        Parameters
        ----------
        x : (batch, ...) array

        Raises
        ------
        ShapeError, NonFiniteError, ArrayTypeError
            If the input does not fit the layer.
        """
        return self.apply(self.check_input(x))

    def relevance(self, R_out: Array, x: Array, *, rule: Rule | None = None) -> Array:
        """Divide the relevance of the output among the inputs: bind, linearize, pull.

        Parameters
        ----------
        R_out : array
            Relevance of the output, of its shape, or with one more axis of conditions in front.
        x : (batch, ...) array
            The layer's input.
        rule : Rule, default `ZeroRule`

        Returns
        -------
        array
            Relevance of the input, of the input's shape, or with the axis of conditions in front.

        Raises
        ------
        RuleCompatibilityError
            If the rule is not defined on this layer.
        ShapeError, NonFiniteError, ArrayTypeError
            If an array does not fit the layer.
        """
        x = self.check_input(x)
        pull = (rule or ZeroRule()).bind(self).linearize(x)
        R_out = as_array(R_out, f"{self!r}: relevance", x.dtype)
        expected = pull.output.shape
        if R_out.shape != expected:
            check_shape(R_out.shape, (None, *expected), f"{self!r}: relevance of the output")
        return pull(R_out)

    @abstractmethod
    def apply(self, x: Array) -> Array:
        """Compute the output of an input that has been checked."""

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """Give the shape of one output for one input of `shape`; None where not known.

        Raises
        ------
        ShapeError
            If the layer cannot take such an input.
        """

    def input_hint(self) -> Shape | None:
        """Say what is known of the input's shape from the layer alone."""
        return None

    # How relevance gets through it -----------------------------------------------------------------------

    def check_rule(self, rule: Rule) -> None:
        """Raise `RuleCompatibilityError` unless `rule` is defined on this layer."""
        if isinstance(rule, PassRule):
            if not self.keeps_size:
                self.refuse(
                    rule, "it passes relevance on unchanged, but input and output differ in size here"
                )
        elif not rule.is_plain:
            self.refuse(rule, "this layer takes only ZeroRule and EpsilonRule" + self.pass_rule_hint())

    def bind(self, rule: Rule) -> Bound:
        """Bind a rule that has been checked; layers that are not linear have their own `linearize`."""
        return OwnRelevance(self, rule.stabilize)

    @abstractmethod
    def linearize(self, a: Array, stabilize: Modifier) -> Pull:
        """Give the output for `a`, and how relevance comes back."""

    def refuse(self, rule: Rule, why: str) -> None:
        """Raise `RuleCompatibilityError`."""
        raise RuleCompatibilityError(f"{rule!r} cannot be used on {self!r}: {why}")

    def pass_rule_hint(self) -> str:
        """Name PassRule where it would be possible."""
        return " and PassRule" if self.keeps_size else ""

    # What it is made of ----------------------------------------------------------------------------------

    @classmethod
    def _array_fields(cls) -> Iterator[Field[Any]]:
        return (f for f in fields(cls) if f.metadata.get("array"))

    def arrays(self) -> dict[str, Array]:
        """Give the parameters that are there, by name."""
        found = ((f.name, getattr(self, f.name)) for f in self._array_fields())
        return {name: array for name, array in found if array is not None}

    def settings(self) -> dict[str, Any]:
        """Give everything but the parameters and the name, by name."""
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.init and f.name != "name" and not f.metadata.get("array")
        }

    @property
    def parameter_count(self) -> int:
        """How many numbers the layer has learned."""
        return sum(a.size for a in self.arrays().values())

    def astype(self, dtype: Any) -> Self:
        """Give the same layer with parameters of another type; ``object`` makes them exact fractions."""
        target = np.empty(0, dtype)
        return replace(self, **{name: like(array, target) for name, array in self.arrays().items()})

    def check_input(self, x: Array) -> Array:
        """Give `x` as an array that fits the layer, or raise what is wrong with it."""
        what = f"{self!r}: input"
        dtype = next((a.dtype for a in self.arrays().values()), None)
        array = as_array(x, what, dtype)
        check_same_arithmetic(array, dtype, what)
        if array.ndim == 0:
            raise ShapeError(f"{what}: got a single number, expected an array with a batch axis")
        self.output_shape(array.shape[1:])
        return array

    def _freeze_parameters(self) -> None:
        """Store all parameters as read-only arrays of one type."""
        given = {name: np.asarray(array) for name, array in self.arrays().items()}
        own_types = {a.dtype for a in given.values() if a.dtype.kind in "fO"} or {np.dtype(np.float64)}
        is_exact = np.dtype(object) in own_types
        dtype = np.dtype(object) if is_exact else np.result_type(*own_types)
        for name, array in given.items():
            checked = as_array(array, f"{type(self).__name__}: {name}", dtype)
            same_type = exact(checked) if is_exact else checked.astype(dtype, copy=False)
            object.__setattr__(self, name, freeze(same_type))

    def __repr__(self) -> str:
        details = [d for d in (self.summary(), f"name={self.name!r}" if self.name else "") if d]
        return f"{type(self).__name__}({', '.join(details)})"

    def summary(self) -> str:
        """Say in a few words what the layer does, for tables and error messages."""
        return ""


@dataclass(frozen=True, eq=False)
class OwnRelevance:
    """A rule bound to a layer that owns its relevance method; only the stabilizer is the rule's."""

    layer: Layer
    stabilize: Modifier

    def linearize(self, a: Array) -> Pull:
        """Leave it to the layer."""
        return self.layer.linearize(a, self.stabilize)


@dataclass(frozen=True, eq=False, repr=False)
class LinearLayer(Layer):
    """A layer that is a linear map of its input, perhaps with an activation function after it.

    A subclass gives two operations and knows no rule: `linear`, and its adjoint `transpose`.
    """

    if TYPE_CHECKING:
        # A field with parameters, or a property that gives None.
        @property
        def weight(self) -> Array | None: ...  # noqa: D102
        @property
        def bias(self) -> Array | None: ...  # noqa: D102

    @abstractmethod
    def linear(self, x: Array, weight: Array | None, bias: Array | None) -> Array:
        """Apply the linear map with these parameters in place of the layer's own; x of shape (batch, ...)."""

    @abstractmethod
    def transpose(self, s: Array, weight: Array | None, input_shape: tuple[int, ...]) -> Array:
        """Apply the adjoint, <linear(x), s> = <x, transpose(s)>.

        Parameters
        ----------
        s : (..., batch, *output) array
        weight : array or None
        input_shape : tuple of int
            That of x, batch axis included.

        Returns
        -------
        (..., batch, *input) array
        """

    def redistribute(self, R_out: Array, denominator: Array, a: Array, weight: Array | None) -> Array:
        """R_i = a_i · Σ_j W_ij · R_j / z_j."""
        return np.asarray(a * self.transpose(R_out / denominator, weight, a.shape))

    def activate(self, z: Array) -> Array:
        """Apply the activation function, if the layer has one."""
        return z

    def apply(self, x: Array) -> Array:
        """Compute the output of an input that has been checked."""
        return self.activate(self.linear(x, self.weight, self.bias))

    def bind(self, rule: Rule) -> Bound:
        """Modify the weights as `rule` says."""
        return BoundRule.bind(rule.shares(), self, rule.stabilize)

    def linearize(self, a: Array, stabilize: Modifier) -> Pull:
        """Linearize under the plain rule."""
        return BoundRule.bind(ZeroRule().shares(), self, stabilize).linearize(a)

    def check_rule(self, rule: Rule) -> None:
        """Refuse rules that need weights where there are none."""
        if isinstance(rule, LayerNormRule):
            self.refuse(rule, "it is only for LayerNorm")
        if isinstance(rule, PassRule):
            super().check_rule(rule)
        elif rule.needs_weights and self.weight is None:
            self.refuse(rule, "it needs a layer with weights" + self.zero_rule_hint())

    def zero_rule_hint(self) -> str:
        """Name what would do."""
        return f"; ZeroRule and EpsilonRule{self.pass_rule_hint()} do not"


# Groups, by which composites find layers --------------------------------------------------------------------


class ConvLayer(Layer):
    """Group of all convolutions."""


class PoolingLayer(Layer):
    """Group of all pooling layers."""


class DropoutLayer(Layer):
    """Group of all dropout layers."""


class ReshapingLayer(Layer):
    """Group of all layers that only reshape."""


class NormalizationLayer(Layer):
    """Group of the normalisation layers that are an affine map at inference, as BatchNorm is."""
