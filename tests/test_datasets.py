import h5py
import numpy as np
from refcrp_data import __file__ as data_package

import refcrp as rc


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
    for name in "lenet5.h5", "digits.h5":
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
