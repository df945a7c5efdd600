"""Convolutions of one input, stacked: each gives what it gives alone."""

import itertools

import numpy as np
from geometries import DEEP, MANY_OUTPUTS, cases
from hypothesis import example, given
from hypothesis import strategies as st

from refcrp import kernels
from refcrp.kernels import Convolution, StackedConvolution


@given(c=cases(), biases=st.sampled_from(["all", "none", "some"]))
@example(DEEP, "some")
@example(MANY_OUTPUTS, "all")
def test_stacked_convolutions_compute_what_each_does(c, biases):
    weights = c.weight, np.maximum(c.weight, 0), c.weight[::-1]
    has_bias = {"all": (True, True, True), "none": (False, False, False), "some": (False, True, False)}[
        biases
    ]
    each = [
        Convolution(weight, c.bias * k if has else None, c.window, c.groups)
        for k, (weight, has) in enumerate(zip(weights, has_bias, strict=True))
    ]
    stacked = StackedConvolution(tuple(each)).linear(c.x)
    assert len(stacked) == 3
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(stacked, 2))
    for z, layer in zip(stacked, each, strict=True):
        expected = layer.linear(c.x)
        if kernels.USE_COMPILED:
            np.testing.assert_array_equal(z, expected)
        else:  # a product of other matrices
            np.testing.assert_allclose(z, expected, rtol=0, atol=1e-5 if z.itemsize == 4 else 1e-12)
