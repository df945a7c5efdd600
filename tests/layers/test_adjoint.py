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
def transposed_convolutions(draw):
    groups, per_group_in, per_group_out = draw(small), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    kernel, stride, dilation = ((draw(small), draw(small)) for _ in range(3))
    added = tuple(draw(st.integers(0, s - 1)) for s in stride)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    padding = tuple(draw(st.integers(0, (r - 1) // 2)) for r in reach)
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    weight = rng.normal(size=(groups * per_group_in, per_group_out, *kernel))
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    layer = L.ConvTranspose2d(weight, output_padding=added, **settings)
    return layer, (draw(st.integers(1, 2)), len(weight), draw(small), draw(small)), rng


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
        (L.Scale(rng.normal(size=(h, w)), axis=-2), (n, channels, h, w)),
        (L.BatchNorm(rng.normal(size=channels), rng.uniform(1, 2, size=channels)), (n, channels, h, w)),
        (L.GlobalAvgPool(), (n, channels, h, w)),
        (L.AdaptiveAvgPool((draw(small), draw(small))), (n, channels, h, w)),
        (L.UpsampleNearest(draw(st.sampled_from([1, 2, 1.5, (1, 3)]))), (n, channels, h, w)),
        (L.UpsampleNearest(size=(draw(small), 2)), (n, channels, h, w)),
        (L.UpsampleBilinear(2.5, align_corners=draw(st.booleans())), (n, channels, h, w)),
        (L.UpsampleBilinear(size=(draw(small), 5), align_corners=draw(st.booleans())), (n, channels, h, w)),
    ]
    layer, shape = draw(st.sampled_from(options))
    return layer, shape, rng


LAYERS = st.one_of(convolutions(), transposed_convolutions(), average_pools(), others())


@given(
    case=LAYERS,
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


@given(case=LAYERS)
def test_axes_in_front_are_batch_axes(case):
    layer, shape, rng = case
    x = rng.normal(size=shape)
    s = rng.normal(size=(2, 3, *layer.linear(x, layer.weight, None).shape))
    together = layer.transpose(s, layer.weight, x.shape)
    assert together.shape == (2, 3, *x.shape)
    np.testing.assert_allclose(together[1, 2], layer.transpose(s[1, 2], layer.weight, x.shape), rtol=1e-13)


@given(case=st.one_of(convolutions(), transposed_convolutions()))
def test_fused_relevance_is_the_plain_one(case):
    layer, shape, rng = case
    a = rng.normal(size=shape)
    z = layer.linear(a, layer.weight, None)
    denominator, R = rng.uniform(1, 2, size=z.shape), rng.normal(size=(2, *z.shape))
    fused = layer.linear_map(layer.weight, None).redistribute(R, denominator, a)
    plain = a * layer.transpose(R / denominator, layer.weight, a.shape)
    np.testing.assert_allclose(fused, plain, rtol=1e-12, atol=1e-12 * max(1, np.abs(plain).max()))


@pytest.mark.parametrize("layer", [L.LayerNorm(np.ones((3, 4))), L.GroupNorm(2), L.InstanceNorm()])
def test_centring_is_its_own_adjoint(layer, rng):
    x, s = rng.normal(size=(2, 2, 4, 3, 4))
    sample = x.shape[1:]
    centred = layer.centre(x, sample)
    assert (centred * s).sum() == pytest.approx((x * layer.centre(s, sample)).sum(), rel=1e-12)
    np.testing.assert_allclose(layer.centre(centred, sample), centred, atol=1e-14)
