"""Speed of whole analyses, by pytest-benchmark."""

import networks
import pytest

import refcrp as rc

pytest.importorskip("pytest_benchmark")


@pytest.fixture(scope="module")
def small_vgg():
    """VGG-16 with an eighth of the channels, for images of 64 x 64 pixels."""
    return networks.vgg16(image=64, width=1 / 8)


@pytest.mark.parametrize("batch", [1, 32])
@pytest.mark.parametrize(
    "composite",
    [rc.EpsilonPlus(), rc.EpsilonPlusFlat(), rc.EpsilonAlpha2Beta1()],
    ids=["plus", "flat", "a2b1"],
)
def test_lrp_of_lenet(benchmark, composite, batch):
    x, labels = networks.digits(batch)
    e = benchmark(rc.LRP(networks.lenet5(), composite), x, output=labels)
    assert e.relevance.shape == x.shape


@pytest.mark.parametrize("batch", [1, 8])
def test_crp_of_lenet(benchmark, batch):
    x, labels = networks.digits(batch)
    lrp = rc.LRP(networks.lenet5(), rc.EpsilonPlusFlat())
    crp = rc.CRP(lrp, layer="conv2", features=rc.IndexedFeatures(*range(16)))
    e = benchmark(crp, x, output=labels)
    assert e.relevance.shape == (16 * batch, *x.shape[1:])


def test_forward_of_a_deep_network(benchmark, small_vgg):
    assert benchmark(small_vgg.forward, networks.random_images(1, image=64)).shape == (1, 1000)


def test_lrp_of_a_deep_network(benchmark, small_vgg):
    x = networks.random_images(1, image=64)
    e = benchmark(rc.LRP(small_vgg, rc.EpsilonPlusFlat()), x, output=0)
    assert e.relevance.shape == x.shape


def test_crp_of_a_deep_network(benchmark, small_vgg):
    x = networks.random_images(1, image=64)
    lrp = rc.LRP(small_vgg, rc.EpsilonPlusFlat())
    crp = rc.CRP(lrp, layer=networks.LAST_CONVOLUTION, features=rc.IndexedFeatures(*range(8)))
    assert benchmark(crp, x, output=0).relevance.shape == (8, *x.shape[1:])
