"""Convolution with given weights, laid out once for many inputs: forward, adjoint, relevance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import check_shape
from refcrp.errors import ShapeError
from refcrp.kernels import reference, simd
from refcrp.kernels.gather import gather
from refcrp.kernels.layout import (
    ENOUGH_LANES,
    as_lanes,
    as_relevance,
    conditions_last,
    in_places,
)
from refcrp.kernels.taps import Gathering, adjoint, forward
from refcrp.kernels.threads import in_units
from refcrp.kernels.window import Pair, Window

__all__ = ["Convolution", "StackedConvolution"]

LITTLE = 2**14  # numbers: looking for channels without relevance takes longer than what is saved
FEW = 0.25  # channels with relevance, of all: below, the others are left out one by one


@dataclass(frozen=True, eq=False)
class Convolution:
    """Cross-correlation with one weight and bias: z = W * x + b, and its adjoint.

    Parameters
    ----------
    weight : (o, c / groups, kh, kw) array
    bias : (o,) array or None
    window : Window
    groups : int
    """

    weight: Array
    bias: Array | None
    window: Window
    groups: int

    def __post_init__(self) -> None:
        o, c = len(self.weight), self.weight.shape[1]
        check_shape(self.weight.shape, (o, c, *self.window.kernel), "convolution: weight")
        if self.bias is not None:
            check_shape(self.bias.shape, (o,), "convolution: bias")
        if o % self.groups or not o * c:
            raise ShapeError(f"convolution: weight of shape {self.weight.shape} in {self.groups} groups")

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the laid out weights behind when copied or sent elsewhere."""
        return type(self), (self.weight, self.bias, self.window, self.groups)

    def linear(self, x: Array) -> Array:
        """z[n,o,y,q] = b[o] + Σ_cij W[o,c,i,j] · x[n, c, y·stride + i·dilation - padding, ...].

        Parameters
        ----------
        x : (n, c, h, w) array

        Returns
        -------
        (n, o, oh, ow) array
        """
        dtype = common_dtype(x, self.weight)
        if not simd.runs_compiled(dtype):
            self.check_images(x.shape)
            return reference.conv2d(x, self.weight, self.bias, self.window, self.groups)
        return self.convolve(x, self.forward(dtype), self.bias, len(self.weight))

    def convolve(self, x: Array, gathering: Gathering, bias: Array | None, outputs: int) -> Array:
        """Convolve with these weights, or more for the same input, laid out."""
        size = self.checked_images(x.shape)
        dtype = gathering.dtype
        z = np.empty((len(x), outputs, *size, 1), dtype)
        if bias is not None:
            bias = np.ascontiguousarray(bias, dtype)
        plan = gathering.plan(x.shape[2:], size, 1, False)
        gather(gathering, plan, as_lanes(x, dtype), z, bias=bias)
        return z[..., 0]

    def transpose(self, s: Array, image_shape: tuple[int, ...]) -> Array:
        """Apply the adjoint: <linear(x), s> = <x, transpose(s)> without the bias.

        Parameters
        ----------
        s : (n, o, oh, ow) array
        image_shape : (c, h, w)

        Returns
        -------
        (n, c, h, w) array
        """
        self.check_adjoint(s.shape, image_shape)
        dtype = common_dtype(s, self.weight)
        if not simd.runs_compiled(dtype):
            return reference.conv2d_transpose(s, self.weight, image_shape, self.window, self.groups)  # type: ignore[arg-type]
        return self.pull(as_lanes(s, dtype), image_shape)[..., 0]

    def redistribute(self, R_out: Array, denominator: Array, a: Array) -> Array:
        """R_i = a_i · Σ_j W_ij · R_j / z_j.

        Parameters
        ----------
        R_out : (n, o, oh, ow) or (k, n, o, oh, ow) array
            Channels without relevance cost nothing.
        denominator : (n, o, oh, ow) array, or (1, o, oh, ow) for all samples
        a : (n, c, h, w) array, or (1, c, h, w) for all samples

        Returns
        -------
        (n, c, h, w) or (k, n, c, h, w) array
        """
        self.check_relevance(R_out, denominator, a)
        n = R_out.shape[-4]
        dtype = common_dtype(R_out, denominator, a, self.weight)
        if not simd.runs_compiled(dtype):
            return reference.conv2d_relevance(R_out, denominator, a, self.weight, self.window, self.groups)
        R = as_lanes(R_out, dtype)
        are_many = len(R) >= ENOUGH_LANES * n
        active = active_channels(R) if are_many or R.size > LITTLE else None
        if active is not None and are_many and R.shape[-1] == 1 and active.sum() > FEW * active.size:
            R = conditions_last(R, n)
            active = active_channels(R)
        z, factor = (np.ascontiguousarray(array, dtype) for array in (denominator, a))
        return as_relevance(self.pull(R, a.shape[1:], z, factor, active), R_out.shape[:-3])

    def pull(
        self,
        R: Array,
        image_shape: tuple[int, ...],
        denominator: Array | None = None,
        factor: Array | None = None,
        active: Array | None = None,
    ) -> Array:
        """Apply the adjoint to images `R` (m, o, oh, ow, lanes), divided before and multiplied after."""
        gathering = self.adjoint(R.dtype)
        plan = gathering.plan(R.shape[2:4], image_shape[1:], R.shape[-1], denominator is not None)
        # Pixels that no tap sees belong to no phase, and stay zero.
        make = np.empty if plan.covers_target else np.zeros
        target = make((len(R), *image_shape, R.shape[-1]), R.dtype)
        gather(gathering, plan, R, target, denominator=denominator, factor=factor, active=active)
        return target

    @property
    def channels(self) -> int:
        """How many channels the input has."""
        return int(self.weight.shape[1]) * self.groups

    def check_images(self, shape: tuple[int, ...]) -> Pair:
        """Raise `ShapeError` unless images have this shape; gives how many places the window has in them."""
        check_shape(shape, (None, self.channels, None, None), "convolution: images")
        return self.places(shape[2:])

    @cached_property
    def checked_images(self) -> Callable[[tuple[int, ...]], Pair]:
        """`check_images`, which remembers a few shapes."""
        return lru_cache(maxsize=32)(self.check_images)

    def places(self, size: tuple[int, ...]) -> Pair:
        """Count the window's places in an image of `size`; raise `ShapeError` if there are none."""
        rows, columns = self.window.output_size(size[0], size[1])
        if rows < 1 or columns < 1:
            raise ShapeError(f"convolution: the window does not fit into an image of shape {size}")
        return rows, columns

    def check_adjoint(self, outputs: tuple[int, ...], image_shape: tuple[int, ...]) -> None:
        """Raise `ShapeError` unless `outputs` (n, o, oh, ow) and an image go together."""
        check_shape(image_shape, (self.channels, None, None), "convolution: inputs")
        expected = (None, len(self.weight), *self.places(image_shape[1:]))
        check_shape(outputs, expected, "convolution: outputs")

    def check_relevance(self, R_out: Array, denominator: Array, a: Array) -> None:
        """Raise `ShapeError` unless the arguments of `redistribute` go together."""
        if self.is_relevance(R_out.shape, denominator.shape, a.shape):
            return
        check_shape(R_out.shape[:-4], (None,) * (R_out.ndim == 5), "convolution: axes in front of relevance")
        self.check_adjoint(R_out.shape[-4:], a.shape[1:])
        check_shape(denominator.shape[1:], R_out.shape[-3:], "convolution: denominator")
        n = R_out.shape[-4]
        for name, length in ("denominator", len(denominator)), ("inputs", len(a)):
            check_shape((length,), (n if length != 1 else 1,), f"convolution: {name}")

    def is_relevance(self, R: tuple[int, ...], denominator: tuple[int, ...], a: tuple[int, ...]) -> bool:
        """Tell whether shapes go together, in one look, as they nearly always do."""
        if len(a) != 4 or len(denominator) != 4 or not 4 <= len(R) <= 5 or a[1] != self.channels:
            return False
        outputs = (len(self.weight), *self.places(a[2:]))
        return R[-3:] == outputs == denominator[1:] and {denominator[0], a[0]} <= {1, R[-4]}

    def forward(self, dtype: np.dtype[Any]) -> Gathering:
        """Give the weights as `linear` needs them."""
        is_own = dtype == self.weight.dtype
        return self.own_forward if is_own else forward(self.weight.astype(dtype), self.window, self.groups)

    def adjoint(self, dtype: np.dtype[Any]) -> Gathering:
        """Give the weights as `transpose` needs them."""
        is_own = dtype == self.weight.dtype
        return self.own_adjoint if is_own else adjoint(self.weight.astype(dtype), self.window, self.groups)

    @cached_property
    def own_forward(self) -> Gathering:
        """The weights laid out for `linear`, in their own type."""
        return forward(self.weight, self.window, self.groups)

    @cached_property
    def own_adjoint(self) -> Gathering:
        """The weights laid out for the adjoint, in their own type."""
        return adjoint(self.weight, self.window, self.groups)


