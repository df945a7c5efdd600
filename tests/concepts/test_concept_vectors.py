"""Concept relevance vectors, against one explanation a sample."""

import numpy as np
import pytest
import reference_nets as nets

import refcrp as rc
from refcrp.errors import FeatureError, NonFiniteError, ParameterError, ShapeError, UnknownLayerError

LRP = nets.small_lrp()
X, LABELS = nets.small_data(7)


def by_loops(sample, target, layer="second", abs_norm=True):
    """Sum up each channel of one sample by hand."""
    R = LRP(X[sample : sample + 1], output=int(target), record=layer).relevances[layer][0]
    sums = [sum(float(R[c][p]) for p in np.ndindex(R[c].shape)) for c in range(len(R))]
    return np.array(sums) / (sum(abs(s) for s in sums) + 1e-10) if abs_norm else np.array(sums)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("abs_norm", [True, False])
def test_against_one_explanation_a_sample(batch_size, abs_norm):
    found = rc.concept_vectors(LRP, (X, LABELS), "second", abs_norm=abs_norm, batch_size=batch_size)
    expected = [by_loops(i, LABELS[i], abs_norm=abs_norm) for i in range(7)]
    np.testing.assert_allclose(found.vectors, expected, rtol=1e-12)
    assert found.samples.tolist() == list(range(7))
    assert found.targets.tolist() == LABELS.tolist()
    assert (found.layer, len(found)) == ("second", 7)


def test_other_targets():
    predicted = np.argmax(LRP.model.forward(X), axis=1)
    by_prediction = rc.concept_vectors(LRP, X, "first", "prediction")
    assert by_prediction.targets.tolist() == predicted.tolist()
    np.testing.assert_allclose(by_prediction.vectors[4], by_loops(4, predicted[4], "first"))
    chosen = [[0, 3], [1], [2, 1], [], [3], [0], [1, 2]]
    several = rc.concept_vectors(LRP, X, "second", chosen, max_targets=2, batch_size=4)
    pairs = [(i, t) for i, targets in enumerate(chosen) for t in targets]
    assert list(zip(several.samples, several.targets, strict=True)) == pairs
    np.testing.assert_allclose(several.vectors, [by_loops(i, t) for i, t in pairs])


def test_other_data_and_other_concepts():
    pairs = list(zip(X, LABELS.tolist(), strict=True))
    same = rc.concept_vectors(LRP, pairs, 2, concept=rc.SubspaceConcept(np.eye(5)[::-1]))
    np.testing.assert_allclose(same.vectors[:, ::-1], rc.concept_vectors(LRP, (X, LABELS), 2).vectors)


def test_float32_is_summed_in_float64():
    lrp = nets.small_lrp(np.float32)
    found = rc.concept_vectors(lrp, (X.astype(np.float32), LABELS), "second")
    assert found.vectors.dtype == np.float64
    np.testing.assert_allclose(
        found.vectors, rc.concept_vectors(LRP, (X, LABELS), "second").vectors, rtol=1e-3
    )


def test_take():
    found = rc.concept_vectors(LRP, (X, LABELS), "second")
    for rows in ([3, 0], found.targets == LABELS[0], np.zeros(7, dtype=bool)):
        part = found.take(rows)
        np.testing.assert_array_equal(part.vectors, found.vectors[rows])
        np.testing.assert_array_equal(part.samples, np.arange(7)[rows])
        np.testing.assert_array_equal(part.targets, LABELS[rows])
    assert not found.vectors.flags.writeable


def test_errors():
    for error, words, arguments, options in [
        (UnknownLayerError, "third", ("third",), {}),
        (ParameterError, "batch_size", ("second",), {"batch_size": 0}),
        (FeatureError, "sample 0: no output neuron", ("second", [4] * 7), {}),
        (ParameterError, "targets='labels'", ("second", "labels"), {}),
        (ParameterError, "abs_norm must be True or False", ("second",), {"abs_norm": "yes"}),
        (ParameterError, "concept must be a Concept", ("second",), {"concept": 3}),
    ]:
        with pytest.raises(error, match=words):
            rc.concept_vectors(LRP, (X, LABELS), *arguments, **options)
    with pytest.raises(ParameterError, match="the data has no labels"):
        rc.concept_vectors(LRP, X, "second")
    with pytest.raises(ParameterError, match="must be an LRP analyzer"):
        rc.concept_vectors(LRP.model, X, "second")
    for error, words, fields in [
        (ShapeError, "expected .m, concepts.", (np.ones(3), [0, 1, 2], [0, 0, 0])),
        (ShapeError, "samples of shape", (np.ones((3, 2)), [0, 1], [0, 0, 0])),
        (ParameterError, "targets must be integers >= 0", (np.ones((3, 2)), [0, 1, 2], [0, -1, 0])),
        (ParameterError, "targets must be integers >= 0", (np.ones((3, 2)), [0, 1, 2], [0, 0.5, 0])),
        (NonFiniteError, "ConceptVectors: vectors", (np.full((1, 2), np.nan), [0], [0])),
    ]:
        with pytest.raises(error, match=words):
            rc.ConceptVectors("second", *fields)
