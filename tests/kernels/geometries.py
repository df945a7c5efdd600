"""Convolutions of every geometry, what their results are held against, and memory that bites."""

import ctypes
import importlib
import mmap
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example
from hypothesis import strategies as st

from refcrp import kernels
from refcrp.kernels import Convolution, box, convolution, gather, layout, reference, taps
from refcrp.kernels.window import Window

needs_compiled = pytest.mark.skipif(
    not kernels.USE_COMPILED, reason="about the compiled kernels, which this run leaves aside"
)

threads = importlib.import_module("refcrp.kernels.threads")  # whose name in the package is a function's

# The environment of a process that runs the kernels that this one runs.
SAME_KERNELS = {"REFCRP_SIMD": kernels.CHOSEN} if kernels.USE_COMPILED else {"REFCRP_FORCE_NUMPY": "1"}

# Of the sum of the magnitudes that were added up, in which 1000 terms may meet: 32 roundings of each type.
TOLERANCES = {np.float32: 32 * 2.0**-24, np.float64: 32 * 2.0**-53}
MANY = 1 + layout.ENOUGH_LANES  # conditions, enough to lie side by side in memory


@dataclass(repr=False)
class Case:
    window: Window
    groups: int
    x: np.ndarray  # (n, c, h, w)
    weight: np.ndarray
    bias: np.ndarray
    R: np.ndarray  # (MANY, n, o, oh, ow)
    z: np.ndarray  # (n, o, oh, ow)

    def __repr__(self):
        return f"{self.window}, {self.groups} groups, {self.x.shape} * {self.weight.shape} {self.x.dtype}"

    def layer(self):
        return Convolution(self.weight, self.bias, self.window, self.groups)

    def results(self, layer=None):
        """All that a convolution computes: forward, its adjoint, relevance of none, few and many conditions."""
        layer, s, image = layer or self.layer(), self.R[0], self.x.shape[1:]
        relevances = [layer.redistribute(R, self.z, self.x) for R in (s, self.R[:2], self.R)]
        return [layer.linear(self.x), layer.transpose(s, image), *relevances]


def case(kernel, stride, padding, dilation, groups, channels, outputs, n, image, dtype, seed=0):
    """Numbers for a geometry; channels and outputs are those of one group."""
    rng = np.random.default_rng(seed)
    window = Window(kernel, stride, padding, dilation)
    weight = rng.normal(size=(groups * outputs, channels, *kernel)).astype(dtype)
    bias = rng.normal(size=groups * outputs).astype(dtype)
    shape = n, groups * outputs, *window.output_size(*image)
    R, z = rng.normal(size=(MANY, *shape)), rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape)
    x = rng.normal(size=(n, groups * channels, *image))
    return Case(window, groups, x.astype(dtype), weight, bias, R.astype(dtype), z.astype(dtype))


@st.composite
def cases(draw):
    def pair(low, high):
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    window = Window(pair(1, 5), pair(1, 3), pair(0, 3), pair(1, 2))
    reach = [d * (k - 1) + 1 for d, k in zip(window.dilation, window.kernel, strict=True)]
    smallest = [max(1, r - 2 * p) for r, p in zip(reach, window.padding, strict=True)]
    image = tuple(s + extra for s, extra in zip(smallest, pair(0, 9), strict=True))
    # one block of a tile's rows, some and a part (tiles have 4, 8 or 16), and over FEW_OUTPUTS
    sizes = st.sampled_from([1, 2, 3, 7, 11, 13, 20])
    groups, channels, outputs, n = draw(st.integers(1, 3)), draw(sizes), draw(sizes), draw(st.integers(1, 3))
    dtype, seed = draw(st.sampled_from(list(TOLERANCES))), draw(st.integers(0, 2**16))
    return case(
        window.kernel, window.stride, window.padding, window.dilation, groups, channels, outputs, n, image,
        dtype, seed,
    )  # fmt: skip


def assert_near(actual, expected, of_magnitudes, terms=1.0):
    """Agree relative to the sum of the magnitudes that were added up: the order of the sum is free."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    tolerance = TOLERANCES[actual.dtype.type] * terms
    assert (np.abs(actual - expected) <= tolerance * of_magnitudes + np.finfo(actual.dtype).tiny).all()


def assert_same_bits(results, expected):
    for one, other in zip(results, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def expected_relevance(c, R):
    """Give the relevance, and the magnitudes it is the sum of, condition by condition."""
    weights = c.weight, np.abs(c.weight)
    one = [reference.conv2d_relevance(r, c.z, c.x, weights[0], c.window, c.groups) for r in R]
    absolute = np.abs(c.z), np.abs(c.x), weights[1]
    two = [reference.conv2d_relevance(np.abs(r), *absolute, c.window, c.groups) for r in R]
    return np.stack(one), np.stack(two)


def set_constant(monkeypatch, name, value):
    """Set a constant of the kernels wherever it is used."""
    holders = [module for module in (convolution, gather, taps, layout, threads) if hasattr(module, name)]
    assert holders, name
    for module in holders:
        monkeypatch.setattr(module, name, value)


def always_lists(monkeypatch):
    """List what is not zero wherever that is possible, however much it is."""
    for name, value in {"WORTH_A_LOOK": 0, "ENOUGH": 1, "DENSE": 2, "ROOM": 64}.items():
        set_constant(monkeypatch, name, value)


def never_lists(monkeypatch):
    set_constant(monkeypatch, "DENSE", -1)


def conditions_last(R):
    """The same numbers with those of all conditions side by side."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(R, 0, -1)), -1, 0)


