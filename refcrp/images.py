"""Reading a picture as the input of a model."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from refcrp.arrays import Array, as_array
from refcrp.checks import show_shape
from refcrp.errors import ImageError, MissingDependencyError, ParameterError, ShapeError
from refcrp.model import Model
from refcrp.normalization import Normalization

__all__ = ["read_image"]


def read_image(
    path: Path,
    model: Model,
    *,
    resize: bool = False,
    invert: bool = False,
    normalization: Normalization | None = None,
) -> Array:
    """Read one image as a batch of one, (1, channels, height, width) float32.

    Parameters
    ----------
    path : Path
        A picture (PNG, JPEG, ...), whose values become [0, 1], in grey or RGB as the model wants it; or a
        ``.npy`` file with an array of the model's input shape, taken as it is.
    model : Model
    resize : bool
        Scale a picture to the size that the model wants; without it another size is an error.
    invert : bool
        Turn a picture's values v into 1 - v, for black ink on white paper.
    normalization : Normalization, optional
        Turn them into (v - mean) / std, as the model was trained.

    Raises
    ------
    ImageError
        If the file cannot be read.
    ShapeError
        If the picture does not have the model's size.
    """
    if path.suffix == ".npy":
        if resize or invert or normalization is not None:
            raise ParameterError(
                f"{path}: an array is taken as it is, it cannot be resized, inverted or normalised"
            )
        return read_array(path)
    channels, height, width = wanted_shape(model)
    if channels is None:
        raise ShapeError(f"{path}: the model does not say how many channels it takes; give a .npy file")
    if channels not in (1, 3):
        raise ShapeError(
            f"{path}: the model wants {channels} channels, a picture has 1 or 3; give a .npy file"
        )
    try:
        from PIL import Image  # noqa: PLC0415 - imported where it is used
    except ImportError as error:
        raise MissingDependencyError("reading pictures needs Pillow: pip install 'refcrp[plot]'") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            file = Image.open(path)
        with file:
            file.load()
            if file.mode.startswith(("I", "F")):
                raise ImageError(f"{path}: has more than 8 bits a channel; save it with 8, or as .npy")
            if file.has_transparency_data and np.asarray(file.convert("RGBA"))[..., 3].min() < 255:
                raise ImageError(f"{path}: is partly transparent; put it on a background first")
            picture = file.convert("L" if channels == 1 else "RGB")
    except ImageError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning) as error:
        raise ImageError(f"{path}: cannot be read as an image: {error}") from error

    if height is not None and width is not None and picture.size != (width, height):
        if not resize:
            raise ShapeError(
                f"{path}: the picture has {picture.size[0]} x {picture.size[1]} pixels, the model wants "
                f"{width} x {height}; --resize scales it"
            )
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    values = np.asarray(picture, dtype=np.float32) / np.float32(255)
    values = 1 - values if invert else values
    x = values[None, None] if channels == 1 else np.moveaxis(values, 2, 0)[None]
    return x if normalization is None else normalization.normalize(x)


def read_array(path: Path) -> Array:
    """Read a ``.npy`` file as a batch of one."""
    try:
        # Mapped first: the header may promise more than the file holds, and more than there is memory.
        values = np.array(np.load(path, allow_pickle=False, mmap_mode="r"))
    except (OSError, ValueError, EOFError) as error:
        raise ImageError(f"{path}: cannot be read as a .npy array: {error}") from error
    array = as_array(values, str(path))
    if array.ndim == 4 and len(array) != 1:
        raise ShapeError(f"{path}: holds {len(array)} samples, expected one: (channels, height, width)")
    return array if array.ndim == 4 else array[None]


def wanted_shape(model: Model) -> tuple[int | None, int | None, int | None]:
    """Give (channels, height, width) of the model's input, as far as it is known."""
    shape = model.input_shape or model[0].input_hint() or (None, None, None)
    if len(shape) != 3:
        raise ShapeError(f"the model takes inputs of shape {show_shape(shape)}, not images")
    return shape[0], shape[1], shape[2]
