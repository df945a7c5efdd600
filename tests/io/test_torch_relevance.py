"""Imported networks, explained beside zennit 0.5.1, whose canonizers merge batch normalisation."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import refcrp as rc

torch = pytest.importorskip("torch")
if importlib.util.find_spec("torchvision") is None:  # zennit imports it, and uses nothing of it here
    sys.path.append(str(Path(__file__).parents[1] / "benchmarks" / "stubs"))
zennit = pytest.importorskip("zennit")
import torch_nets as nets  # noqa: E402
from torch import nn  # noqa: E402
from zennit import composites  # noqa: E402
from zennit.attribution import Gradient  # noqa: E402
from zennit.canonizers import NamedMergeBatchNorm, SequentialMergeBatchNorm  # noqa: E402
from zennit.layer import Sum  # noqa: E402

from refcrp.io.torch import from_torch  # noqa: E402

LOW, HIGH = -3.0, 3.0


class SummingBlock(nets.BasicBlock):
    """A residual block as zennit's canonizer for ResNet makes it: it sums by a module."""

    def __init__(self, *settings):
        super().__init__(*settings)
        self.canonizer_sum = Sum()

    def sum(self, identity, out):
        return self.canonizer_sum(torch.stack([identity, out], dim=-1))


def dense_merges():
    """Say which normalisations of `nets.DenseNet` come right after a convolution; the others do not."""
    blocks = ((f"block.{k}.conv1", f"block.{k}.norm2") for k in range(3))
    return [((conv,), norm) for conv, norm in (("conv0", "norm0"), *blocks)]


# The network for us, the one for zennit, and zennit's canonizer.
NETS = {
    "vgg": (nets.VGG, nets.VGG, SequentialMergeBatchNorm),
    "resnet": (nets.ResNet, lambda: nets.ResNet(block=SummingBlock), SequentialMergeBatchNorm),
    "densenet": (nets.DenseNet, nets.DenseNet, lambda: NamedMergeBatchNorm(dense_merges())),
    "inception": (nets.Inception, nets.Inception, SequentialMergeBatchNorm),
}
COMPOSITES = {
    "EpsilonPlus": (rc.EpsilonPlus, composites.EpsilonPlus),
    "EpsilonPlusFlat": (rc.EpsilonPlusFlat, composites.EpsilonPlusFlat),
    "EpsilonAlpha2Beta1": (rc.EpsilonAlpha2Beta1, composites.EpsilonAlpha2Beta1),
    "EpsilonGammaBox": (
        lambda: rc.EpsilonGammaBox(LOW, HIGH),
        lambda **settings: composites.EpsilonGammaBox(*bounds(), **settings),
    ),
}


def bounds():
    """Give the bounds as tensors: zennit would round numbers to float32."""
    return (torch.tensor(bound, dtype=torch.float64) for bound in (LOW, HIGH))


def images(size):
    x = torch.rand(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return LOW + (HIGH - LOW) * x


def relevance_of_zennit(module, composite, x, target):
    seed = torch.eye(10, dtype=torch.float64)
    with Gradient(module, composite) as attributor:
        return attributor(x.clone().requires_grad_(), lambda y: seed[target, : y.shape[1]])[1].numpy()


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", NETS)
def test_relevance_is_that_of_zennit(name, composite):
    ours, theirs, canonizer = NETS[name]
    torch.manual_seed(5)
    module, summing = ours().double(), theirs().double()
    nets.randomized(module)
    summing.load_state_dict(module.state_dict())
    for part in (*module.modules(), *summing.modules()):
        if isinstance(part, nn.BatchNorm2d):
            part.eps = 1e-12  # zennit merges it and still applies it: each merged layer is off by eps / 2
    x = images(40 if name == "resnet" else 16)
    our_composite, their_composite = COMPOSITES[composite]

    model = rc.canonize(from_torch(module, x))
    e = rc.LRP(model, our_composite(), dialect="zennit")(x.numpy())
    R = relevance_of_zennit(summing.eval(), their_composite(canonizers=[canonizer()]), x, e.selected)

    assert np.abs(R).max() > 0
    np.testing.assert_allclose(e.relevance, R, rtol=1e-7, atol=1e-9 * np.abs(R).max())
