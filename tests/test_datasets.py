import h5py
import numpy as np
import pytest
from refcrp_data import __file__ as data_package

import refcrp as rc
from refcrp.errors import ParameterError


def test_digits(digits):
    x, labels = digits
    assert x.shape == (100, 1, 28, 28)
    assert x.dtype == np.float32
    assert (x.min(), x.max()) == (0, 1)
    assert np.bincount(labels).tolist() == [10] * 10
    # the bytes of MNIST are there: every value is a multiple of 1/255
    np.testing.assert_array_equal(np.rint(x * 255).astype(np.float32) / np.float32(255), x)


def test_lenet5_knows_the_digits(lenet5, digits):
    x, labels = digits
    assert (lenet5.forward(x).argmax(axis=1) == labels).mean() >= 0.975
    assert lenet5.parameter_count == 44426
    assert lenet5.input_shape == (1, 28, 28)


def test_files_say_where_they_are_from():
    folder = data_package.removesuffix("__init__.py")
    for name in "lenet5.h5", "digits.h5", "lenet5_references.h5":
        with h5py.File(folder + name) as file:
            assert "MNIST" in file.attrs["source"]
            assert "Creative Commons" in file.attrs["licence"]
    with h5py.File(folder + "lenet5.h5") as file:
        assert file.attrs["held_out_accuracy"] >= 0.975


def test_the_top_concept_matters_to_the_model(lenet5, digits):
    """Deleting the channel that CRP ranks first costs the score more than deleting one in the middle."""
    x = digits[0]
    e = rc.CRP(rc.LRP(lenet5, rc.EpsilonPlus()), "conv2", rc.TopNFeatures(16))(x, record="conv2")
    upper = rc.Sequential(list(lenet5)[3:])
    samples = np.arange(len(x))

    def loss(rank):
        a = e.activations["conv2"].copy()
        a[samples, e.features[rank]] = 0
        return (e.output - upper.forward(a))[samples, e.selected]

    assert loss(0).mean() > 2 * loss(5).mean() > 0
    assert (loss(0) > loss(8)).mean() > 0.9


def test_concepts_are_different_strokes(lenet5, digits):
    """The maps of the first two concepts of a digit rarely show the same place."""
    e = rc.CRP(rc.LRP(lenet5, rc.EpsilonPlus()), "conv2", rc.TopNFeatures(2))(digits[0])
    first, second = e.relevance.reshape(2, 100, -1)
    cosine = (first * second).sum(axis=1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    assert np.median(cosine) < 0.6


@pytest.fixture(scope="module")
def references():
    return rc.load_references("lenet5")


def test_references_are_of_all_channels_and_their_digits(references):
    refs, (x, labels) = references
    assert (refs.layers, refs.n, refs.complete) == (("conv1", "conv2"), 8, True)
    assert x.dtype == np.float32
    assert x.shape == (refs.explained, 1, 28, 28)
    np.testing.assert_array_equal(np.rint(x * 255).astype(np.float32) / np.float32(255), x)
    tops = [
        refs.top(layer, channel, by, over=over)
        for layer, channels in (("conv1", 6), ("conv2", 16))
        for channel in range(channels)
        for by in ("relevance", "activation")
        for over in ("sum", "max")
    ]
    assert all(len(top) == 8 for top in tops)
    for top in tops:
        np.testing.assert_array_equal(labels[top.samples], top.targets)
    assert set(np.concatenate([top.samples for top in tops])) == set(
        range(len(x))
    )  # none is there for nothing


def test_references_are_what_the_model_says(references, lenet5):
    refs, (x, labels) = references
    e = rc.LRP(lenet5, rc.EpsilonPlus())(x, output=labels, record="conv2")
    for by, values in ("relevance", e.relevances["conv2"]), ("activation", e.activations["conv2"]):
        scores = values.sum(axis=(2, 3))
        for channel in 0, 9, 15:
            top = refs.top("conv2", channel, by)
            np.testing.assert_allclose(scores[top.samples, channel], top.scores, rtol=1e-4)
            assert np.sort(scores[:, channel])[-8] == pytest.approx(top.scores[-1], rel=1e-4)


def test_references_fit_the_built_in_model(references, lenet5):
    refs, data = references
    made = rc.report(rc.LRP(lenet5, rc.EpsilonPlus()), data[0][:1], "conv2", refs=refs, data=data)
    assert made.differs == ()


def test_no_other_model_has_built_in_references():
    with pytest.raises(ParameterError, match="no built-in model 'vgg'; there is lenet5"):
        rc.load_references("vgg")
