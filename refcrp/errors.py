"""Every exception that refcrp raises on purpose.

All of them derive from `RefcrpError`, and also from the built-in exception that a caller who does not know
refcrp would catch.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ArrayTypeError",
    "BackendError",
    "FeatureError",
    "ImageError",
    "MissingDependencyError",
    "ModelError",
    "ModelFormatError",
    "NonFiniteError",
    "ParameterError",
    "RefcrpError",
    "ReferenceFileError",
    "RuleCompatibilityError",
    "ShapeError",
    "SoftmaxError",
    "UnknownLayerError",
    "nearest_names",
]


class RefcrpError(Exception):
    """Base of all exceptions of this package.

    Examples
    --------
    >>> import refcrp as rc
    >>> try:
    ...     rc.load_model("lenet5")["conv9"]
    ... except rc.RefcrpError as error:
    ...     print(error)
    no layer 'conv9'; did you mean 'conv2' or 'conv1'?
    """


class ShapeError(RefcrpError, ValueError):
    """An array has a shape that does not fit."""


class NonFiniteError(RefcrpError, ValueError):
    """A NaN or an infinity where only finite numbers make sense."""


class ArrayTypeError(RefcrpError, TypeError):
    """An array has an element type that refcrp does not compute with."""


class ParameterError(RefcrpError, ValueError):
    """A setting of a layer, rule or analyzer is out of its range."""


class ModelError(RefcrpError, ValueError):
    """Layers that do not make a model, or a model that an analyzer cannot explain."""


class SoftmaxError(ModelError):
    """The model contains a softmax; relevance is defined on the scores before it."""


class UnknownLayerError(RefcrpError, KeyError, IndexError):
    """No layer of that name or at that index."""

    # KeyError would print the message in quotes.
    __str__ = Exception.__str__


class FeatureError(RefcrpError, IndexError, ValueError):
    """A channel, feature or output neuron that the layer does not have."""


class RuleCompatibilityError(RefcrpError, TypeError, ValueError):
    """A rule was assigned to a layer on which it is not defined."""


class ModelFormatError(RefcrpError, ValueError):
    """A model file that cannot be read as one."""


class ReferenceFileError(RefcrpError, ValueError):
    """A file of reference samples that cannot be read, or not be continued with these settings."""


class ImageError(RefcrpError, ValueError):
    """A file that cannot be read as an image."""


class MissingDependencyError(RefcrpError, ImportError):
    """An optional package is needed; the message names the extra that installs it."""


class BackendError(RefcrpError, ImportError):
    """The compiled kernels were required and are not there."""


def nearest_names(name: str, known: Iterable[str]) -> str:
    """Say which of the `known` names come nearest to `name`, for the end of an error message.

    Examples
    --------
    >>> from refcrp.errors import nearest_names
    >>> nearest_names("conv9", ["conv1", "dense1"])
    "did you mean 'conv1'?"
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(repr(n) for n in near) + "?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"there are: {shown}"
