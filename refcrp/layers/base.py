"""What all layers have in common: frozen values with an explicit forward and relevance method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from refcrp.arrays import (
    Array,
    as_array,
    as_batch,
    as_relevance,
    freeze,
    like,
    made_again,
    unchecked_array,
)
from refcrp.checks import Shape, check_dtype, check_finite
from refcrp.errors import ParameterError, RuleCompatibilityError
from refcrp.pull import Pull
from refcrp.rule import Bound, Rule
from refcrp.rules import PassRule, ZeroRule

__all__ = [
    "ConvLayer",
    "DropoutLayer",
    "Layer",
    "NormalizationLayer",
    "PoolingLayer",
    "ReshapingLayer",
    "array_field",
    "reshaping_pull",
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

    Examples
    --------
    >>> from refcrp import layers as L
    >>> layer = L.Dense([[1.0, 1.0]])
    >>> layer.forward([[3.0, 1.0]]), layer.relevance([[8.0]], [[3.0, 1.0]])
    (array([[4.]]), array([[6., 2.]]))
    """

    kind: ClassVar[str] = "layer"  # how a model names a layer that has no name: kind1, kind2, ...
    keeps_size: ClassVar[bool] = False  # whether the output always has as many values as the input
    takes_several: ClassVar[bool] = False  # whether it puts several inputs together

    name: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        name = self.name
        if name is not None and not (isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable()):
            raise ParameterError(
                f"{type(self).__name__}: a name has 1 to 200 printable characters, got {name!r:.220}"
            )
        self._freeze_parameters()

    # What a layer does -----------------------------------------------------------------------------------

    @np.errstate(all="ignore")  # results are checked instead
    def forward(self, *inputs: Array) -> Array:
        """Compute the output.

        Parameters
        ----------
        *inputs : (batch, ...) array
            One, but for layers that put several together.

        Raises
        ------
        ShapeError, NonFiniteError, ArrayTypeError
            If the input does not fit the layer.
        """
        y = self.apply(*self.check_inputs(inputs))
        check_finite(y, self)
        return y

    @np.errstate(all="ignore")
    def relevance(self, R_out: Array, *inputs: Array, rule: Rule | None = None) -> Any:
        """Divide the relevance of the output among the inputs: bind, linearize, pull.

        Parameters
        ----------
        R_out : array
            Relevance of the output, of its shape, or with one more axis of conditions in front.
        *inputs : (batch, ...) array
            What the layer read: one array, but for layers that put several together.
        rule : Rule, default `ZeroRule`

        Returns
        -------
        array
            Relevance of the input, of the input's shape, or with the axis of conditions in front; a tuple of
            these, one for each input, for layers that put several together.

        Raises
        ------
        RuleCompatibilityError
            If the rule is not defined on this layer.
        ShapeError, NonFiniteError, ArrayTypeError
            If an array does not fit the layer.
        """
        rule = ZeroRule() if rule is None else rule
        if not isinstance(rule, Rule):
            raise ParameterError(f"{self!r}: expected a rule such as ZeroRule(), got {rule!r}")
        pull = rule.bind(self).linearize(*self.check_inputs(inputs))
        R_in = pull.parts(as_relevance(R_out, pull.output, f"{self!r}: relevance of the output"))
        for part in R_in:
            check_finite(part, self, "relevance of the input")
        return R_in if len(inputs) > 1 else R_in[0]

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
        if not isinstance(rule, PassRule):
            self.check_dividing_rule(rule)
        elif not self.keeps_size:
            self.refuse(rule, "it passes relevance on unchanged, but input and output differ in size here")

    @abstractmethod
    def check_dividing_rule(self, rule: Rule) -> None:
        """Raise `RuleCompatibilityError` unless `rule`, which is not PassRule, is defined on this layer."""

    def bind(self, rule: Rule) -> Bound:
        """Check `rule`, and compute what depends on the layer only; ``rule.bind(layer)`` calls this."""
        self.check_rule(rule)
        return PassedOn(self) if isinstance(rule, PassRule) else self.bind_checked(rule)

    @abstractmethod
    def bind_checked(self, rule: Rule) -> Bound:
        """Bind a rule that is defined on this layer, and is not PassRule."""

    def refuse(self, rule: Rule, why: str) -> None:
        """Raise `RuleCompatibilityError`."""
        raise RuleCompatibilityError(f"{rule!r} cannot be used on {self!r}: {why}")

    def plain_rules(self) -> str:
        """Name the rules that are defined on every layer like this one."""
        return "ZeroRule, EpsilonRule and PassRule" if self.keeps_size else "ZeroRule and EpsilonRule"

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
        check_dtype(target, f"{self!r}: astype")
        return replace(self, **{name: like(array, target) for name, array in self.arrays().items()})

    def check_inputs(self, inputs: tuple[Array, ...]) -> list[Array]:
        """Give inputs as arrays that fit the layer, or raise what is wrong with them."""
        dtype = next((a.dtype for a in self.arrays().values()), None)
        arrays = [as_batch(x, f"{self!r}: input", dtype) for x in inputs]
        if not arrays or (len(arrays) > 1 and not self.takes_several):
            raise ParameterError(f"{self!r}: got {len(arrays)} inputs, expected one")
        self.output_shape(*(array.shape[1:] for array in arrays))
        return arrays

    def _freeze_parameters(self) -> None:
        """Store all parameters as read-only arrays of one type."""
        owner = type(self).__name__
        for f in self._array_fields():
            if f.default is MISSING and getattr(self, f.name) is None:
                raise ParameterError(f"{owner}: {f.name} must be an array, got None")
        given = {name: unchecked_array(array, f"{owner}: {name}") for name, array in self.arrays().items()}
        own_types = {a.dtype for a in given.values() if a.dtype.kind in "fO"} or {np.dtype(np.float64)}
        common = np.empty(0, np.result_type(*own_types))
        for name, array in given.items():
            checked = as_array(array, f"{owner}: {name}", common.dtype)
            object.__setattr__(self, name, freeze(like(checked, common)))

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        """Pickle what it was made from, so that parameters are read-only again afterwards."""
        return made_again(self)

    def __repr__(self) -> str:
        details = [d for d in (self.summary(), f"name={self.name!r}" if self.name else "") if d]
        return f"{type(self).__name__}({', '.join(details)})"

    def summary(self) -> str:
        """Say in a few words what the layer does, for tables and error messages."""
        return ""


