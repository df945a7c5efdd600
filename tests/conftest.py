from pathlib import Path

import hypothesis
import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L

# The shapes are what matters, and every run should try the same ones.
hypothesis.settings.register_profile("refcrp", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.load_profile("refcrp")


def pytest_report_header(config):
    return f"refcrp kernels: {rc.backend()}, from {Path(rc.__file__).parent}"


@pytest.fixture
def rng():
    return np.random.default_rng(20261123)


@pytest.fixture(scope="session")
def lenet5():
    return rc.load_model("lenet5")


@pytest.fixture(scope="session")
def digits():
    return rc.load_digits()


@pytest.fixture
def small_model(rng):
    """A convolutional network small enough to check by brute force, float64."""
    return rc.Sequential(
        [
            L.Conv2d(rng.normal(size=(4, 2, 3, 3)), rng.normal(size=4), activation="relu", name="conv1"),
            L.MaxPool(2),
            L.Conv2d(
                rng.normal(size=(6, 4, 2, 2)), rng.normal(size=6), padding=1, activation="relu", name="conv2"
            ),
            L.Flatten(),
            L.Dense(rng.normal(size=(5, 6 * 16)), rng.normal(size=5), activation="relu", name="dense1"),
            L.Dense(rng.normal(size=(3, 5)), rng.normal(size=3), name="dense2"),
        ],
        input_shape=(2, 8, 8),
    )


@pytest.fixture
def small_input(rng):
    return rng.normal(size=(4, 2, 8, 8))
