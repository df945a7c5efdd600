"""Reading and writing models; each format in a module of its own, imported when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from importlib.resources import as_file, files
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from refcrp.errors import ModelFormatError, ParameterError
from refcrp.io.own_layers import as_own_layers, layer_classes
from refcrp.model import Model

__all__ = ["BUILT_IN", "Format", "format_of", "load_model", "save_model"]

BUILT_IN = ("lenet5",)


class Format(Enum):
    """The file formats that are read."""

    REFCRP = "refcrp HDF5"
    KERAS = "Keras"
    ONNX = "ONNX"


def load_model(
    source: str | PathLike[str], *, layers: Mapping[str, Callable[..., Any]] | None = None
) -> Model:
    """Read a model from a file, or a built-in one by its name.

    Parameters
    ----------
    source : path or str
        A refcrp HDF5 file, a Keras file (HDF5 or ``.keras``), an ONNX file, each recognised by what is in it;
        or ``"lenet5"``.
    layers : mapping, optional
        Layers of your own, before refcrp's: from a class name in Keras, or an operator in ONNX, to a function
        that gives a layer; from a class name in a refcrp file to the class (docs/write-a-layer.md).

    Raises
    ------
    ModelFormatError
        If the file is not there or cannot be read as a model; names file, group, and what was expected.

    Examples
    --------
    >>> model = load_model("lenet5")
    >>> model["conv2"]
    Conv2d(6 => 16, 5x5, relu, name='conv2')
    """
    as_own_layers(layers)
    from refcrp.io import hdf5  # noqa: PLC0415 - h5py is imported where it is used

    if fspath(source) in BUILT_IN:
        with as_file(files("refcrp_data") / f"{fspath(source)}.h5") as path:
            return hdf5.read_model(path)
    path = Path(source)
    match format_of(path):
        case Format.ONNX:
            from refcrp.io import onnx  # noqa: PLC0415 - what is not needed is not imported

            return onnx.read_onnx(path, layers=layers)
        case Format.KERAS:
            from refcrp.io import keras  # noqa: PLC0415

            return keras.read_keras(path, layers)
        case Format.REFCRP:
            return hdf5.read_model(path, layer_classes(layers))


def format_of(path: Path) -> Format:
    """Find out a model file's format by what is in it.

    Raises
    ------
    ModelFormatError
        If there is no such file, or it is none of them.
    """
    if not path.exists():
        raise ModelFormatError(f"{path}: no such file, nor a built-in model ({', '.join(BUILT_IN)})")
    if not path.is_file():
        raise ModelFormatError(f"{path}: not a file")
    from h5py import is_hdf5  # noqa: PLC0415

    from refcrp.io import keras, onnx  # noqa: PLC0415

    if onnx.is_onnx(path):
        return Format.ONNX
    if keras.is_keras(path):
        return Format.KERAS
    if is_hdf5(path):
        return Format.REFCRP
    raise ModelFormatError(
        f"{path}: by what is in it not a model file: neither refcrp HDF5, Keras (HDF5, .keras) nor ONNX"
    )


def save_model(model: Model, path: str | PathLike[str]) -> None:
    """Write a model to an HDF5 file that `load_model` reads; a crash leaves the old file as it was.

    Parameters
    ----------
    model : Model
    path : path
        The file; the ending is of no matter.

    Raises
    ------
    ParameterError
        If it is no model, or the path is the name of a built-in one.
    ModelFormatError
        If the parameters are neither float32 nor float64.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import refcrp as rc
    >>> model = rc.Sequential([rc.layers.Dense([[3.0, 2.0]])])
    >>> with TemporaryDirectory() as folder:
    ...     rc.save_model(model, Path(folder, "mine.h5"))
    ...     rc.load_model(Path(folder, "mine.h5"))
    Sequential([
      Dense(2 => 1, name='dense1'),
    ])
    """
    from refcrp.io import hdf5  # noqa: PLC0415 - h5py is imported where it is used

    if not isinstance(model, Model):
        raise ParameterError(f"save_model: expected a model, got {model!r}")
    if fspath(path) in BUILT_IN:
        raise ParameterError(f"{fspath(path)!r} is the built-in model's name; './{fspath(path)}' is a file")
    hdf5.write_model(model, Path(path))
