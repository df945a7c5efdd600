"""Convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from refcrp import kernels
from refcrp.arrays import Array, unchecked_array
from refcrp.checks import Shape, as_integer, check_shape
from refcrp.errors import ShapeError
from refcrp.kernels.box import BoxConvolution, is_uniform
from refcrp.kernels.window import Pair, Window, as_pair
from refcrp.layers.activation import Activation
from refcrp.layers.base import ConvLayer
from refcrp.layers.uneven import CroppedMap, Sides, Uneven, as_padding
from refcrp.layers.weighted import WeightedLayer
from refcrp.propagation import LinearMap

__all__ = [
    "Conv2d",
    "Convolving",
    "conv1d",
    "depthwise_conv2d",
    "separable_conv2d",
    "show_pair",
    "windowed_shape",
]


@dataclass(frozen=True, eq=False, repr=False)
class Convolving(WeightedLayer, ConvLayer):
    """What `Conv2d` and its adjoint have in common: a kernel that moves over an image, with its settings."""

    stride: int | Pair = field(default=1, kw_only=True)
    padding: int | Pair | Sides = field(default=0, kw_only=True)
    dilation: int | Pair = field(default=1, kw_only=True)
    groups: int = field(default=1, kw_only=True)

    window: Window = field(init=False)

    first_axis: ClassVar[str] = "out"
    second_axis: ClassVar[str] = "in"
    usual_settings: ClassVar[dict[str, int | Pair]] = {
        "stride": (1, 1),
        "padding": (0, 0),
        "dilation": (1, 1),
        "groups": 1,
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        what = type(self).__name__
        stride, dilation = (as_pair(getattr(self, n), f"{what}: {n}", 1) for n in ("stride", "dilation"))
        padding = self.checked_padding()
        # Four sides are for `Conv2d` to make sense of.
        window = Window(self.weight.shape[2:], stride, padding[:2], dilation)
        fields = {"stride": stride, "padding": padding, "dilation": dilation, "window": window}
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def checked_padding(self) -> Pair | Sides:
        """Give the padding as (vertical, horizontal)."""
        return as_pair(self.padding, f"{type(self).__name__}: padding", 0)

    def check_weight(self) -> None:
        """Raise unless the weight has four axes, and its first divides into the groups."""
        what, (first, second) = type(self).__name__, (self.first_axis, self.second_axis)
        check_shape(self.weight.shape, (None,) * 4, f"{what}: weight ({first}, {second} / groups, kh, kw)")
        object.__setattr__(self, "groups", as_integer(self.groups, f"{what}: groups", 1))
        if len(self.weight) % self.groups:
            channels = f"{len(self.weight)} {first}put channels"
            raise ShapeError(f"{what}: {channels} do not divide into {self.groups} groups")

    @property
    def in_channels(self) -> int:
        """How many channels the input has."""
        return int(self.weight.shape[1]) * self.groups

    def input_hint(self) -> Shape:
        """Give (in, ?, ?)."""
        return (self.in_channels, None, None)

    @property
    def keeps_size(self) -> bool:  # type: ignore[override]
        """Whether channels, height and width stay the same."""
        return self.out_channels == self.in_channels and self.window.keeps_size

    def summary(self) -> str:
        """Show channels, kernel, and every setting that is not the usual one."""
        kernel = "x".join(str(k) for k in self.window.kernel)
        text = f"{self.in_channels} => {self.out_channels}, {kernel}"
        for name, usual in self.usual_settings.items():
            value = getattr(self, name)
            if value != usual:
                text += f", {name} {show_pair(value)}"
        return text + self.activation_summary()


@dataclass(frozen=True, eq=False, repr=False)
class Conv2d(Convolving):
    """Two-dimensional cross-correlation, as in PyTorch.

    ``z[o,y,q] = b[o] + Σ_cij W[o,c,i,j] · x[c, Y, X]``, Y = y·stride + i·dilation - padding, X likewise.

    Parameters
    ----------
    weight : (out, in / groups, kh, kw) array
    bias : (out,) array, optional
    stride, padding, dilation : int or (int, int)
        Vertical and horizontal, in pixels; padding puts zeros on both sides, or, as four integers, at the
        top, at the bottom, at the left and at the right.
    groups : int
        Output channels and input channels are cut into this many groups, each seeing only its own.
    activation : str or Activation, optional
    name : str, optional

    Examples
    --------
    >>> from refcrp import layers as L
    >>> conv = L.Conv2d([[[[1.0, 1.0]]]], [0.5])
    >>> conv.forward([[[[1.0, 2.0, 3.0]]]])
    array([[[[3.5, 5.5]]]])
    >>> conv.relevance([[[[7.0, 0.0]]]], [[[[1.0, 2.0, 3.0]]]])
    array([[[[2., 4., 0.]]]])
    """

    kind: ClassVar[str] = "conv"

    uneven: Uneven | None = field(init=False, default=None)  # where padding differs from side to side

    def __post_init__(self) -> None:
        super().__post_init__()
        assert isinstance(self.padding, tuple)
        if len(self.padding) == 4:
            top, bottom, left, right = self.padding
            w = self.window
            uneven = Uneven((top, left), (bottom, right), w.kernel, w.stride, w.dilation)
            object.__setattr__(self, "uneven", uneven)
            object.__setattr__(self, "window", uneven.window)

    def checked_padding(self) -> Pair | Sides:
        """Give the padding as (vertical, horizontal), or as four sides."""
        return as_padding(self.padding, "Conv2d: padding")

    def linear(self, x: Array, weight: Array | None, bias: Array | None) -> Array:
        """z = W * x + b."""
        assert weight is not None
        z = kernels.conv2d(x, weight, bias, self.window, self.groups)
        return z if self.uneven is None else z[self.uneven.places(x.shape[-2:])]

    def transpose(self, s: Array, weight: Array | None, input_shape: tuple[int, ...]) -> Array:
        """Send s back along every connection."""
        assert weight is not None
        s = s if self.uneven is None else self.uneven.embed(s, input_shape[-2:])
        return kernels.conv2d_transpose(s, weight, input_shape[-3:], self.window, self.groups)

    def linear_map(self, weight: Array | None, bias: Array | None) -> LinearMap:
        """Lay out the weights for the kernels."""
        assert weight is not None
        kind = BoxConvolution if is_uniform(weight) else kernels.Convolution
        whole = kind(weight, bias, self.window, self.groups)
        return whole if self.uneven is None else CroppedMap(whole, self.uneven)

    def join(self, maps: Sequence[LinearMap]) -> Callable[[Array], Sequence[Array]]:
        """Stack the weights of convolutions, so that each image is packed once for all of them."""
        convolutions = [m for m in maps if type(m) is kernels.Convolution]  # boxes are summed, not multiplied
        are_alike = len({c.weight.dtype for c in convolutions}) == 1  # none is computed in another's type
        if len(convolutions) < len(maps) or len(maps) == 1 or not are_alike:
            return super().join(maps)
        return kernels.StackedConvolution(tuple(convolutions)).linear

    def output_shape(self, shape: Shape) -> Shape:
        """Give (out, oh, ow) for (in, h, w)."""
        check_shape(shape, (self.in_channels, None, None), self, "input, one sample")
        if self.uneven is None:
            return (len(self.weight), *windowed_shape(shape, self.window, self))
        padded = (shape[0], *self.uneven.padded(shape[1:]))
        return (len(self.weight), *windowed_shape(padded, self.uneven.unpadded, self))

    @property
    def keeps_size(self) -> bool:  # type: ignore[override]
        """Whether channels, height and width stay the same."""
        if self.uneven is None:
            return super().keeps_size
        u, w = self.uneven, self.window
        both = zip(u.before, u.after, w.dilation, w.kernel, strict=True)
        fits = w.stride == (1, 1) and all(b + a == d * (k - 1) for b, a, d, k in both)
        return fits and self.in_channels == len(self.weight)


def windowed_shape(shape: Shape, window: Window, what: object) -> tuple[int | None, int | None]:
    """Give the output's height and width, or raise if the window does not fit into the image."""
    size = tuple(window.output_length(axis, length) for axis, length in enumerate(shape[1:]))
    if any(length is not None and length < 1 for length in size):
        image = " x ".join(str(n) for n in shape[1:])
        raise ShapeError(f"{what}: the kernel does not fit into an image of {image} pixels")
    return size[0], size[1]