def run(code, *, text=True, **environment):
    """Run code in a process of its own, in which only the REFCRP_ variables given here are set."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("REFCRP_")}
    path = os.pathsep.join([os.path.dirname(__file__), clean.get("PYTHONPATH", "")])  # noqa: PTH120
    clean |= {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=text, env=clean | environment, check=False, timeout=60
    )


# Memory that bites ------------------------------------------------------------------------------------------

PAGE = mmap.PAGESIZE
KEPT = []  # pages that are not given back: a late access still hits the guard


class Replaced:
    """NumPy, but for some functions."""

    def __init__(self, **functions):
        self.__dict__.update(functions)

    def __getattr__(self, name):
        return getattr(np, name)


@contextmanager
def kernels_allocate(**functions):
    """Let the kernels' Python side take memory from other functions than NumPy's."""
    with ExitStack() as stack:
        for module in convolution, box, layout, taps:
            monkeypatch = stack.enter_context(pytest.MonkeyPatch.context())
            monkeypatch.setattr(module, "np", Replaced(**functions))
        yield


def soiled(shape, dtype=float):
    """Memory as `np.empty` gives it on a bad day."""
    return soil(np.empty(shape, dtype))


def soil(array):
    array[...] = np.nan if array.dtype.kind == "f" else 1
    return array


def guarded(shape, dtype=float, *, at_end=True):
    """NaN between two pages that nobody may touch, right before the second one or right behind the first."""
    shape, dtype = np.atleast_1d(shape), np.dtype(dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    pages = -(-size // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in start, start + (pages + 1) * PAGE:
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), 0) == 0
    KEPT.append(memory)
    offset = PAGE + (pages * PAGE - size if at_end else 0)
    return soil(np.frombuffer(memory, dtype, int(np.prod(shape)), offset).reshape(shape))


def guarded_copy(array, dtype=None, *, at_end=True):
    array = np.asarray(array)
    copy = guarded(array.shape, dtype or array.dtype, at_end=at_end)
    copy[...] = array
    return copy


# 360 and 1000 rows of a panel, of which up to 192 are packed at a time; more than FEW_OUTPUTS outputs, and a partial tile
DEEP = case((3, 3), (1, 1), (1, 1), (1, 1), 1, 40, 41, 2, (6, 7), np.float32)
DEEPER = case((5, 5), (2, 1), (0, 2), (1, 1), 2, 40, 3, 1, (7, 5), np.float64)
# one place, and one that sees nothing but padding on most sides
ONE_PIXEL = case((1, 1), (1, 1), (0, 0), (1, 1), 1, 1, 1, 1, (1, 1), np.float32)
LOST = case((2, 2), (3, 3), (3, 3), (2, 2), 1, 2, 3, 2, (1, 1), np.float64)
# so many outputs that they are cut into chunks
MANY_OUTPUTS = case((2, 2), (1, 1), (0, 0), (1, 1), 1, 3, 200, 1, (4, 4), np.float32)
# channels of two lists and a part, in groups
MANY_CHANNELS = case((3, 3), (1, 1), (1, 1), (1, 1), 2, 150, 90, 1, (5, 18), np.float64)
WIDE = case((3, 3), (1, 1), (1, 1), (1, 1), 1, 60, 41, 2, (6, 50), np.float32)  # panels inside a row
# with strides, and so many outputs that panels are packed straight from the image; rows of many panels, and of a part
STRIDED = case((3, 3), (2, 2), (1, 1), (1, 1), 1, 20, 70, 2, (9, 81), np.float32)
STRIDED_MORE = case((3, 4), (3, 2), (1, 3), (1, 1), 2, 5, 80, 2, (10, 20), np.float64)
# phases that fill the target, though not place after place
NARROW = case((3, 1), (1, 2), (1, 0), (1, 1), 1, 70, 3, 2, (40, 1), np.float32)
FLAT = case((1, 3), (2, 1), (0, 1), (1, 1), 1, 70, 3, 2, (1, 40), np.float32)
# a panel of as few places as are multiplied one by one, and none is missing where a tile has four columns
FOUR_PLACES = case((1, 1), (1, 1), (0, 0), (1, 1), 1, 20, 3, 2, (2, 4), np.float64)
# with more runs and taps in a panel than there is room for masks
MANY_RUNS = case((5, 5), (1, 1), (2, 2), (1, 1), 1, 3, 20, 3, (9, 3), np.float32)
FIXED = {
    "deep": DEEP,
    "deeper": DEEPER,
    "one pixel": ONE_PIXEL,
    "lost": LOST,
    "many": MANY_OUTPUTS,
    "lists": MANY_CHANNELS,
    "strided": STRIDED,
    "strided more": STRIDED_MORE,
    "narrow": NARROW,
    "flat": FLAT,
    "four places": FOUR_PLACES,
    "many runs": MANY_RUNS,
}


def fixed_too(test):
    """Let hypothesis begin with the fixed cases."""
    for c in FIXED.values():
        test = example(c)(test)
    return test
