"""Reading and writing models; each format in a module of its own, imported when it is needed."""

from __future__ import annotations

from importlib.resources import as_file, files
from os import PathLike, fspath
from pathlib import Path

from refcrp.errors import ModelFormatError, ParameterError
from refcrp.model import Model

__all__ = ["BUILT_IN", "load_model", "save_model"]

BUILT_IN = ("lenet5",)


def load_model(source: str | PathLike[str]) -> Model:
    """Read a model from a file, or a built-in one by its name.

    Parameters
    ----------
    source : path or str
        A refcrp HDF5 file, a Keras HDF5 file, an ONNX file (each recognised by what is in it), or
        ``"lenet5"``.

    Raises
    ------
    ModelFormatError
        If the file is not there or cannot be read as a model; names file, group, and what was expected.
    """
    from refcrp.io import hdf5  # noqa: PLC0415 - h5py is imported where it is used

    if fspath(source) in BUILT_IN:
        with as_file(files("refcrp_data") / f"{fspath(source)}.h5") as path:
            return hdf5.read_model(path)
    if not Path(source).exists():
        names = ", ".join(BUILT_IN)
        raise ModelFormatError(f"{fspath(source)}: no such file, nor a built-in model ({names})")
    if not Path(source).is_file():
        raise ModelFormatError(f"{fspath(source)}: not a file")
    from refcrp.io import keras, onnx  # noqa: PLC0415 - the built-in model needs neither

    if onnx.is_onnx(Path(source)):
        return onnx.read_onnx(Path(source))
    if keras.is_keras(Path(source)):
        return keras.read_keras(Path(source))
    return hdf5.read_model(Path(source))


def save_model(model: Model, path: str | PathLike[str]) -> None:
    """Write a model to an HDF5 file that `load_model` reads; a crash leaves the old file as it was.

    Raises
    ------
    ModelFormatError
        If the parameters are neither float32 nor float64.
    OSError
        If the file cannot be written.
    """
    from refcrp.io import hdf5  # noqa: PLC0415 - h5py is imported where it is used

    if not isinstance(model, Model):
        raise ParameterError(f"save_model: expected a model, got {model!r}")
    if fspath(path) in BUILT_IN:
        raise ParameterError(f"{fspath(path)!r} is the built-in model's name; './{fspath(path)}' is a file")
    hdf5.write_model(model, Path(path))
