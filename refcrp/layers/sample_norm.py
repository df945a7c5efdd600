"""Normalisation over the values of each sample: layer, group and instance normalisation."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from refcrp.arrays import Array, like
from refcrp.checks import Shape, as_integer, check_number, check_shape
from refcrp.errors import ArrayTypeError, ParameterError, ShapeError
from refcrp.layers.base import array_field
from refcrp.layers.norm import Scale
from refcrp.layers.own import OwnRelevanceLayer
from refcrp.propagation import BoundRule
from refcrp.pull import Losses, Pull, per_sample
from refcrp.rule import Rule
from refcrp.rules import LayerNormRule, ZeroRule

__all__ = ["GroupNorm", "InstanceNorm", "LayerNorm", "SampleNorm"]

Lengths = tuple[int, ...]  # the shape of one sample


@dataclass(frozen=True, eq=False, repr=False)
class SampleNorm(OwnRelevanceLayer):
    """(x - mean) / sqrt(variance + epsilon) · weight + bias, with the mean and variance of groups of values.

    Groups are parts of one sample; what makes one is all that differs between `LayerNorm`, `GroupNorm` and
    `InstanceNorm`. The rule is `LayerNormRule`.
    """

    keeps_size: ClassVar[bool] = True

    if TYPE_CHECKING:
        # Fields of the layers.
        @property
        def weight(self) -> Array | None: ...  # noqa: D102
        @property
        def bias(self) -> Array | None: ...  # noqa: D102
        @property
        def epsilon(self) -> float: ...  # noqa: D102

    @property
    def axis(self) -> int:
        """The first axis that the parameters go along: 1, the channels, or counted from the end."""
        return 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(f"{type(self).__name__}: epsilon", self.epsilon, 0)

    @abstractmethod
    def group_count(self, sample: Lengths) -> int:
        """Say into how many groups a sample falls; each is a run of its values in C order."""

    @cached_property
    def scaling(self) -> Scale | None:
        """The affine part, weight and bias, as a layer; None if there is neither."""
        if self.weight is None and self.bias is None:
            return None
        weight = np.ones_like(self.bias) if self.weight is None else self.weight
        return Scale(weight, self.bias, axis=self.axis, name=self.name)

    def without_scaling(self) -> Self:
        """Give the same layer without its affine part."""
        return replace(self, **dict.fromkeys(self.arrays()))

    def grouped(self, x: Array, sample: Lengths) -> Array:
        """Give ``x (..., *sample)`` as (..., groups, values)."""
        groups = self.group_count(sample)
        return x.reshape(*x.shape[: x.ndim - len(sample)], groups, math.prod(sample) // groups)

    def centre(self, x: Array, sample: Lengths) -> Array:
        """x_i - mean(x) in every group of ``x (..., *sample)``: a linear map, and its own adjoint."""
        values = self.grouped(x, sample)
        mean = values.sum(axis=-1, keepdims=True) / like(values.shape[-1], x)
        return np.asarray(values - mean).reshape(x.shape)

    def normalize(self, a: Array) -> Array:
        """Compute (a - mean) / sqrt(variance + epsilon)."""
        if a.dtype == object:
            raise ArrayTypeError(f"{self!r} has a square root and so no exact value on fractions")
        centred = self.grouped(self.centre(a, a.shape[1:]), a.shape[1:])
        variance = np.mean(centred * centred, axis=-1, keepdims=True)
        return np.asarray(centred / np.sqrt(variance + like(self.epsilon, a))).reshape(a.shape)

    def apply(self, x: Array) -> Array:
        """Compute the output of an input that has been checked."""
        normalized = self.normalize(x)
        return normalized if self.scaling is None else self.scaling.apply(normalized)

    def linearize(self, a: Array, rule: Rule) -> Pull:
        """ZeroRule through the affine part, then through the centring."""
        centring = self.linearize_centring(a, rule)
        if self.scaling is None:
            return centring
        affine = BoundRule.bind(ZeroRule().shares(), self.scaling, rule.stabilize).linearize(centring.output)

        def losses(R_out: Array) -> Losses:
            both = zip(affine.losses(R_out), centring.losses(affine(R_out)), strict=True)
            return Losses(*(of_affine + of_centring for of_affine, of_centring in both))

        return Pull(affine.output, lambda R_out: centring(affine(R_out)), losses)

    def linearize_centring(self, a: Array, rule: Rule) -> Pull:
        """R_i = Σ_j a_i (δ_ij - 1/N) / (Σ_i a_i (δ_ij - 1/N)) · R_j, beside the normalised input."""
        sample = a.shape[1:]
        z = self.centre(a, sample)
        denominator = rule.stabilize(z)

        def pull(R_out: Array) -> Array:
            return np.asarray(a * self.centre(R_out / denominator, sample))

        def losses(R_out: Array) -> Losses:
            to_stabilizer = per_sample((denominator - z) / denominator * R_out, z)
            return Losses(0 * to_stabilizer, to_stabilizer, 0 * to_stabilizer)

        return Pull(self.normalize(a), pull, losses)

    def check_dividing_rule(self, rule: Rule) -> None:
        """Take LayerNormRule."""
        if not isinstance(rule, LayerNormRule):
            self.refuse(rule, "this layer takes LayerNormRule, or PassRule")


@dataclass(frozen=True, eq=False, repr=False)
class LayerNorm(SampleNorm):
    """Layer normalisation over the last axes: (x - mean) / sqrt(variance + epsilon) · weight + bias.

    Mean and variance are those of each sample, over its last axes. Its rule is `LayerNormRule`.

    Parameters
    ----------
    weight, bias : array, optional
        Learned scale and shift, of the shape of the normalised axes; 1 and 0 if None.
    epsilon : float
        Added to the variance.
    shape : tuple of int, optional
        Of the normalised axes, where no weight or bias has it.
    name : str, optional

    Examples
    --------
    >>> import refcrp as rc
    >>> norm = rc.layers.LayerNorm(shape=2, epsilon=0.0)
    >>> norm.forward([[4.0, 8.0]])
    array([[-1.,  1.]])
    >>> norm.relevance([[0.0, 1.0]], [[4.0, 8.0]], rule=rc.LayerNormRule())
    array([[-1.,  2.]])
    """

    kind: ClassVar[str] = "layernorm"

    weight: Array | None = array_field(default=None)
    bias: Array | None = array_field(default=None)
    epsilon: float = field(default=1e-5, kw_only=True)
    shape: Lengths | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shape is None and not self.arrays():
            raise ParameterError("LayerNorm: expected a weight, a bias, or the shape of the normalised axes")
        if self.shape is not None:
            lengths = self.shape if isinstance(self.shape, (tuple, list, np.ndarray)) else (self.shape,)
            checked = tuple(as_integer(n, "LayerNorm: shape", 1) for n in lengths)
            object.__setattr__(self, "shape", checked)
        if not math.prod(self.normalized_shape) or not self.normalized_shape:
            raise ShapeError("LayerNorm: expected one normalised axis at least, and none of length 0")
        for name, array in self.arrays().items():
            check_shape(array.shape, self.normalized_shape, f"LayerNorm: {name}")

    @property
    def normalized_shape(self) -> Lengths:
        """Of the normalised axes, which are the last."""
        return next(a.shape for a in self.arrays().values()) if self.shape is None else self.shape

    @property
    def axis(self) -> int:
        """The first of the normalised axes, counted from the end."""
        return -len(self.normalized_shape)

    def without_scaling(self) -> Self:
        """Give the same layer without its affine part."""
        return replace(self, weight=None, bias=None, shape=self.normalized_shape)

    def group_count(self, sample: Lengths) -> int:
        """Everything but the normalised axes."""
        return math.prod(sample) // math.prod(self.normalized_shape)

    def output_shape(self, shape: Shape) -> Shape:
        """Give the same shape."""
        check_shape(shape[self.axis :], self.normalized_shape, self, "normalised axes of the input")
        return shape

    def summary(self) -> str:
        """Show the normalised shape."""
        return "x".join(str(n) for n in self.normalized_shape)


@dataclass(frozen=True, eq=False, repr=False)
class ChannelGroupsNorm(SampleNorm):
    """What group and instance normalisation have in common: groups of channels, parameters by channel."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, array in self.arrays().items():
            check_shape(array.shape, (self.channels,), f"{type(self).__name__}: {name} (channels,)")

    @property
    def channels(self) -> int | None:
        """How many channels the layer takes; None if it has no parameters to know it from."""
        sizes = [array.size for array in self.arrays().values()]
        return sizes[0] if sizes else None

    def output_shape(self, shape: Shape) -> Shape:
        """Give the same shape."""
        if not shape:
            raise ShapeError(f"{self!r}: one sample is a single number, expected channels")
        check_shape(shape[:1], (self.channels,), self, "channels of the input")
        return shape


