"""A small network and data for the tests of reference samples."""

import numpy as np

import refcrp as rc
from refcrp import layers as L

CLASSES = 4


def small_model(dtype=np.float64, seed=0):
    """Two convolutions and a dense layer, for images (1, 8, 8)."""
    rng = np.random.default_rng(seed)

    def weights(*shape):
        return rng.normal(size=shape).astype(dtype)

    return rc.Sequential(
        [
            L.Conv2d(weights(3, 1, 3, 3), weights(3) / 10, activation="relu", name="first"),
            L.MaxPool(2, name="pool"),
            L.Conv2d(weights(5, 3, 2, 2), weights(5) / 10, activation="relu", name="second"),
            L.Flatten(name="flat"),
            L.Dense(weights(CLASSES, 20), weights(CLASSES), name="scores"),
        ],
        input_shape=(1, 8, 8),
    )


def small_data(count, dtype=np.float64, seed=1):
    """Random images and labels."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 1, 8, 8)).astype(dtype), rng.integers(0, CLASSES, count)


def small_lrp(dtype=np.float64, **options):
    """An analyzer of the small network."""
    return rc.LRP(small_model(dtype), rc.EpsilonPlus(), **options)


def same_bits(a, b):
    """Whether two collections are the same in every bit."""
    x, y = a.contents, b.contents
    return np.array_equal(x.targets, y.targets) and all(
        s.tobytes() == t.tobytes() for s, t in zip(x.tables, y.tables, strict=True)
    )
