"""Convolution with one and the same weight everywhere, as the flat rule has it: sums over a box."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from refcrp.arrays import Array
from refcrp.kernels import simd
from refcrp.kernels.convolution import Convolution, common_dtype
from refcrp.kernels.layout import as_lanes, as_relevance
from refcrp.kernels.simd import runs_compiled
from refcrp.kernels.threads import A_PASS, in_units
from refcrp.kernels.window import geometry

__all__ = ["BoxConvolution", "is_uniform"]


def is_uniform(weight: Array) -> bool:
    """Tell whether all weights are the same float."""
    return weight.dtype != object and bool((weight == weight.flat[0]).all())


@dataclass(frozen=True, eq=False)
class BoxConvolution(Convolution):
    """A `Convolution` with a uniform weight w: the channels of a group are summed first, as are its outputs.

    z[o] = b[o] + w · box(Σ_c x[c]), the same for each output o of a group, and so is the adjoint.
    """

    @cached_property
    def box(self) -> Convolution:
        """One channel in and one out, for each group."""
        return Convolution(self.weight[: self.groups, :1], None, self.window, self.groups)

    def linear(self, x: Array) -> Array:
        """z = W * x + b."""
        z = np.repeat(self.box.linear(self.sum_of_group(x)), len(self.weight) // self.groups, axis=1)
        return z if self.bias is None else np.asarray(z + self.bias[:, None, None])

    def redistribute(self, R_out: Array, denominator: Array, a: Array) -> Array:
        """R_i = a_i · Σ_j W_ij · R_j / z_j."""
        self.check_relevance(R_out, denominator, a)
        sent = self.box_transpose(R_out, denominator, a.shape[2:])[..., None, :, :]
        by_group = a.reshape(len(a), self.groups, a.shape[1] // self.groups, *a.shape[2:])
        return np.asarray(by_group * sent).reshape(*R_out.shape[:-3], *a.shape[1:])

    def box_transpose(self, R_out: Array, denominator: Array, size: tuple[int, ...]) -> Array:
        """Σ_j w · R_j / z_j, the same for all inputs of a group: (..., n, groups, h, w)."""
        dtype = common_dtype(R_out, denominator, self.weight)
        if not runs_compiled(dtype):
            s = self.sum_of_group(R_out / denominator)
            images = s.reshape(math.prod(s.shape[:-3]), *s.shape[-3:])
            sent = self.box.transpose(images, (self.groups, *size))
            return sent.reshape(*R_out.shape[:-3], self.groups, *size)
        R, z = as_lanes(R_out, dtype), np.ascontiguousarray(denominator, dtype)
        target = np.empty((len(R), self.groups, *size, R.shape[-1]), dtype)

        def pull(first: int, end: int) -> None:
            room = np.empty((2 * R.shape[3] + size[1]) * R.shape[4], dtype)
            simd.loops(dtype).box_transpose(R, z, target, room, *geometry(self.window), first, end)

        in_units(pull, len(R), R.size * A_PASS)
        target *= self.weight.flat[0]
        return as_relevance(target, R_out.shape[:-3])

    def sum_of_group(self, images: Array) -> Array:
        """Σ over the channels of each group: (..., c, h, w) to (..., groups, h, w)."""
        *leading, channels, height, width = images.shape
        by_group = images.reshape(*leading, self.groups, channels // self.groups, height, width)
        return np.asarray(by_group.sum(axis=-3))
