"""Activation functions, alone or fused into a layer; relevance passes through them unchanged."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from refcrp.arrays import Array, like
from refcrp.checks import Shape, as_flag, check_number, check_ordered
from refcrp.errors import ArrayTypeError, ShapeError, SoftmaxError
from refcrp.layers.own import OwnRelevanceLayer
from refcrp.pull import Pull
from refcrp.rule import Rule

__all__ = [
    "ELU",
    "GELU",
    "Activation",
    "HardTanh",
    "LeakyReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
]

STRIP_SOFTMAX = (
    "relevance is defined on the scores before the softmax; refcrp.strip_softmax(model) takes it off the end "
    "of a model"
)


@dataclass(frozen=True, eq=False, repr=False)
class Activation(OwnRelevanceLayer):
    """Base of all functions that act on each value alone.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> class Square(L.Activation):
    ...     def function(self, x):
    ...         return x * x
    >>> Square().forward([[3.0, -2.0]])
    array([[9., 4.]])
    """

    keeps_size: ClassVar[bool] = True
    is_rational: ClassVar[bool] = False  # whether fractions stay fractions
    stays_finite: ClassVar[bool] = False  # whether all finite values stay finite

    def apply(self, x: Array) -> Array:
        """Compute the output of an input that has been checked."""
        if x.dtype == object and not self.is_rational:
            raise ArrayTypeError(f"{self!r} has no exact value on fractions; use ReLU, or a float type")
        return self.function(x)

    @abstractmethod
    def function(self, x: Array) -> Array:
        """Compute the function."""

    def output_shape(self, shape: Shape) -> Shape:
        """Give the same shape."""
        return shape

    def linearize(self, a: Array, rule: Rule) -> Pull:
        """Let relevance pass: R_i = R_i."""
        return Pull(self.apply(a), lambda R_out: R_out)

    def summary(self) -> str:
        """Show the settings."""
        return ", ".join(f"{k}={v!r}" for k, v in self.settings().items())


@dataclass(frozen=True, eq=False, repr=False)
class ReLU(Activation):
    """max(0, x).

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.ReLU().forward([[-1.0, 2.0]]), L.ReLU().relevance([[1.0, 4.0]], [[-1.0, 2.0]])
    (array([[0., 2.]]), array([[1., 4.]]))
    """

    kind: ClassVar[str] = "relu"
    is_rational: ClassVar[bool] = True
    stays_finite: ClassVar[bool] = True

    def function(self, x: Array) -> Array:
        """Compute max(0, x)."""
        return np.asarray(np.maximum(x, 0))


@dataclass(frozen=True, eq=False, repr=False)
class ReLU6(Activation):
    """max(0, x), but 6 at most.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.ReLU6().forward([[-1.0, 2.0, 8.0]])
    array([[0., 2., 6.]])
    """

    kind: ClassVar[str] = "relu6"
    is_rational: ClassVar[bool] = True
    stays_finite: ClassVar[bool] = True

    def function(self, x: Array) -> Array:
        """Compute min(max(0, x), 6)."""
        return np.asarray(np.minimum(np.maximum(x, 0), 6))


@dataclass(frozen=True, eq=False, repr=False)
class HardTanh(Activation):
    """x, but `low` at least and `high` at most.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.HardTanh(-1, 2).forward([[-3.0, 0.5, 3.0]])
    array([[-1. ,  0.5,  2. ]])
    """

    kind: ClassVar[str] = "hard_tanh"
    is_rational: ClassVar[bool] = True
    stays_finite: ClassVar[bool] = True

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("HardTanh: low", self.low, -math.inf)
        check_number("HardTanh: high", self.high, -math.inf)
        check_ordered("HardTanh", self.low, self.high)

    def function(self, x: Array) -> Array:
        """Compute min(max(low, x), high)."""
        return np.asarray(np.minimum(np.maximum(x, like(self.low, x)), like(self.high, x)))


@dataclass(frozen=True, eq=False, repr=False)
class LeakyReLU(Activation):
    """x where x ≥ 0, slope · x elsewhere.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.LeakyReLU(0.5).forward([[-3.0, 2.0]])
    array([[-1.5,  2. ]])
    """

    kind: ClassVar[str] = "leaky_relu"
    is_rational: ClassVar[bool] = True

    negative_slope: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("LeakyReLU: negative_slope", self.negative_slope, -math.inf)

    def function(self, x: Array) -> Array:
        """Compute x or slope · x."""
        return np.where(x < 0, like(self.negative_slope, x) * x, x)


@dataclass(frozen=True, eq=False, repr=False)
class ELU(Activation):
    """x where x ≥ 0, alpha · (exp(x) - 1) elsewhere.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.ELU(2.0).forward([[-1.0, 0.0, 3.0]]).round(3)
    array([[-1.264,  0.   ,  3.   ]])
    """

    kind: ClassVar[str] = "elu"

    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("ELU: alpha", self.alpha, -math.inf)

    def function(self, x: Array) -> Array:
        """Compute x or alpha · (exp(x) - 1)."""
        return np.where(x < 0, like(self.alpha, x) * np.expm1(np.minimum(x, 0)), x)


@dataclass(frozen=True, eq=False, repr=False)
class GELU(Activation):
    """x · Φ(x), with the distribution function Φ of the normal distribution, or its tanh approximation.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.GELU().forward([[-1.0, 0.0, 1.0]]).round(3)
    array([[-0.159,  0.   ,  0.841]])
    """

    kind: ClassVar[str] = "gelu"

    approximate: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "approximate", as_flag("GELU: approximate", self.approximate))

    def function(self, x: Array) -> Array:
        """Compute x · Φ(x)."""
        if self.approximate:
            cubic = x + like(0.044715, x) * x**3
            return np.asarray(x * (1 + np.tanh(like(np.sqrt(2 / np.pi), x) * cubic)) / 2)
        if x.dtype not in (np.float32, np.float64):
            raise ArrayTypeError(
                f"{self!r} is known to double precision only; use approximate=True for {x.dtype}"
            )
        from scipy.special import ndtr  # noqa: PLC0415 - scipy is imported where it is used

        return np.asarray(x * ndtr(x))


@dataclass(frozen=True, eq=False, repr=False)
class SiLU(Activation):
    """x · sigmoid(x), also called swish.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.SiLU().forward([[-1.0, 0.0, 1.0]]).round(3)
    array([[-0.269,  0.   ,  0.731]])
    """

    kind: ClassVar[str] = "silu"

    def function(self, x: Array) -> Array:
        """Compute x · sigmoid(x)."""
        return np.asarray(x * sigmoid(x))


@dataclass(frozen=True, eq=False, repr=False)
class Tanh(Activation):
    """Hyperbolic tangent.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.Tanh().forward([[-1.0, 0.0, 1.0]]).round(3)
    array([[-0.762,  0.   ,  0.762]])
    """

    kind: ClassVar[str] = "tanh"

    def function(self, x: Array) -> Array:
        """Compute tanh(x)."""
        return np.asarray(np.tanh(x))


@dataclass(frozen=True, eq=False, repr=False)
class Sigmoid(Activation):
    """1 / (1 + exp(-x)).

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.Sigmoid().forward([[-1.0, 0.0, 1.0]]).round(3)
    array([[0.269, 0.5  , 0.731]])
    """

    kind: ClassVar[str] = "sigmoid"

    def function(self, x: Array) -> Array:
        """Compute 1 / (1 + exp(-x))."""
        return sigmoid(x)


@dataclass(frozen=True, eq=False, repr=False)
class Softmax(Activation):
    """exp(x) over its sum along the channels; computed, but never explained.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.Softmax().forward([[2.0, 2.0]])
    array([[0.5, 0.5]])
    """

    kind: ClassVar[str] = "softmax"

    def function(self, x: Array) -> Array:
        """Compute exp(x) / Σ exp(x), over axis 1."""
        powers = np.exp(x - x.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def output_shape(self, shape: Shape) -> Shape:
        """Give the same shape."""
        if not shape:
            raise ShapeError(f"{self!r}: one sample is a single number, expected (neurons, ...)")
        return shape

    def check_rule(self, rule: Rule) -> None:
        """Refuse every rule."""
        raise SoftmaxError(f"{self!r}: {STRIP_SOFTMAX}")


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), written so that no exponential overflows and none is lost beside 1."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, small, 1) / (1 + small))
