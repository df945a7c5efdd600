"""The reference samples that zennit-crp printed (record_zennit_crp.py), beside ours."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L

FILE = Path(__file__).with_name("zennit_crp_references.h5")
LAYERS = ("conv1", "conv2")
CLOSE = {"rtol": 2e-6, "atol": 1e-9}  # theirs are stored in float32


@pytest.fixture(scope="module")
def model():
    """The built-in LeNet-5 with a layer of its own for each ReLU, so that conv1 ends before it."""
    layers = []
    for layer in rc.load_model("lenet5").astype("float64"):
        if isinstance(layer, L.Conv2d):
            layers += [L.Conv2d(layer.weight, layer.bias, name=layer.name), L.ReLU()]
        elif isinstance(layer, L.Dense) and layer.activation is not None:
            layers += [L.Dense(layer.weight, layer.bias, name=layer.name), L.ReLU()]
        else:
            layers.append(layer)
    return rc.Sequential(layers, input_shape=(1, 28, 28))


@pytest.fixture(scope="module")
def values(model):
    """The relevance and activation of every position, (100, channels, positions), by layer."""
    x, y = rc.load_digits()
    lrp = rc.LRP(model, rc.EpsilonPlus(), dialect="zennit-crp")
    e = lrp(x.astype(np.float64), output=y, record=LAYERS)
    return {
        (by, layer): array.reshape(*array.shape[:2], -1)
        for by, arrays in (("relevance", e.relevances), ("activation", e.activations))
        for layer, array in arrays.items()
    }


@pytest.fixture(scope="module", params=[rc.EpsilonPlus, rc.EpsilonPlusFlat], ids=lambda c: c.__name__)
def composite(request):
    return request.param()


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "normed"])
def both(request, model, composite):
    """Whether scores are divided, and our samples: all of them, so that ties can be seen whole."""
    x, y = rc.load_digits()
    lrp = rc.LRP(model, composite, dialect="zennit-crp")
    data = (x.astype(np.float64), y)
    return request.param, rc.ReferenceSamples.collect(lrp, data, LAYERS, n=100, abs_norm=request.param)


def same_samples(top, samples, scores):
    """Compare rankings: the same score at each place; the same sample unless scores are equal but for rounding."""
    np.testing.assert_allclose(top.scores[: len(scores)], scores, **CLOSE)
    own = dict(zip(top.samples.tolist(), top.scores.tolist(), strict=True))
    assert len(set(samples.tolist())) == len(samples)
    np.testing.assert_allclose([own[i] for i in samples.tolist()], scores, **CLOSE)
    return int((top.samples[: len(samples)] == samples).sum())


@pytest.mark.parametrize("over", ["sum", "max"])
@pytest.mark.parametrize("by", ["relevance", "activation"])
@pytest.mark.parametrize("layer", LAYERS)
def test_samples_and_positions_are_those_of_zennit_crp(both, values, over, by, layer):
    abs_norm, refs = both
    exact = total = 0
    with h5py.File(FILE) as file:
        group = file[f"{over}/{'normed' if abs_norm else 'plain'}/{by}/{layer}"]
        best, of_class, means = (
            {name: dataset[()] for name, dataset in group[part].items()}
            for part in ("all", "classes", "means")
        )
    for channel in range(best["samples"].shape[1]):
        rankings = [(None, {name: a[:, channel] for name, a in best.items()})]
        rankings += [
            (label, {name: a[label, :, channel] for name, a in of_class.items()}) for label in range(10)
        ]
        for label, theirs in rankings:
            top = refs.top(layer, channel, by, label=label, over=over)
            exact += same_samples(top, theirs["samples"], theirs["scores"])
            total += len(theirs["samples"])
            # The position of the maximum; where several hold it, torch takes any of them.
            own = dict(zip(top.samples.tolist(), top.positions.tolist(), strict=True))
            for sample, position in zip(
                theirs["samples"].tolist(), theirs["positions"].tolist(), strict=True
            ):
                if own[sample] != position:
                    at = values[by, layer][sample, channel]
                    assert at[position] == pytest.approx(at.max(), rel=1e-9, abs=1e-15)
        labels, scores = refs_means(refs, layer, channel, by, over)
        np.testing.assert_allclose(scores[:5], means["scores"][channel], **CLOSE)
        if (np.diff(scores[:6]) < -1e-6 * abs(scores[0])).all():
            assert labels[:5].tolist() == means["labels"][channel].tolist()
    assert exact > 0.95 * total  # ties are rare


def refs_means(refs, layer, channel, by, over):
    return refs.classes(layer, channel, by, n=10, over=over)