def show_pair(value: int | Pair | Sides) -> str:
    """Write 2 for (2, 2)."""
    return str(value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value)


# Convolutions that are others in disguise -------------------------------------------------------------------


def conv1d(
    weight: Array,
    bias: Array | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    **settings: Any,
) -> Conv2d:
    """Make a one-dimensional convolution: a `Conv2d` of height 1, on images (channels, 1, length).

    Sequences (channels, length) become such images by `Reshape`; pooling is ``MaxPool((1, 2))``.

    Parameters
    ----------
    weight : (out, in / groups, k) array
    bias : (out,) array, optional
    stride, padding, dilation : int
        Along the sequence.
    **settings
        ``groups``, ``activation`` and ``name``, as for `Conv2d`.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> conv = L.conv1d([[[1.0, 0.0, -1.0]]], padding=1)
    >>> conv.forward([[[[1.0, 2.0, 4.0]]]])
    array([[[[-2., -3.,  2.]]]])
    """
    array = unchecked_array(weight, "conv1d: weight")
    check_shape(array.shape, (None,) * 3, "conv1d: weight (out, in / groups, k)")
    return Conv2d(
        array[:, :, None, :],
        bias,
        stride=(1, as_integer(stride, "conv1d: stride", 1)),
        padding=(0, as_integer(padding, "conv1d: padding")),
        dilation=(1, as_integer(dilation, "conv1d: dilation", 1)),
        **settings,
    )


