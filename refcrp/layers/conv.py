"""Convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from refcrp import kernels
from refcrp.arrays import Array
from refcrp.checks import Shape, as_integer, check_shape
from refcrp.errors import ShapeError
from refcrp.kernels.box import BoxConvolution, is_uniform
from refcrp.kernels.window import Pair, Window, as_pair
from refcrp.layers.base import ConvLayer
from refcrp.layers.weighted import WeightedLayer
from refcrp.propagation import LinearMap

__all__ = ["Conv2d", "windowed_shape"]


@dataclass(frozen=True, eq=False, repr=False)
class Conv2d(WeightedLayer, ConvLayer):
    """Two-dimensional cross-correlation, as in PyTorch.

    ``z[o,y,q] = b[o] + Σ_cij W[o,c,i,j] · x[c, Y, X]``, Y = y·stride + i·dilation - padding, X likewise.

    Parameters
    ----------
    weight : (out, in / groups, kh, kw) array
    bias : (out,) array, optional
    stride, padding, dilation : int or (int, int)
        Vertical and horizontal, in pixels; padding puts zeros on both sides.
    groups : int
        Output channels and input channels are cut into this many groups, each seeing only its own.
    activation : str or Activation, optional
    name : str, optional
    """

    kind: ClassVar[str] = "conv"

    stride: int | Pair = field(default=1, kw_only=True)
    padding: int | Pair = field(default=0, kw_only=True)
    dilation: int | Pair = field(default=1, kw_only=True)
    groups: int = field(default=1, kw_only=True)

    window: Window = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shape(self.weight.shape, (None,) * 4, "Conv2d: weight (out, in / groups, kh, kw)")
        for name, minimum in (("stride", 1), ("padding", 0), ("dilation", 1)):
            object.__setattr__(self, name, as_pair(getattr(self, name), f"Conv2d: {name}", minimum))
        object.__setattr__(self, "groups", as_integer(self.groups, "Conv2d: groups", 1))
        if len(self.weight) % self.groups:
            raise ShapeError(
                f"Conv2d: {len(self.weight)} output channels do not divide into {self.groups} groups"
            )
        window = Window(self.weight.shape[2:], self.stride, self.padding, self.dilation)  # type: ignore[arg-type]
        object.__setattr__(self, "window", window)

    @property
    def in_channels(self) -> int:
        """How many channels the input has."""
        return int(self.weight.shape[1]) * self.groups

    def linear(self, x: Array, weight: Array | None, bias: Array | None) -> Array:
        """z = W * x + b."""
        assert weight is not None
        return kernels.conv2d(x, weight, bias, self.window, self.groups)

    def transpose(self, s: Array, weight: Array | None, input_shape: tuple[int, ...]) -> Array:
        """Send s back along every connection."""
        assert weight is not None
        return kernels.conv2d_transpose(s, weight, input_shape[-3:], self.window, self.groups)

    def linear_map(self, weight: Array | None, bias: Array | None) -> LinearMap:
        """Lay out the weights for the kernels."""
        assert weight is not None
        if is_uniform(weight):
            return BoxConvolution(weight, bias, self.window, self.groups)
        return kernels.Convolution(weight, bias, self.window, self.groups)

    def join(self, maps: Sequence[LinearMap]) -> Callable[[Array], Sequence[Array]]:
        """Stack the weights of convolutions, so that each image is packed once for all of them."""
        convolutions = [m for m in maps if type(m) is kernels.Convolution]  # boxes are summed, not multiplied
        are_alike = len({c.weight.dtype for c in convolutions}) == 1  # none is computed in another's type
        if len(convolutions) < len(maps) or len(maps) == 1 or not are_alike:
            return super().join(maps)
        return kernels.StackedConvolution.of(convolutions).linear

    def output_shape(self, shape: Shape) -> Shape:
        """Give (out, oh, ow) for (in, h, w)."""
        check_shape(shape, (self.in_channels, None, None), self, "input, one sample")
        return (len(self.weight), *windowed_shape(shape, self.window, self))

    def input_hint(self) -> Shape:
        """Give (in, ?, ?)."""
        return (self.in_channels, None, None)

    @property
    def keeps_size(self) -> bool:  # type: ignore[override]
        """Whether channels, height and width stay the same."""
        return self.weight.shape[0] == self.in_channels and self.window.keeps_size

    def summary(self) -> str:
        """Show channels, kernel, and every setting that is not the usual one."""
        kernel = "x".join(str(k) for k in self.window.kernel)
        text = f"{self.in_channels} => {len(self.weight)}, {kernel}"
        for name, usual in (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1)):
            value = getattr(self, name)
            if value != usual:
                text += f", {name} {show_pair(value)}"
        return text + self.activation_summary()


def windowed_shape(shape: Shape, window: Window, what: object) -> tuple[int | None, int | None]:
    """Give the output's height and width, or raise if the window does not fit into the image."""
    size = tuple(window.output_length(axis, length) for axis, length in enumerate(shape[1:]))
    if any(length is not None and length < 1 for length in size):
        image = " x ".join(str(n) for n in shape[1:])
        raise ShapeError(f"{what}: the kernel does not fit into an image of {image} pixels")
    return size[0], size[1]


def show_pair(value: int | Pair) -> str:
    """Write 2 for (2, 2)."""
    return str(value if np.isscalar(value) or value[0] != value[1] else value[0])  # type: ignore[index]
