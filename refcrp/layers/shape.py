"""Layers that move values and change none of them; relevance moves back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import Shape, as_integer, check_number, check_shape, show_shape
from refcrp.errors import ParameterError, ShapeError
from refcrp.layers.base import DropoutLayer, ReshapingLayer, reshaping_pull
from refcrp.layers.own import OwnRelevanceLayer
from refcrp.pull import Pull
from refcrp.rule import Bound, Rule

__all__ = ["Dropout", "Flatten", "Identity", "Permute", "Reshape"]


@dataclass(frozen=True, eq=False, repr=False)
class Moving(OwnRelevanceLayer):
    """Base of layers that keep every value."""

    keeps_size: ClassVar[bool] = True
    chooses: ClassVar[bool] = True

    def linearize(self, a: Array, rule: Rule) -> Pull:
        """Reshape relevance to the input, R_i = R_i."""
        return reshaping_pull(self.apply(a), a)


@dataclass(frozen=True, eq=False, repr=False)
class Flatten(Moving, ReshapingLayer):
    """(batch, c, h, w) to (batch, c · h · w), channel by channel, row by row.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.Flatten().forward([[[[1.0, 2.0], [3.0, 4.0]]]])
    array([[1., 2., 3., 4.]])
    """

    kind: ClassVar[str] = "flatten"

    def apply(self, x: Array) -> Array:
        """Compute the output of an input that has been checked."""
        return x.reshape(len(x), math.prod(x.shape[1:]))

    def output_shape(self, shape: Shape) -> Shape:
        """Give (features,)."""
        return (None if None in shape else math.prod(n for n in shape if n is not None),)


@dataclass(frozen=True, eq=False, repr=False)
class Dropout(Moving, DropoutLayer):
    """Dropout at inference: nothing happens.

    Parameters
    ----------
    rate : float
        Share of values dropped in training, 0 to 1; of no effect here.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.Dropout(0.5).forward([[1.0, 2.0]])
    array([[1., 2.]])
    """

    kind: ClassVar[str] = "dropout"

    rate: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("Dropout: rate", self.rate, 0, 1)

    def apply(self, x: Array) -> Array:
        """Give x."""
        return x

    def output_shape(self, shape: Shape) -> Shape:
        """Give the same shape."""
        return shape

    def summary(self) -> str:
        """Show the rate."""
        return f"{self.rate}"


@dataclass(frozen=True, eq=False, repr=False)
class Identity(Moving):
    """Nothing happens; a place with a name, or a branch that goes straight on.

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.Identity().relevance([[1.0, 2.0]], [[3.0, 4.0]])
    array([[1., 2.]])
    """

    kind: ClassVar[str] = "identity"

    def apply(self, x: Array) -> Array:
        """Give x."""
        return x

    def output_shape(self, shape: Shape) -> Shape:
        """Give the same shape."""
        return shape


@dataclass(frozen=True, eq=False, repr=False)
class Reshape(Moving, ReshapingLayer):
    """The same values in another shape, in C order.

    Parameters
    ----------
    shape : tuple of int
        Of one sample, without the batch axis; one length may be -1, and follows from the others.
    name : str, optional

    Examples
    --------
    >>> from refcrp import layers as L
    >>> L.Reshape((1, 2, -1)).forward([[1.0, 2.0, 3.0, 4.0]]).shape
    (1, 1, 2, 2)
    """

    kind: ClassVar[str] = "reshape"

    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        lengths = (
            self.shape if isinstance(self.shape, (tuple, list, np.ndarray)) and len(self.shape) else None
        )
        if lengths is None:
            raise ParameterError(f"Reshape: shape must be a tuple of integers, got {self.shape!r}")
        checked = tuple(-1 if n == -1 else as_integer(n, "Reshape: shape", 1) for n in lengths)
        if checked.count(-1) > 1:
            raise ParameterError(f"Reshape: shape {checked} has more than one -1")
        object.__setattr__(self, "shape", checked)

    def apply(self, x: Array) -> Array:
        """Compute the output of an input that has been checked."""
        lengths = [n for n in self.output_shape(x.shape[1:]) if n is not None]
        return x.reshape(len(x), *lengths)

    def output_shape(self, shape: Shape) -> Shape:
        """Give the shape, with what -1 stands for."""
        lengths = [n for n in shape if n is not None]
        if len(lengths) < len(shape):
            return tuple(None if n == -1 else n for n in self.shape)
        size, known = math.prod(lengths), math.prod(n for n in self.shape if n != -1)
        if size % known or (size != known and -1 not in self.shape):
            raise ShapeError(f"{self!r}: input, one sample: {show_shape(shape)} has {size} values")
        return tuple(size // known if n == -1 else n for n in self.shape)

    def summary(self) -> str:
        """Show the shape."""
        return f"to {show_shape(self.shape)}"


@dataclass(frozen=True, eq=False, repr=False)
class Permute(Moving, ReshapingLayer):
    """Axes in another order; relevance goes back to where its value came from, also under PassRule.

    Parameters
    ----------
    axes : tuple of int
        Output axis k is input axis ``axes[k]``. The batch axis, 0, is counted and stays first:
        ``Permute((0, 3, 1, 2))`` turns images (height, width, channels) into (channels, height, width).
    name : str, optional

    Examples
    --------
    >>> import numpy as np
    >>> from refcrp import layers as L
    >>> L.Permute((0, 3, 1, 2)).forward(np.zeros((1, 28, 32, 3))).shape
    (1, 3, 28, 32)
    """

    kind: ClassVar[str] = "permute"

    axes: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self.axes
        axes = (
            tuple(as_integer(n, "Permute: axes") for n in given)
            if isinstance(given, (tuple, list, np.ndarray))
            else ()
        )
        if len(axes) < 2 or axes[0] != 0 or sorted(axes) != list(range(len(axes))):
            raise ParameterError(
                f"Permute: axes must be 0, the batch, and then 1, 2, ... in some order; got {given!r}"
            )
        object.__setattr__(self, "axes", axes)

    def apply(self, x: Array) -> Array:
        """Compute the output of an input that has been checked."""
        return x.transpose(self.axes)

    def bind(self, rule: Rule) -> Bound:
        """Take any rule as PassRule: relevance moves, and is not just reshaped."""
        self.check_rule(rule)
        return self.bind_checked(rule)

    def linearize(self, a: Array, rule: Rule) -> Pull:
        """Move relevance back."""
        # The axes are counted from the end, as relevance may have one of conditions in front.
        home = [int(k) - len(self.axes) for k in np.argsort(self.axes)]

        def pull(R_out: Array) -> Array:
            in_front = range(R_out.ndim - len(home))
            return R_out.transpose(*in_front, *(R_out.ndim + k for k in home))

        return Pull(self.apply(a), pull)

    def output_shape(self, shape: Shape) -> Shape:
        """Give the lengths in their new order."""
        check_shape(shape, (None,) * (len(self.axes) - 1), self, "input, one sample")
        return tuple(shape[k - 1] for k in self.axes[1:])

    def summary(self) -> str:
        """Show the axes."""
        return ", ".join(str(k) for k in self.axes)
