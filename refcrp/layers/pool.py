"""Max pooling, which gives relevance to the winner, and average pooling, which is a linear map."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from refcrp import kernels
from refcrp.arrays import Array
from refcrp.checks import Shape, as_flag, check_shape
from refcrp.errors import ParameterError
from refcrp.kernels.window import Pair, Window, as_pair
from refcrp.layers.base import PoolingLayer
from refcrp.layers.conv import show_pair, windowed_shape
from refcrp.layers.linear import LinearLayer
from refcrp.layers.own import OwnRelevanceLayer
from refcrp.layers.uneven import Sides, as_padding
from refcrp.layers.winners import WAYS
from refcrp.pull import Pull
from refcrp.rule import Rule

__all__ = ["AvgPool", "GlobalAvgPool", "GlobalMaxPool", "MaxPool"]


@dataclass(frozen=True, eq=False, repr=False)
class WindowPool(PoolingLayer):
    """What pooling under a sliding window has in common."""

    kernel_size: int | Pair
    stride: int | Pair | None = None
    padding: int | Pair | Sides = 0

    geometry: Window = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        what = type(self).__name__
        kernel = as_pair(self.kernel_size, f"{what}: kernel_size", 1)
        stride = kernel if self.stride is None else as_pair(self.stride, f"{what}: stride", 1)
        padding = as_padding(self.padding, f"{what}: padding")
        top, bottom, left, right = padding if len(padding) == 4 else np.repeat(padding, 2).tolist()
        if 2 * max(top, bottom) > kernel[0] or 2 * max(left, right) > kernel[1]:
            raise ParameterError(f"{what}: padding {padding} is more than half of kernel_size {kernel}")
        if bottom < top or right < left:
            raise ParameterError(f"{what}: padding {padding} is more at the top or left than opposite")
        geometry = Window(kernel, stride, (top, left), extra=(bottom - top, right - left))
        fields = {"kernel_size": kernel, "stride": stride, "padding": padding, "geometry": geometry}
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def window(self, shape: Shape) -> Window:
        """Give the geometry."""
        return self.geometry

    def output_shape(self, shape: Shape) -> Shape:
        """Give (c, oh, ow) for (c, h, w)."""
        check_shape(shape, (None, None, None), self, "input, one sample")
        return (shape[0], *windowed_shape(shape, self.geometry, self))

    @property
    def keeps_size(self) -> bool:  # type: ignore[override]
        """Whether height and width stay the same."""
        return self.geometry.keeps_size

    def summary(self) -> str:
        """Show the kernel, and stride and padding where they are not the usual ones."""
        kernel, stride, padding = (show_pair(v or 0) for v in (self.kernel_size, self.stride, self.padding))
        more = f", stride {stride}" if stride != kernel else ""
        return f"{kernel}{more}" + (f", padding {padding}" if padding != "0" else "")


@dataclass(frozen=True, eq=False, repr=False)
class GlobalPool(PoolingLayer):
    """What pooling over the whole image has in common; (c, h, w) becomes (c, 1, 1)."""

    def window(self, shape: Shape) -> Window:
        """Give a window as large as the image."""
        height, width = shape[-2:]
        assert height is not None
        assert width is not None
        return Window((height, width))

    def output_shape(self, shape: Shape) -> Shape:
        """Give (c, 1, 1)."""
        check_shape(shape, (None, None, None), self, "input, one sample")
        return (shape[0], 1, 1)


@dataclass(frozen=True, eq=False, repr=False)
class MaxPooling(OwnRelevanceLayer):
    """What max pooling layers have in common: not linear, so they own their relevance method."""

    chooses: ClassVar[bool] = True

    def window(self, shape: Shape) -> Window:
        """Give the geometry for an input of `shape`."""
        raise NotImplementedError

    def apply(self, x: Array) -> Array:
        """Compute the output of an input that has been checked."""
        return kernels.maxpool2d(x, self.window(x.shape))[0]

    def linearize(self, a: Array, rule: Rule) -> Pull:
        """R_winner += z / stabilize(z) · R_j, or what else the rule says of max pooling."""
        return WAYS[rule.max_pool](a, self.window(a.shape), rule)


@dataclass(frozen=True, eq=False, repr=False)
class AvgPooling(LinearLayer):
    """What average pooling layers have in common: a linear map with weights 1/n."""

    weight: ClassVar[None] = None
    bias: ClassVar[None] = None

    def window(self, shape: Shape) -> Window:
        """Give the geometry for an input of `shape`."""
        raise NotImplementedError

    def counts_padding(self) -> bool:
        """Whether n counts padding, which is zeros."""
        return True

    def linear(self, x: Array, weight: Array | None, bias: Array | None) -> Array:
        """Average."""
        return kernels.avgpool2d(x, self.window(x.shape), self.counts_padding())

    def transpose(self, s: Array, weight: Array | None, input_shape: tuple[int, ...]) -> Array:
        """Spread evenly."""
        window = self.window(input_shape)
        return kernels.avgpool2d_transpose(s, input_shape[-3:], window, self.counts_padding())


@dataclass(frozen=True, eq=False, repr=False)
class MaxPool(WindowPool, MaxPooling):
    """The largest value under a window; on ties the first in row-major order.

    All relevance of an output goes to its winner, times z / stabilize(z): a window whose maximum is zero
    drops its relevance.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Vertical and horizontal, in pixels.
    stride : int or (int, int), optional
        As the kernel if None.
    padding : int or (int, int), or (int, int, int, int)
        On both sides, or at the top, bottom, left and right, not more before the image than after it; at most
        half the kernel, so that every window sees a pixel. Padding never wins.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> pool = L.MaxPool((1, 2))
    >>> pool.forward([[[[1.0, 3.0, 0.0, 2.0]]]])
    array([[[[3., 2.]]]])
    >>> pool.relevance([[[[6.0, 5.0]]]], [[[[1.0, 3.0, 0.0, 2.0]]]])
    array([[[[0., 6., 0., 5.]]]])
    """

    kind: ClassVar[str] = "maxpool"


@dataclass(frozen=True, eq=False, repr=False)
class GlobalMaxPool(GlobalPool, MaxPooling):
    """The largest value of each channel, (c, h, w) to (c, 1, 1); relevance as in `MaxPool`.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.GlobalMaxPool().forward([[[[1.0, 3.0], [0.0, 2.0]]]])
    array([[[[3.]]]])
    """

    kind: ClassVar[str] = "global_maxpool"


@dataclass(frozen=True, eq=False, repr=False)
class AvgPool(WindowPool, AvgPooling):
    """The mean under a window.

    Under ZeroRule and EpsilonRule relevance is divided in proportion to the inputs,
    R_i = Σ_j a_i / n / z_j · R_j.

    Parameters
    ----------
    kernel_size, stride, padding
        As in `MaxPool`.
    count_include_pad : bool
        Whether n counts padding, which is zeros, or only pixels of the image.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> pool = L.AvgPool((1, 2))
    >>> pool.forward([[[[1.0, 3.0, 0.0, 2.0]]]])
    array([[[[2., 1.]]]])
    >>> pool.relevance([[[[4.0, 2.0]]]], [[[[1.0, 3.0, 0.0, 2.0]]]])
    array([[[[1., 3., 0., 2.]]]])
    """

    kind: ClassVar[str] = "avgpool"

    count_include_pad: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        flag = as_flag("AvgPool: count_include_pad", self.count_include_pad)
        object.__setattr__(self, "count_include_pad", flag)

    def counts_padding(self) -> bool:
        """Whether n counts padding, which is zeros."""
        return self.count_include_pad

    def summary(self) -> str:
        """Show the geometry and how padding counts."""
        return super().summary() + ("" if self.count_include_pad else ", count_include_pad=False")


@dataclass(frozen=True, eq=False, repr=False)
class GlobalAvgPool(GlobalPool, AvgPooling):
    """The mean of each channel, (c, h, w) to (c, 1, 1); relevance as in `AvgPool`.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.GlobalAvgPool().forward([[[[1.0, 3.0], [0.0, 2.0]]]])
    array([[[[1.5]]]])
    """

    kind: ClassVar[str] = "global_avgpool"
