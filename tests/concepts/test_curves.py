"""Drawing curves."""

import numpy as np
import pytest

import refcrp as rc
from refcrp.errors import ParameterError


def curve(scores, label="relevance", rises=False):
    scores = np.asarray(scores, dtype=float)
    order = np.tile(np.arange(4), (len(scores), 1))
    return rc.FlippingCurve(
        np.array([0, 2, 4]), scores, order, np.zeros(len(scores), int), label, "channels", rises
    )


def test_one_curve_shows_its_samples(tmp_path):
    figure = curve([[4, 2, 0], [2, 2, 2]]).draw(tmp_path / "one.png")
    lines = figure.axes[0].lines
    np.testing.assert_array_equal([line.get_ydata() for line in lines], [[4, 2, 0], [2, 2, 2], [3, 2, 1]])
    np.testing.assert_array_equal(lines[-1].get_xdata(), [0, 0.5, 1])
    assert (tmp_path / "one.png").stat().st_size > 1000
    assert figure.axes[0].get_xlabel() == "fraction of channels flipped"


def test_several_curves_show_their_means():
    figure = curve([[4, 2, 0], [2, 2, 2]], rises=True).draw(random=curve([[1, 1, 1]], "random"))
    assert [line.get_label() for line in figure.axes[0].lines] == ["relevance: area -1", "random: area 0"]
    assert figure.axes[0].get_xlabel() == "fraction of channels kept"
    with pytest.raises(ParameterError, match="FlippingCurve"):
        curve([[1, 1, 1]]).draw(random=[1, 2])


def test_area_and_aopc_of_a_drop_at_once():
    fast = curve([[1, 0, 0]])
    assert fast.change.tolist() == [[0, 1, 1]]
    assert (fast.area.tolist(), fast.aopc.tolist()) == ([0.75], [2 / 3])
    assert "channels by relevance: 1 samples, 3 points, mean area 0.75" in repr(fast)
