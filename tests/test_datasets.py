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


def test_concepts_lie_on_the_ink(lenet5, digits):
    """Heatmaps of concepts are strokes of the digit: their relevance is where the ink is."""
    x = digits[0]
    e = rc.CRP(rc.LRP(lenet5, rc.EpsilonPlus()), "conv2", rc.TopNFeatures(5))(x)
    R = np.abs(e.relevance.reshape(5, *x.shape))
    on_ink = (R * (x > 0)).sum(axis=(2, 3, 4)) / R.sum(axis=(2, 3, 4))
    assert on_ink.min() > 0.99
