"""Concepts: what they score, and what of the relevance goes through them."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import FeatureError, ParameterError, ShapeError

R = np.array(
    [[[[1.0, -2], [3, 0]], [[5, 5], [-1, 4]]], [[[0, 0], [0, 0]], [[-7, -3], [-5, -3]]]]
)  # (2, 2, 2, 2)


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    return rc.Sequential(
        [
            L.Conv2d(rng.normal(size=(3, 2, 2, 2)), rng.normal(size=3), activation="relu", name="conv"),
            L.Flatten(),
            L.Dense(rng.normal(size=(4, 12)), rng.normal(size=4)),
        ],
        input_shape=(2, 3, 3),
    )


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).normal(size=(2, 2, 3, 3))


class TestScores:
    def test_channels(self):
        concept = rc.ChannelConcept()
        np.testing.assert_array_equal(concept.scores(R), [[2, 13], [0, -18]])
        np.testing.assert_array_equal(concept.scores(R, over="max"), [[3, 5], [0, -3]])
        np.testing.assert_array_equal(concept.positions(R), [[2, 0], [0, 1]])

    def test_abs_norm_divides_by_the_absolute_scores_of_the_sample(self):
        scores = rc.ChannelConcept().scores(R, abs_norm=True)
        np.testing.assert_allclose(scores, [[2 / 15, 13 / 15], [0, -1]], rtol=1e-10)
        zeros = rc.ChannelConcept().scores(0 * R, abs_norm=True)
        np.testing.assert_array_equal(zeros, np.zeros((2, 2)))

    def test_neurons(self):
        concept = rc.NeuronConcept()
        np.testing.assert_array_equal(concept.scores(R), R.reshape(2, 8))
        np.testing.assert_array_equal(concept.positions(R), [[0, 1, 2, 3] * 2] * 2)
        assert concept.scores(R)[0, rc.NeuronConcept.index(1, 2, 4)] == R[0, 1, 1, 0]

    def test_vectors_are_at_position_zero(self):
        values = np.array([[1.0, -2, 3]])
        np.testing.assert_array_equal(rc.ChannelConcept().scores(values, over="max"), values)
        np.testing.assert_array_equal(rc.ChannelConcept().positions(values), [[0, 0, 0]])

    def test_unit_vectors_are_channels(self):
        concept = rc.SubspaceConcept(np.eye(2)[::-1] * [[3.0], [-2]])
        np.testing.assert_allclose(concept.scores(R), rc.ChannelConcept().scores(R)[:, ::-1], rtol=1e-15)
        np.testing.assert_array_equal(concept.positions(R)[0], [0, 2])

    def test_a_direction_by_hand(self):
        # (1, 2) is projected on (1, 1) / 2 · 3 = (3/2, 3/2), and on (1, -1) · (-1/2) = (-1/2, 1/2)
        concept = rc.SubspaceConcept([[1.0, 1], [1, -1]])
        np.testing.assert_allclose(concept.scores(np.array([[1.0, 2]])), [[3, 0]], atol=1e-15)

    def test_fractions(self):
        assert rc.ChannelConcept().scores(rc.exact(R))[0, 1] == Fraction(13)

    def test_wrong(self):
        with pytest.raises(ParameterError, match="over='mean': expected 'sum' or 'max'"):
            rc.ChannelConcept().scores(R, over="mean")
        with pytest.raises(ShapeError, match="no channels"):
            rc.ChannelConcept().scores(np.zeros(3))
        with pytest.raises(ParameterError, match="concept 1 are linearly dependent"):
            rc.SubspaceConcept([[[1.0, 0], [0, 1]], [[1, 2], [2, 4]]])
        with pytest.raises(ShapeError, match="vectors of shape"):
            rc.SubspaceConcept(np.zeros(3))
        with pytest.raises(ShapeError, match="vectors of 3 channels, the layer has 2"):
            rc.SubspaceConcept([[1.0, 0, 0]]).scores(R)


class TestRelevance:
    def test_a_neuron_is_what_a_mask_on_it_leaves(self, model, x):
        lrp = rc.LRP(model, rc.EpsilonRule())
        number = rc.NeuronConcept.index(2, 3, 4)
        ours = rc.CRP(lrp, "conv", rc.IndexedFeatures(number), rc.NeuronConcept())(x)
        R_conv = lrp(x, record="conv").relevances["conv"]
        alone = np.zeros_like(R_conv)
        alone[:, 2, 1, 1] = R_conv[:, 2, 1, 1]
        expected = model["conv"].relevance(alone, x, rule=rc.EpsilonRule())
        np.testing.assert_allclose(ours.relevance, expected, rtol=1e-12)
        np.testing.assert_array_equal(ours.feature_relevance[0], R_conv[:, 2, 1, 1])

    @given(st.integers(0, 2**32 - 1))
    def test_orthogonal_subspaces_share_the_relevance(self, model, x, seed):
        directions = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3))).Q
        whole = rc.LRP(model)(x)
        line = rc.SubspaceConcept(directions)
        parts = rc.CRP(rc.LRP(model), "conv", rc.IndexedFeatures(0, 1, 2), line)(x)
        total = parts.relevance.reshape(3, *whole.relevance.shape).sum(axis=0)
        np.testing.assert_allclose(total, whole.relevance, atol=1e-12 * np.abs(parts.relevance).max())
        np.testing.assert_allclose(parts.feature_relevance.sum(axis=0), parts.layer_relevance, atol=1e-10)
        plane = rc.CRP(
            rc.LRP(model), "conv", rc.IndexedFeatures(0), rc.SubspaceConcept(directions[None, :2])
        )(x)
        np.testing.assert_allclose(
            plane.relevance,
            whole.relevance - parts.relevance[4:],
            atol=1e-12 * np.abs(parts.relevance).max(),
        )

    def test_unit_vectors_are_channels(self, model, x):
        features = rc.TopNFeatures(3)
        channels = rc.CRP(rc.LRP(model), "conv", features)(x)
        vectors = rc.CRP(rc.LRP(model), "conv", features, rc.SubspaceConcept(np.eye(3)))(x)
        np.testing.assert_array_equal(channels.features, vectors.features)
        np.testing.assert_allclose(channels.relevance, vectors.relevance, rtol=1e-12, atol=1e-14)

    def test_the_ledger_has_what_was_masked(self, model, x):
        line = rc.CRP(rc.LRP(model), "conv", rc.IndexedFeatures(0), rc.SubspaceConcept([[1.0, 1, 0]]))(x)
        entry = line.ledger["conv"]
        np.testing.assert_allclose(entry.received - entry.masked, line.feature_relevance[0], rtol=1e-12)

    def test_one_of_your_own(self, model, x):
        class Half(rc.Concept):
            """The left and the right half of the map."""

            def per_position(self, values):
                both = np.stack([values.copy(), values.copy()], axis=1)
                both[:, 0, ..., 1:], both[:, 1, ..., :1] = 0, 0
                return both.sum(axis=2).reshape(len(values), 2, -1)

            def restrict(self, R, concepts):
                columns = np.arange(R.shape[-1]) >= 1
                return np.where(columns == concepts[:, :, None, None, None], R, 0)

        parts = rc.CRP(rc.LRP(model), "conv", rc.IndexedFeatures(0, 1), Half())(x)
        whole = rc.LRP(model)(x).relevance
        np.testing.assert_allclose(parts.relevance[:2] + parts.relevance[2:], whole, atol=1e-12)
        with pytest.raises(FeatureError, match="has 2"):
            rc.CRP(rc.LRP(model), "conv", rc.IndexedFeatures(2), Half())(x)

    def test_a_channel_is_no_concept(self, model):
        with pytest.raises(ParameterError, match="must be a Concept"):
            rc.CRP(rc.LRP(model), "conv", rc.IndexedFeatures(0), concept="channel")


class TestGivenFeatures:
    def test_each_sample_has_its_own(self, model, x):
        given_ = rc.CRP(rc.LRP(model), "conv", rc.GivenFeatures([[0, 2]]))(x)
        for sample, channel in enumerate((0, 2)):
            alone = rc.CRP(rc.LRP(model), "conv", rc.IndexedFeatures(channel))(x[sample : sample + 1])
            np.testing.assert_allclose(given_.relevance[sample], alone.relevance[0], rtol=1e-12, atol=1e-15)

    def test_wrong(self, model, x):
        with pytest.raises(ParameterError, match="expected integers"):
            rc.GivenFeatures([[0.5]])
        with pytest.raises(ShapeError, match="channels of 3 samples, got 2"):
            rc.CRP(rc.LRP(model), "conv", rc.GivenFeatures([[0, 1, 2]]))(x)
        with pytest.raises(FeatureError, match="no channel 3"):
            rc.CRP(rc.LRP(model), "conv", rc.GivenFeatures([[0, 3]]))(x)
