"""Layers that put several inputs together; relevance goes back to each of them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from refcrp.arrays import Array, as_array, like
from refcrp.checks import Shape, as_integer, check_finite, check_shape, show_shape
from refcrp.errors import ParameterError, ShapeError
from refcrp.layers.base import Layer
from refcrp.layers.linear import LinearLayer
from refcrp.pull import Losses, Pull, per_sample
from refcrp.rule import Bound, Rule

__all__ = ["Add", "Concat", "MergeLayer", "Multiply"]


@dataclass(frozen=True, eq=False, repr=False)
class MergeLayer(Layer):
    """Base of layers with several inputs: `Add`, `Concat`, and yours."""

    takes_several: ClassVar[bool] = True

    @abstractmethod
    def apply(self, *inputs: Array) -> Array:
        """Compute the output of inputs that have been checked."""

    @abstractmethod
    def output_shape(self, *shapes: Shape) -> Shape:
        """Give the shape of one output for one sample of each input."""

    @abstractmethod
    def divide(self, inputs: tuple[Array, ...], output: Array, rule: Rule) -> Pull:
        """Say how relevance of the output comes back to each of the inputs."""

    def check_dividing_rule(self, rule: Rule) -> None:
        """Refuse all rules but the plain ones."""
        if not rule.is_plain:
            self.refuse(rule, "this layer takes only ZeroRule and EpsilonRule")

    def bind_checked(self, rule: Rule) -> Bound:
        """Take the stabilizer of `rule`."""
        return BoundMerge(self, rule)


@dataclass(frozen=True, eq=False)
class BoundMerge:
    """A rule bound to a layer with several inputs."""

    layer: MergeLayer
    rule: Rule

    def linearize(self, *inputs: Array) -> Pull:
        """Leave it to the layer."""
        output = self.layer.apply(*inputs)
        check_finite(output, self.layer)
        return self.layer.divide(inputs, output, self.rule)


@dataclass(frozen=True, eq=False, repr=False)
class Add(MergeLayer):
    """z = a + b + ..., of inputs of one shape.

    Relevance is divided in proportion: ``R_a = a / stabilize(z) · R``.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.Add().forward([[3.0, 1.0]], [[1.0, 1.0]])
    array([[4., 2.]])
    >>> [R for R in L.Add().relevance([[8.0, 2.0]], [[3.0, 1.0]], [[1.0, 1.0]])]
    [array([[6., 1.]]), array([[2., 1.]])]
    """

    kind: ClassVar[str] = "add"

    def apply(self, *inputs: Array) -> Array:
        """Compute the output of inputs that have been checked."""
        z = inputs[0]
        for x in inputs[1:]:
            z = z + x
        return z

    def divide(self, inputs: tuple[Array, ...], output: Array, rule: Rule) -> Pull:
        """R_a = a / stabilize(z) · R."""
        denominator = rule.stabilize(output)

        def pull(R_out: Array) -> tuple[Array, ...]:
            s = R_out / denominator
            return tuple(np.asarray(a * s) for a in inputs)

        def losses(R_out: Array) -> Losses:
            absorbed = per_sample((denominator - output) / denominator * R_out, output)
            return Losses(0 * absorbed, absorbed, 0 * absorbed)

        return Pull(output, pull, losses)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Give the shape, which is the same for all inputs."""
        for shape in shapes[1:]:
            check_shape(shape, shapes[0], self, "an input, one sample")
        return shapes[0]


@dataclass(frozen=True, eq=False, repr=False)
class Concat(MergeLayer):
    """Inputs side by side along an axis; relevance is cut apart where they meet.

    Parameters
    ----------
    axis : int
        1, the channels, by default; 0 would be the batch, and is refused.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.Concat().forward([[3.0]], [[1.0, 2.0]])
    array([[3., 1., 2.]])
    >>> L.Concat().relevance([[5.0, 6.0, 7.0]], [[3.0]], [[1.0, 2.0]])
    (array([[5.]]), array([[6., 7.]]))
    """

    kind: ClassVar[str] = "concat"

    axis: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "axis", as_integer(self.axis, "Concat: axis", 1))

    def apply(self, *inputs: Array) -> Array:
        """Compute the output of inputs that have been checked."""
        return np.concatenate(inputs, axis=self.axis)

    def divide(self, inputs: tuple[Array, ...], output: Array, rule: Rule) -> Pull:
        """Give each input the relevance of its own values."""
        cuts = np.cumsum([x.shape[self.axis] for x in inputs])[:-1]

        def pull(R_out: Array) -> tuple[Array, ...]:
            return tuple(np.split(R_out, cuts, axis=self.axis - output.ndim))

        return Pull(output, pull)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Add the lengths along the axis; all others must be equal."""
        axis = self.axis - 1
        if axis >= len(shapes[0]):
            raise ShapeError(f"{self}: an input {show_shape(shapes[0])}, one sample, has no axis {self.axis}")
        for shape in shapes[1:]:
            expected = (*shapes[0][:axis], None, *shapes[0][axis + 1 :])
            check_shape(shape, expected, self, "an input, one sample")
        lengths = [shape[axis] for shape in shapes]
        total = None if None in lengths else sum(n for n in lengths if n is not None)
        return (*shapes[0][:axis], total, *shapes[0][axis + 1 :])

    def summary(self) -> str:
        """Show the axis, if it is not the usual one."""
        return "" if self.axis == 1 else f"axis {self.axis}"


@dataclass(frozen=True, eq=False, repr=False)
class Multiply(LinearLayer):
    """z = c a with a constant number c; under ZeroRule relevance passes, but for the stabilizer.

    Parameters
    ----------
    value : float
        c, not zero.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.Multiply(0.5).forward([[3.0, -1.0]])
    array([[ 1.5, -0.5]])
    >>> L.Multiply(0.5).relevance([[1.0, 2.0]], [[3.0, -1.0]])
    array([[1., 2.]])
    """

    kind: ClassVar[str] = "multiply"
    keeps_size: ClassVar[bool] = True
    weight: ClassVar[None] = None
    bias: ClassVar[None] = None

    value: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        value = as_array(self.value, "Multiply: value")
        if value.ndim or not value:
            raise ParameterError(f"Multiply: value must be one number, not zero; got {self.value!r}")
        object.__setattr__(self, "value", value[()] if value.dtype == object else float(value))

    def linear(self, x: Array, weight: Array | None, bias: Array | None) -> Array:
        """Multiply."""
        return np.asarray(x * like(self.value, x))

    def transpose(self, s: Array, weight: Array | None, input_shape: tuple[int, ...]) -> Array:
        """Multiply."""
        return np.asarray(s * like(self.value, s))

    def output_shape(self, shape: Shape) -> Shape:
        """Give the same shape."""
        return shape

    def summary(self) -> str:
        """Show the number."""
        return f"{self.value:g}"
