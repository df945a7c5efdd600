"""Normalisation over the values of each sample: layer, group and instance normalisation."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from refcrp.arrays import Array, like
from refcrp.checks import Shape, as_integer, check_number, check_shape
from refcrp.errors import ArrayTypeError, ShapeError
from refcrp.layers.base import array_field
from refcrp.layers.norm import along_channels
from refcrp.layers.own import OwnRelevanceLayer
from refcrp.pull import Losses, Pull, per_sample
from refcrp.rule import Rule
from refcrp.rules import LayerNormRule

__all__ = ["GroupNorm", "InstanceNorm", "LayerNorm", "SampleNorm"]

Lengths = tuple[int, ...]  # the shape of one sample


@dataclass(frozen=True, eq=False, repr=False)
class SampleNorm(OwnRelevanceLayer):
    """(x - mean) / sqrt(variance + epsilon) · weight + bias, with the mean and variance of groups of values.

    Groups are parts of one sample; what makes one is all that differs. The rule is `LayerNormRule`.
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

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(f"{type(self).__name__}: epsilon", self.epsilon, 0)

    @abstractmethod
    def group_count(self, sample: Lengths) -> int:
        """Say into how many groups a sample falls; each is a run of its values in C order."""

    @abstractmethod
    def broadcast(self, parameter: Array, sample: Lengths) -> Array:
        """Give the weight or the bias a shape that broadcasts along a sample."""

    def grouped(self, x: Array, sample: Lengths) -> Array:
        """Give x (..., *sample) as (..., groups, values)."""
        groups = self.group_count(sample)
        return x.reshape(*x.shape[: x.ndim - len(sample)], groups, math.prod(sample) // groups)

    def centre(self, x: Array, sample: Lengths) -> Array:
        """x_i - mean(x) in every group of x (..., *sample): a linear map, and its own adjoint."""
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

    def scale(self, x: Array, sample: Lengths) -> Array:
        """Multiply by the weight."""
        return x if self.weight is None else np.asarray(x * self.broadcast(self.weight, sample))

    def affine(self, normalized: Array) -> Array:
        """Scale and shift."""
        sample = normalized.shape[1:]
        z = self.scale(normalized, sample)
        return z if self.bias is None else np.asarray(z + self.broadcast(self.bias, sample))

    def apply(self, x: Array) -> Array:
        """Compute the output of an input that has been checked."""
        return self.affine(self.normalize(x))

    def linearize(self, a: Array, rule: Rule) -> Pull:
        """ZeroRule through the affine part, then through the centring."""
        sample = a.shape[1:]
        normalized = self.normalize(a)
        output = self.affine(normalized)
        scaled, centred = self.scale(normalized, sample), self.centre(a, sample)
        affine_denominator, centred_denominator = rule.stabilize(output), rule.stabilize(centred)

        def pull(R_out: Array) -> Array:
            R_normalized = scaled * (R_out / affine_denominator)
            return np.asarray(a * self.centre(R_normalized / centred_denominator, sample))

        def losses(R_out: Array) -> Losses:
            s = R_out / affine_denominator
            to_bias = s * (like(0, a) if self.bias is None else self.broadcast(self.bias, sample))
            s_centred = scaled * s / centred_denominator
            to_stabilizer = (affine_denominator - output) * s + (centred_denominator - centred) * s_centred
            lost = to_bias, to_stabilizer, 0 * s
            return Losses(*(per_sample(part, output) for part in lost))

        return Pull(output, pull, losses)

    def check_dividing_rule(self, rule: Rule) -> None:
        """Take LayerNormRule."""
        if not isinstance(rule, LayerNormRule):
            self.refuse(rule, "this layer takes LayerNormRule, or PassRule")


@dataclass(frozen=True, eq=False, repr=False)
class LayerNorm(SampleNorm):
    """Layer normalisation over the last axes: (x - mean) / sqrt(variance + epsilon) · weight + bias.

    Mean and variance are those of each sample, over the axes of `weight`. Its rule is `LayerNormRule`.

    Parameters
    ----------
    weight : array
        Learned scale, of the shape of the normalised axes.
    bias : array, optional
        Learned shift, of the same shape.
    epsilon : float
        Added to the variance.
    name : str, optional
    """

    kind: ClassVar[str] = "layernorm"

    weight: Array = array_field()
    bias: Array | None = array_field(default=None)
    epsilon: float = field(default=1e-5, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight.ndim == 0 or self.weight.size == 0:
            raise ShapeError("LayerNorm: weight must have the shape of the normalised axes")
        if self.bias is not None:
            check_shape(self.bias.shape, self.weight.shape, "LayerNorm: bias")

    def group_count(self, sample: Lengths) -> int:
        """Everything but the normalised axes."""
        return math.prod(sample) // self.weight.size

    def broadcast(self, parameter: Array, sample: Lengths) -> Array:
        """Leave it: its axes are the last."""
        return parameter

    def output_shape(self, shape: Shape) -> Shape:
        """Give the same shape."""
        check_shape(shape[-self.weight.ndim :], self.weight.shape, self, "normalised axes of the input")
        return shape

    def summary(self) -> str:
        """Show the normalised shape."""
        return "x".join(str(n) for n in self.weight.shape)


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

    def broadcast(self, parameter: Array, sample: Lengths) -> Array:
        """Give it one value a channel."""
        return along_channels(parameter, len(sample) + 1)

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
