"""<linear(x), s> = <x, transpose(s)> for every linear layer, whatever the shapes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refcrp import layers as L

small = st.integers(1, 3)


@st.composite
def convolutions(draw):
    groups, per_group_in, per_group_out = draw(small), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    kernel, stride, dilation = ((draw(small), draw(small)) for _ in range(3))
    padding = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    size = [max(1, r - 2 * p) + draw(st.integers(0, 4)) for r, p in zip(reach, padding, strict=True)]
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    weight = rng.normal(size=(groups * per_group_out, per_group_in, *kernel))
    layer = L.Conv2d(weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return layer, (draw(st.integers(1, 2)), groups * per_group_in, *size), rng


@st.composite
def average_pools(draw):
    kernel = draw(small), draw(small)
    stride = draw(small), draw(small)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = [k + draw(st.integers(0, 4)) for k in kernel]
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    layer = L.AvgPool(kernel, stride, padding, count_include_pad=draw(st.booleans()))
    return layer, (draw(st.integers(1, 2)), draw(small), *size), rng


@st.composite
def others(draw):
    n, channels, h, w = draw(small), draw(small), draw(small), draw(small)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    options = [
        (L.Dense(rng.normal(size=(draw(small), channels))), (n, channels)),
        (L.Scale(rng.normal(size=channels)), (n, channels)),
        (L.Scale(rng.normal(size=channels)), (n, channels, h, w)),
        (L.BatchNorm(rng.normal(size=channels), rng.uniform(1, 2, size=channels)), (n, channels, h, w)),
        (L.GlobalAvgPool(), (n, channels, h, w)),
    ]
    layer, shape = draw(st.sampled_from(options))
    return layer, shape, rng


@given(
    case=st.one_of(convolutions(), average_pools(), others()),
    dtype=st.sampled_from([np.float64, np.longdouble]),
)
def test_adjoint(case, dtype):
    layer, shape, rng = case
    layer = layer.astype(dtype)
    x = rng.normal(size=shape).astype(dtype)
    y = layer.linear(x, layer.weight, None)
    assert y.shape == (shape[0], *layer.output_shape(shape[1:]))
    s = rng.normal(size=y.shape).astype(dtype)
    back = layer.transpose(s, layer.weight, x.shape)
    assert back.shape == x.shape
    assert back.dtype == dtype
    scale = np.abs(y * s).sum() + np.abs(x * back).sum()
    np.testing.assert_allclose((y * s).sum(), (x * back).sum(), rtol=0, atol=1e-13 * float(scale))


@given(case=st.one_of(convolutions(), average_pools(), others()))
def test_axes_in_front_are_batch_axes(case):
    layer, shape, rng = case
    x = rng.normal(size=shape)
    s = rng.normal(size=(2, 3, *layer.linear(x, layer.weight, None).shape))
    together = layer.transpose(s, layer.weight, x.shape)
    assert together.shape == (2, 3, *x.shape)
    np.testing.assert_allclose(together[1, 2], layer.transpose(s[1, 2], layer.weight, x.shape), rtol=1e-13)


@given(case=convolutions())
def test_fused_relevance_is_the_plain_one(case):
    layer, shape, rng = case
    a = rng.normal(size=shape)
    z = layer.linear(a, layer.weight, None)
    denominator, R = rng.uniform(1, 2, size=z.shape), rng.normal(size=(2, *z.shape))
    fused = layer.linear_map(layer.weight, None).redistribute(R, denominator, a)
    plain = a * layer.transpose(R / denominator, layer.weight, a.shape)
    np.testing.assert_allclose(fused, plain, rtol=1e-12, atol=1e-12 * max(1, np.abs(plain).max()))


def test_layer_norm_centring_is_its_own_adjoint(rng):
    layer = L.LayerNorm(np.ones((3, 4)))
    x, s = rng.normal(size=(2, 2, 3, 4))
    assert (layer.centre(x) * s).sum() == pytest.approx((x * layer.centre(s)).sum(), rel=1e-13)
