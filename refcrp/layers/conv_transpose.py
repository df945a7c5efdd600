"""Transposed convolutions: the adjoint of a convolution, as a layer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from refcrp import kernels
from refcrp.arrays import Array
from refcrp.checks import Shape, check_shape
from refcrp.errors import ParameterError, ShapeError
from refcrp.kernels.window import Pair, as_pair
from refcrp.layers.conv import Convolving
from refcrp.propagation import LinearMap

__all__ = ["ConvTranspose2d"]


@dataclass(frozen=True, eq=False, repr=False)
class ConvTranspose2d(Convolving):
    """Transposed convolution, as in PyTorch: every input pixel paints the kernel, scaled, into the output.

    ``z[o,Y,X] = b[o] + Σ_cij W[c,o,i,j] · x[c,y,q]`` over all y with Y = y·stride + i·dilation - padding, X
    likewise: the adjoint of the `Conv2d` with the same weight. Outputs that no input reaches hold their bias;
    relevance there goes to the bias, or is absorbed by the stabilizer.

    Parameters
    ----------
    weight : (in, out / groups, kh, kw) array
    bias : (out,) array, optional
    stride, padding, dilation : int or (int, int)
        Those of the convolution; so padding cuts pixels off the output.
    output_padding : int or (int, int)
        Rows and columns added to the output, below and to the right; less than the stride.
    groups : int
        Output channels and input channels are cut into this many groups, each seeing only its own.
    activation : str or Activation, optional
    name : str, optional

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.ConvTranspose2d([[[[1.0, 2.0]]]], stride=(1, 2)).forward([[[[1.0, 10.0]]]])
    array([[[[ 1.,  2., 10., 20.]]]])
    """

    kind: ClassVar[str] = "conv_transpose"
    first_axis: ClassVar[str] = "in"
    second_axis: ClassVar[str] = "out"
    usual_settings: ClassVar[dict[str, int | Pair]] = Convolving.usual_settings | {"output_padding": (0, 0)}

    output_padding: int | Pair = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        added = as_pair(self.output_padding, "ConvTranspose2d: output_padding", 0)
        object.__setattr__(self, "output_padding", added)
        if any(a >= s for a, s in zip(added, self.window.stride, strict=True)):
            raise ParameterError(
                f"ConvTranspose2d: output_padding {added} must be less than the stride {self.window.stride}"
            )

    @property
    def in_channels(self) -> int:
        """How many channels the input has."""
        return len(self.weight)

    @property
    def out_channels(self) -> int:
        """How many channels the output has."""
        return int(self.weight.shape[1]) * self.groups

    def linear(self, x: Array, weight: Array | None, bias: Array | None) -> Array:
        """z = adjoint of the convolution with W, of x; + b."""
        return self.linear_map(weight, bias).linear(x)

    def transpose(self, s: Array, weight: Array | None, input_shape: tuple[int, ...]) -> Array:
        """Convolve."""
        assert weight is not None
        return kernels.conv2d(s, weight, None, self.window, self.groups)

    def linear_map(self, weight: Array | None, bias: Array | None) -> LinearMap:
        """Lay out the weights for the kernels."""
        assert weight is not None
        convolution = kernels.Convolution(weight, None, self.window, self.groups)
        return TransposedConvolution(self, convolution, bias)

    def output_length(self, axis: int, length: int | None) -> int | None:
        """Count the output's rows (axis 0) or columns (axis 1)."""
        if length is None:
            return None
        window, added = self.window, as_pair(self.output_padding, "output_padding", 0)[axis]
        reach = window.dilation[axis] * (window.kernel[axis] - 1) + 1
        return (length - 1) * window.stride[axis] - 2 * window.padding[axis] + reach + added

    def output_shape(self, shape: Shape) -> Shape:
        """Give (out, oh, ow) for (in, h, w)."""
        check_shape(shape, (self.in_channels, None, None), self, "input, one sample")
        size = tuple(self.output_length(axis, length) for axis, length in enumerate(shape[1:]))
        if any(length is not None and length < 1 for length in size):
            image = " x ".join(str(n) for n in shape[1:])
            raise ShapeError(f"{self}: padding leaves nothing of the output for an image of {image} pixels")
        return (self.out_channels, *size)

    @property
    def keeps_size(self) -> bool:  # type: ignore[override]
        """Whether channels, height and width stay the same."""
        return super().keeps_size and self.output_padding == (0, 0)


@dataclass(frozen=True, eq=False)
class TransposedConvolution:
    """The linear map of a `ConvTranspose2d` with some weight and bias."""

    layer: ConvTranspose2d
    convolution: kernels.Convolution
    bias: Array | None

    def linear(self, x: Array) -> Array:
        """z = adjoint of the convolution, of x (n, in, h, w); + b."""
        image_shape: tuple[int, ...] = self.layer.output_shape(x.shape[1:])  # type: ignore[assignment]
        z = self.convolution.transpose(x, image_shape)
        return z if self.bias is None else np.asarray(z + self.bias[:, None, None])

    def redistribute(self, R_out: Array, denominator: Array, a: Array) -> Array:
        """R_i = a_i · Σ_j W_ij · R_j / z_j."""
        s = R_out / denominator
        sent = self.convolution.linear(kernels.batched(s))
        return np.asarray(a * sent.reshape(*R_out.shape[:-3], *sent.shape[1:]))