@dataclass(frozen=True, eq=False, repr=False)
class GroupNorm(ChannelGroupsNorm):
    """Group normalisation: (x - mean) / sqrt(variance + epsilon) · weight + bias.

    Mean and variance are those of each sample, over groups of channels that follow each other and all their
    pixels. Its rule is `LayerNormRule`.

    Parameters
    ----------
    groups : int
        How many groups the channels fall into, all as large.
    weight, bias : (channels,) array, optional
        Learned scale and shift; 1 and 0 if None.
    epsilon : float
        Added to the variance.
    name : str, optional

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.GroupNorm(2, epsilon=0.0).forward([[1.0, 3.0, 4.0, 8.0]])
    array([[-1.,  1., -1.,  1.]])
    """

    kind: ClassVar[str] = "groupnorm"

    groups: int
    weight: Array | None = array_field(default=None)
    bias: Array | None = array_field(default=None)
    epsilon: float = field(default=1e-5, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "groups", as_integer(self.groups, "GroupNorm: groups", 1))
        if (self.channels or 0) % self.groups:
            raise ShapeError(f"GroupNorm: {self.channels} channels do not divide into {self.groups} groups")

    def group_count(self, sample: Lengths) -> int:
        """As many as were asked for."""
        return self.groups

    def output_shape(self, shape: Shape) -> Shape:
        """Give the same shape."""
        super().output_shape(shape)
        if (shape[0] or 0) % self.groups:
            raise ShapeError(f"{self!r}: {shape[0]} channels do not divide into {self.groups} groups")
        return shape

    def summary(self) -> str:
        """Show the groups, and the channels where they are known."""
        return f"{self.groups}" if self.channels is None else f"{self.groups}, {self.channels} channels"


@dataclass(frozen=True, eq=False, repr=False)
class InstanceNorm(ChannelGroupsNorm):
    """Instance normalisation: (x - mean) / sqrt(variance + epsilon) · weight + bias.

    Mean and variance are those of each channel of each sample, over its pixels. Its rule is `LayerNormRule`.
    With running statistics, as of a training, it is a `BatchNorm`.

    Parameters
    ----------
    weight, bias : (channels,) array, optional
        Learned scale and shift; 1 and 0 if None.
    epsilon : float
        Added to the variance.
    name : str, optional

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.InstanceNorm(epsilon=0.0).forward([[[1.0, 3.0], [4.0, 8.0]]])
    array([[[-1.,  1.],
            [-1.,  1.]]])
    """

    kind: ClassVar[str] = "instancenorm"

    weight: Array | None = array_field(default=None)
    bias: Array | None = array_field(default=None)
    epsilon: float = field(default=1e-5, kw_only=True)

    def group_count(self, sample: Lengths) -> int:
        """One for each channel."""
        return sample[0]

    def summary(self) -> str:
        """Show the channels, where they are known."""
        return "" if self.channels is None else f"{self.channels}"
