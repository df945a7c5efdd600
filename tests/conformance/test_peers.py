"""Conditional relevance on graphs against zennit-crp itself, where it is installed."""

import importlib.util
import sys
from pathlib import Path

import graph_nets
import numpy as np
import pytest

torch = pytest.importorskip("torch")
if importlib.util.find_spec("torchvision") is None:  # zennit imports it, and uses nothing of it here
    sys.path.append(str(Path(__file__).parents[1] / "benchmarks" / "stubs"))
pytest.importorskip("crp.attribution")
pytest.importorskip("zennit")
import recorded_graphs as peers  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Several are slower on networks as small as these."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("run", graph_nets.RUNS)
def test_conditions(run):
    name, question, alone = graph_nets.RUNS[run]
    net, x = peers.made(name, seed=1)  # not what is recorded
    theirs = peers.explained(net, x, question, alone)
    ours = graph_nets.explained(name, peers.arrays_of(net), x.numpy(), question, alone)
    for layer, R in theirs.items():
        np.testing.assert_allclose(ours[layer], R, rtol=0, atol=1e-12 * np.abs(R).max(), err_msg=layer)


@pytest.mark.parametrize("name", graph_nets.MODELS)
def test_the_networks_are_the_same(name):
    net, x = peers.made(name, seed=2)
    y = graph_nets.MODELS[name](peers.arrays_of(net)).forward(x.numpy())
    np.testing.assert_allclose(y, net(x).detach().numpy(), rtol=1e-12)