@dataclass(frozen=True, eq=False)
class StackedConvolution:
    """Convolutions of one geometry and type, applied to one input: their outputs stacked, group by group."""

    convolutions: tuple[Convolution, ...]

    def linear(self, x: Array) -> list[Array]:
        """Give the output (n, o, oh, ow) of each."""
        first, count = self.convolutions[0], len(self.convolutions)
        dtype = common_dtype(x, first.weight)
        if not simd.runs_compiled(dtype):
            return [convolution.linear(x) for convolution in self.convolutions]
        gathering = self.own_forward if dtype == first.weight.dtype else self.forward(dtype)
        z = first.convolve(x, gathering, self.bias, count * len(first.weight))
        n, outputs, height, width = z.shape
        groups, each = first.groups, outputs // first.groups // count
        by_group = z.reshape(n, groups, count, each, height, width)
        return [by_group[:, :, k].reshape(n, groups * each, height, width) for k in range(count)]

    @cached_property
    def own_forward(self) -> Gathering:
        """The weights laid out, in their own type. Only so are they kept together."""
        return self.forward(self.convolutions[0].weight.dtype)

    def forward(self, dtype: np.dtype[Any]) -> Gathering:
        """Lay out the weights of all."""
        first = self.convolutions[0]
        weight = stacked([c.weight for c in self.convolutions], first.groups)
        return forward(weight.astype(dtype, copy=False), first.window, first.groups)

    @cached_property
    def bias(self) -> Array | None:
        """The biases of all, zeros where one has none; None if none has."""
        if all(c.bias is None for c in self.convolutions):
            return None
        biases = [
            np.zeros(len(c.weight), c.weight.dtype) if c.bias is None else c.bias for c in self.convolutions
        ]
        return stacked(biases, self.convolutions[0].groups)


def stacked(parameters: Sequence[Array], groups: int) -> Array:
    """Stack parameters (o, ...) of several convolutions so that each group keeps its own."""
    by_group = [p.reshape(groups, len(p) // groups, *p.shape[1:]) for p in parameters]
    together = np.concatenate(by_group, axis=1)
    return together.reshape(-1, *together.shape[2:])


def common_dtype(*arrays: Array) -> np.dtype[Any]:
    """Give the type in which arrays are computed with each other."""
    first = arrays[0].dtype
    return first if all(a.dtype is first for a in arrays) else np.result_type(*arrays)


def active_channels(R: Array) -> Array:
    """Tell which channels of images (m, c, h, w, lanes) hold any relevance, (m, c)."""
    active = np.empty(R.shape[:2], np.uint8)
    planes = in_places(R)
    in_units(
        lambda first, end: simd.loops(R.dtype).find_active(planes, active, first, end), len(R), active.size
    )
    return active
