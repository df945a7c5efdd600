"""Conditional relevance on a graph against zennit-crp itself, where it is installed."""

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L

torch = pytest.importorskip("torch")
CondAttribution = pytest.importorskip("crp.attribution").CondAttribution
composites = pytest.importorskip("zennit.composites")
Sum = pytest.importorskip("zennit.layer").Sum


class WithGradient(CondAttribution):
    """Gives relevance of every channel; zennit-crp's own map is summed over them."""

    def heatmap_modifier(self, data, on_device=None):
        return data.grad.detach().clone()


class ResidualNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        nn = torch.nn
        self.first, self.relu1 = nn.Conv2d(2, 3, 3, padding=1), nn.ReLU()
        self.body1, self.relu2 = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()
        self.body2, self.sum, self.relu3 = nn.Conv2d(4, 3, 3, padding=1), Sum(), nn.ReLU()
        self.late, self.relu4 = nn.Conv2d(3, 5, 3), nn.ReLU()
        self.flat, self.dense = nn.Flatten(), nn.Linear(5 * 16, 3)

    def forward(self, x):
        a = self.relu1(self.first(x))
        body = self.body2(self.relu2(self.body1(a)))
        z = self.relu3(self.sum(torch.stack([body, a], dim=-1)))
        return self.dense(self.flat(self.relu4(self.late(z))))


@pytest.fixture
def nets():
    torch.manual_seed(0)
    net = ResidualNet().double().eval()

    def conv(module):
        return L.Conv2d(module.weight.detach(), module.bias.detach(), padding=module.padding)

    model = rc.Graph(
        [
            ("first", conv(net.first), ["x"]),
            ("relu1", L.ReLU(), ["first"]),
            ("body1", conv(net.body1), ["relu1"]),
            ("relu2", L.ReLU(), ["body1"]),
            ("body2", conv(net.body2), ["relu2"]),
            ("sum", L.Add(), ["body2", "relu1"]),
            ("relu3", L.ReLU(), ["sum"]),
            ("late", conv(net.late), ["relu3"]),
            ("relu4", L.ReLU(), ["late"]),
            ("flat", L.Flatten(), ["relu4"]),
            ("dense", L.Dense(net.dense.weight.detach(), net.dense.bias.detach()), ["flat"]),
        ]
    )
    return net, model


@pytest.mark.parametrize("exclude_parallel", [True, False])
@pytest.mark.parametrize(
    "conditions",
    [
        [{"y": [1]}],
        [{"body1": [1], "y": [0]}],
        [{"late": [2, 3], "body1": [0], "y": [2]}],
        [{"late": [0], "y": [1]}, {"late": [4], "y": [0]}],
        [{"body1": [], "y": [0]}],
    ],
)
def test_conditions(nets, conditions, exclude_parallel):
    net, model = nets
    x = torch.randn(1, 2, 6, 6, dtype=torch.double)
    np.testing.assert_allclose(model.forward(x.numpy()), net(x).detach(), rtol=1e-12)
    theirs = WithGradient(net)(
        x.clone().requires_grad_(),
        [dict(condition) for condition in conditions],
        composites.EpsilonPlus(),
        exclude_parallel=exclude_parallel,
        record_layer=["relu1"],
    )
    lrp = rc.LRP(model, rc.EpsilonPlus(), dialect="zennit-crp")
    ours = lrp(x.numpy(), conditions=conditions, exclude_parallel=exclude_parallel, record="relu1")
    heatmap = theirs.heatmap.numpy()
    np.testing.assert_allclose(ours.relevance, heatmap, rtol=0, atol=1e-12 * np.abs(heatmap).max())
    recorded = theirs.relevances["relu1"].numpy()  # not conditioned: those zennit-crp records masked
    np.testing.assert_allclose(ours.relevances["relu1"], recorded, rtol=0, atol=1e-12)
