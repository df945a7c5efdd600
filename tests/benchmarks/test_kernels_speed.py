"""Speed of single kernels, by pytest-benchmark."""

import networks
import numpy as np
import pytest
from convolutions import Shape, our_adjoint, our_forward

from refcrp import layers as L

pytest.importorskip("pytest_benchmark")

SHAPES = (Shape(3, 64, 112), Shape(64, 64, 56), Shape(256, 256, 14), Shape(64, 128, 28, stride=2))
TYPES = (np.float32, np.float64)


@pytest.fixture(params=TYPES, ids=[t.__name__ for t in TYPES])
def dtype(request):
    return request.param


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return request.param


@pytest.fixture
def convolution(rng, shape, dtype):
    settings = {"stride": shape.stride, "padding": shape.padding}
    return networks.random_convolution(rng, shape.channels, shape.outputs, shape.kernel, dtype, **settings)


@pytest.fixture
def image(rng, shape, dtype):
    return rng.standard_normal((1, shape.channels, shape.size, shape.size), dtype=dtype)


@pytest.fixture
def feature_maps(rng, dtype):
    return rng.standard_normal((1, 64, 112, 112), dtype=dtype)


def test_convolution(benchmark, convolution, image):
    z = benchmark(our_forward(convolution), image)
    assert np.isfinite(z).all()


def test_adjoint_of_a_convolution(benchmark, convolution, image, rng, dtype):
    s = rng.standard_normal(convolution.forward(image).shape, dtype=dtype)
    x = benchmark(our_adjoint(convolution, image.shape), s)
    assert x.shape == image.shape


@pytest.mark.parametrize("keep", [0.15, 0.5, 1])
def test_convolution_of_an_image_with_zeros(benchmark, rng, dtype, keep):
    convolution = networks.random_convolution(rng, 128, 128, 3, dtype, padding=1)
    image = rng.standard_normal((1, 128, 56, 56), dtype=dtype) * (rng.uniform(size=(1, 128, 56, 56)) < keep)
    assert np.isfinite(benchmark(our_forward(convolution), image.astype(dtype))).all()


def test_dense_layer_of_one_sample(benchmark, rng, dtype):
    weight, bias = networks.random_parameters(rng, (1000, 4096), dtype)
    assert benchmark(L.Dense(weight, bias).forward, np.ones((1, 4096), dtype)).shape == (1, 1000)


def test_max_pooling(benchmark, feature_maps):
    assert benchmark(L.MaxPool(2).forward, feature_maps).shape == (1, 64, 56, 56)


def test_relevance_through_max_pooling(benchmark, feature_maps):
    pull = L.MaxPool(2).linearize(feature_maps, lambda z: z + np.sign(z) * z.dtype.type(1e-9))
    R = benchmark(pull, np.ones_like(pull.output))
    assert R.shape == feature_maps.shape