def depthwise_conv2d(weight: Array, bias: Array | None = None, **settings: Any) -> Conv2d:
    """Make a convolution that sees each channel alone: a `Conv2d` with as many groups as channels.

    Parameters
    ----------
    weight : (channels, multiplier, kh, kw) array
        ``weight[c, m]`` makes output channel c · multiplier + m of input channel c.
    bias : (channels · multiplier,) array, optional
    **settings
        ``stride``, ``padding``, ``dilation``, ``activation`` and ``name``, as for `Conv2d`.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> conv = L.depthwise_conv2d([[[[2.0]]], [[[3.0]]]])
    >>> conv.forward([[[[1.0]], [[1.0]]]]).ravel()
    array([2., 3.])
    """
    array = unchecked_array(weight, "depthwise_conv2d: weight")
    check_shape(array.shape, (None,) * 4, "depthwise_conv2d: weight (channels, multiplier, kh, kw)")
    channels, multiplier, *kernel = array.shape
    return Conv2d(array.reshape(channels * multiplier, 1, *kernel), bias, groups=channels, **settings)


def separable_conv2d(
    depthwise: Array,
    pointwise: Array,
    bias: Array | None = None,
    *,
    activation: Activation | str | None = None,
    name: str | None = None,
    **settings: Any,
) -> tuple[Conv2d, Conv2d]:
    """Make a separable convolution: a depthwise one, then one of kernel 1 x 1 that mixes the channels.

    Parameters
    ----------
    depthwise : (channels, multiplier, kh, kw) array
        As for `depthwise_conv2d`.
    pointwise : (out, channels · multiplier) or (out, channels · multiplier, 1, 1) array
    bias : (out,) array, optional
        Of the second.
    activation : str or Activation, optional
        Of the second.
    name : str, optional
        Of the second; the first is called ``name.depthwise``.
    **settings
        ``stride``, ``padding`` and ``dilation`` of the first.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.separable_conv2d([[[[2.0]]], [[[3.0]]]], [[1.0, 1.0]], name="sep")
    (Conv2d(2 => 2, 1x1, groups 2, name='sep.depthwise'), Conv2d(2 => 1, 1x1, name='sep'))
    """
    array = unchecked_array(pointwise, "separable_conv2d: pointwise")
    if array.ndim == 2:
        array = array[:, :, None, None]
    check_shape(array.shape, (None, None, 1, 1), "separable_conv2d: pointwise (out, channels, 1, 1)")
    first = depthwise_conv2d(depthwise, name=None if name is None else f"{name}.depthwise", **settings)
    check_shape(array.shape[1:2], (first.out_channels,), "separable_conv2d: channels of pointwise")
    return first, Conv2d(array, bias, activation=activation, name=name)
