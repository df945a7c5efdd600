"""One operator of a traced PyTorch network, as what makes layers of it sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refcrp import layers as L
from refcrp.arrays import Array
from refcrp.errors import ModelFormatError
from refcrp.io.assembly import Part, Sample
from refcrp.layers import Layer

__all__ = ["Call", "Value", "as_image", "as_numpy", "pair", "single"]


@dataclass(frozen=True)
class Value:
    """Stands for an argument that depends on the network's input, by the shape of one sample."""

    shape: Sample


@dataclass(frozen=True)
class Call:
    """One operator of a traced network.

    Parameters
    ----------
    operator, where : str
        What it is, and at which node; for error messages.
    settings : object
        Holds what the operator was set to, as attributes: a module, or the arguments of a function by name.
    inputs : tuple of Sample
        Of one sample of each input.
    output : Sample
        Of one sample.
    dtype : dtype
        In which the operator computes.
    """

    operator: str
    where: str
    settings: Any
    inputs: tuple[Sample, ...]
    output: Sample
    dtype: np.dtype[Any]

    def get(self, name: str, default: Any = None) -> Any:
        """Give a setting."""
        value = getattr(self.settings, name, default)
        return default if value is None else value

    def array(self, name: str) -> Array | None:
        """Give a parameter as a NumPy array; None if there is none."""
        value = self.get(name)
        return None if value is None else as_numpy(value, f"{self.operator} at {self.where}: {name}")

    def needed(self, name: str) -> Array:
        """Give a parameter that must be there."""
        value = self.array(name)
        if value is None:
            raise self.fail(f"it has no {name}")
        return value

    def demand(self, name: str, *accepted: Any) -> None:
        """Raise unless a setting is one of those that have a layer here; the first is the default."""
        value = self.get(name, accepted[0])
        if value not in accepted:
            raise self.fail(f"{name}={value!r} is not supported, expected {accepted[0]!r}")

    def fail(self, what: str) -> ModelFormatError:
        """Make the error for something that the operator cannot be here."""
        return ModelFormatError(what)  # whoever made the call knows which operator it is


def as_numpy(tensor: Any, what: str) -> Array:
    """Give a float32 or float64 tensor, or array, as a NumPy array."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        if tensor.is_floating_point() and tensor.element_size() < 4:
            raise ModelFormatError(
                f"{what} is {tensor.dtype}, expected float32 or float64: module.float() converts"
            )
        tensor = tensor.numpy()
    return np.asarray(tensor)


def as_image(call: Call, *layers: Layer) -> Part:
    """Give what makes images of height 1 of sequences, `layers`, and what makes sequences again."""
    channels, length = call.inputs[0]
    return L.Reshape((channels, 1, length)), *layers, L.Reshape(call.output)


def single(value: Any) -> tuple[int, ...]:
    """Give a setting along a sequence, which PyTorch keeps as a number or a tuple of one."""
    return tuple(value) if isinstance(value, Sequence) else (value,)


def pair(value: Any) -> tuple[int, int]:
    """Give vertical and horizontal, of which PyTorch takes one number for both."""
    vertical, horizontal = value if isinstance(value, Sequence) else (value, value)
    return vertical, horizontal
