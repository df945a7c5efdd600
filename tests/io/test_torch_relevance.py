"""Imported networks, explained beside zennit 0.5.1, whose canonizers merge batch normalisation.

zennit 0.5.1 makes a merged normalisation one of mean 0, variance 1 and the epsilon it had, so that it still
divides by sqrt(1 + epsilon); 0.4.6 does not. The network that is explained here is the merged one, imported, so
that both explain the same numbers. Networks merged by `refcrp.canonize` differ from it by some 1e-5.
"""

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


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Several are slower on networks as small as these."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
    x = images(40 if name == "resnet" else 16)
    our_composite, their_composite = COMPOSITES[composite]

    canonizer().apply(module)  # for good
    model = from_torch(module, x)
    e = rc.LRP(model, our_composite(), dialect="zennit")(x.numpy())
    R = relevance_of_zennit(summing.eval(), their_composite(canonizers=[canonizer()]), x, e.selected)

    assert np.abs(R).max() > 0
    np.testing.assert_allclose(e.relevance, R, rtol=0, atol=1e-12 * np.abs(R).max())


def test_what_is_left_of_a_merged_normalisation_shows():
    torch.manual_seed(5)
    module = nets.randomized(nets.Inception().double())
    x = images(16)
    e = rc.LRP(rc.canonize(from_torch(module, x)), rc.EpsilonPlus(), dialect="zennit")(x.numpy())
    composite = composites.EpsilonPlus(canonizers=[SequentialMergeBatchNorm()])
    R = relevance_of_zennit(module, composite, x, e.selected)
    assert 1e-5 < np.abs(e.relevance - R).max() / np.abs(R).max() < 1e-4