@dataclass(frozen=True, eq=False)
class PassedOn:
    """`PassRule` bound to a layer."""

    layer: Layer

    def linearize(self, a: Array) -> Pull:
        """Remember the shape of the input."""
        output = self.layer.apply(a)
        check_finite(output, self.layer)
        return reshaping_pull(output, a)


def reshaping_pull(output: Array, a: Array) -> Pull:
    """Pull relevance back by giving it the shape of the input `a`."""
    return Pull(output, lambda R_out: R_out.reshape(*R_out.shape[: R_out.ndim - output.ndim], *a.shape))


# Groups, by which composites find layers --------------------------------------------------------------------


class ConvLayer(Layer):
    """Group of all convolutions.

    Examples
    --------
    >>> import refcrp as rc
    >>> model = rc.load_model("lenet5")
    >>> [name for name in model.names if isinstance(model[name], rc.ConvLayer)]
    ['conv1', 'conv2']
    """


class PoolingLayer(Layer):
    """Group of all pooling layers.

    Examples
    --------
    >>> import refcrp as rc
    >>> model = rc.load_model("lenet5")
    >>> [name for name in model.names if isinstance(model[name], rc.PoolingLayer)]
    ['pool1', 'pool2']
    """


class DropoutLayer(Layer):
    """Group of all dropout layers.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> issubclass(L.Dropout, L.DropoutLayer)
    True
    """


class ReshapingLayer(Layer):
    """Group of all layers that only reshape.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> [issubclass(c, L.ReshapingLayer) for c in (L.Flatten, L.Reshape, L.Permute)]
    [True, True, True]
    """


class NormalizationLayer(Layer):
    """Group of the normalisation layers that are an affine map at inference, as BatchNorm is.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> issubclass(L.BatchNorm, L.NormalizationLayer), issubclass(L.LayerNorm, L.NormalizationLayer)
    (True, False)
    """
