"""Memory that a kernel needs for a moment, kept for the next one.

The first touch of new memory takes many times as long as the next ones, and a convolution needs room for its
input with a margin each time. Each thread of the program keeps one piece.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from refcrp.arrays import Array

__all__ = ["scratch"]

MOST = 2**26  # bytes kept for each thread; larger pieces are given back

kept = threading.local()


def scratch(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Give an array of arbitrary content, until this thread asks for the next one."""
    size = math.prod(shape) * dtype.itemsize
    if size > MOST:
        kept.piece = None  # not both at once
        return np.empty(shape, dtype)
    piece = getattr(kept, "piece", None)
    if piece is None or piece.nbytes < size:
        piece = kept.piece = np.empty(size, np.uint8)
    return np.frombuffer(piece, dtype, math.prod(shape)).reshape(shape)
