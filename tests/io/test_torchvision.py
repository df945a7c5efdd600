"""The networks of torchvision, with random weights: all that is imported must compute the same."""

import os

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ModelFormatError

torch = pytest.importorskip("torch")
try:
    from torchvision import models
except Exception as error:  # one made for another PyTorch raises anything, and a stub has no models
    pytest.skip(f"torchvision cannot be imported: {error}", allow_module_level=True)
import torch_nets as nets  # noqa: E402

NO_SIDES = {"aux_logits": False, "init_weights": False}
QUICK = {"resnet18": {}, "squeezenet1_1": {}, "googlenet": NO_SIDES, "mobilenet_v2": {}}
REST = {  # some minutes, and some gigabytes: REFCRP_ALL_NETWORKS=1 pytest tests/io/test_torchvision.py
    "densenet121": {},
    "alexnet": {},
    "vgg11_bn": {},
    "vgg16": {},
    "resnet50": {},
    "inception_v3": NO_SIDES,
    "resnext50_32x4d": {},
    "mnasnet0_5": {},
    "regnet_x_400mf": {},
}
NETWORKS = QUICK | (REST if os.environ.get("REFCRP_ALL_NETWORKS") else {})
# Normalisation that no convolution takes in: that before the ReLU of a DenseNet's layers, which comes first.
LEFT = {"densenet121": 62}
SIZE = {"inception_v3": 75}


def made(name, settings):
    if not hasattr(models, name):
        pytest.skip(f"this torchvision has no {name}")
    torch.manual_seed(0)
    module = nets.randomized(getattr(models, name)(weights=None, num_classes=10, **settings))
    size = SIZE.get(name, 64)
    return module, torch.randn(1, 3, size, size)


def agree(y, expected):
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_imported(name):
    module, x = made(name, NETWORKS[name])
    with torch.no_grad():
        expected = module(x).numpy()
    model = rc.from_torch(module, x)
    agree(model.forward(x.numpy()), expected)
    merged = rc.canonize(model)
    agree(merged.forward(x.numpy()), expected)
    assert sum(isinstance(layer, L.BatchNorm) for layer in merged) == LEFT.get(name, 0)
    e = rc.LRP(merged, rc.EpsilonPlusFlat())(x.numpy())
    assert e.relevance.shape == x.shape
    assert np.isfinite(e.relevance).all()
    assert e.relevance.any()


def test_squeeze_and_excitation_is_refused():
    module, x = made("efficientnet_b0", {})
    with pytest.raises(
        ModelFormatError, match="'mul' at 'mul': relevance of a product of branches is not defined"
    ):
        rc.from_torch(module, x)
