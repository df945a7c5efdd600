"""Prototypes and what is compared with them: a mixture made up, and densities by SciPy."""

import dataclasses
import sys

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import refcrp as rc
from refcrp.errors import ArrayTypeError, FeatureError, MissingDependencyError, ParameterError, ShapeError

MEANS = {3: np.array([[4.0, 0, 0], [0, 4, 0]]), 8: np.array([[0.0, 0, 4], [-4, 0, 0]])}
COUNTS = {3: (300, 100), 8: (150, 250)}
SPREAD = np.array([[0.5, 0.2, 0], [0, 0.4, 0.1], [0, 0, 0.3]])  # x = mean + spread · standard normal


def made_up(seed=5):
    """Vectors of two classes, two clusters each, in random order; sample ids are ten times the row."""
    rng = np.random.default_rng(seed)
    vectors, targets = [], []
    for label, means in MEANS.items():
        for mean, count in zip(means, COUNTS[label], strict=True):
            vectors.append(mean + rng.normal(size=(count, 3)) @ SPREAD.T)
            targets += [label] * count
    order = rng.permutation(len(targets))
    return rc.ConceptVectors(
        "conv", np.concatenate(vectors)[order], 10 * np.arange(800), np.array(targets)[order]
    )


@pytest.fixture(scope="module")
def vectors():
    return made_up()


@pytest.fixture(scope="module")
def prototypes(vectors):
    pytest.importorskip("sklearn")
    return rc.Prototypes.fit(vectors, per_class=2, seed=1)


def pair(prototypes, label):
    """Which prototype of a class is which cluster."""
    return [int(np.linalg.norm(prototypes.means[label] - mean, axis=1).argmin()) for mean in MEANS[label]]


def density(prototypes, label, x):
    """The logarithm of the mixture's density, from the covariances, by SciPy."""
    mixture = prototypes.mixtures[label]
    parts = [
        np.log(weight) + multivariate_normal.logpdf(x, mean, cov)
        for weight, mean, cov in zip(
            prototypes.weights[label], prototypes.means[label], mixture.covariances_, strict=True
        )
    ]
    return logsumexp(parts, axis=0)


@pytest.mark.parametrize("label", [3, 8])
def test_a_made_up_mixture_is_found_again(prototypes, label):
    which = pair(prototypes, label)
    assert sorted(which) == [0, 1]
    np.testing.assert_allclose(prototypes.means[label][which], MEANS[label], atol=0.12)
    parts = np.array(COUNTS[label]) / sum(COUNTS[label])
    np.testing.assert_allclose(prototypes.weights[label][which], parts, atol=1e-3)
    np.testing.assert_array_equal(prototypes.coverage[label][which], parts)
    for i in which:
        np.testing.assert_allclose(prototypes.mixtures[label].covariances_[i], SPREAD @ SPREAD.T, atol=0.1)


def test_the_nearest_sample(vectors, prototypes):
    for label in (3, 8):
        for i, mean in enumerate(prototypes.means[label]):
            rows = [k for k in range(800) if vectors.targets[k] == label]
            nearest = min(rows, key=lambda k: sum((vectors.vectors[k] - mean) ** 2))
            assert prototypes.samples[label][i] == 10 * nearest


def test_likelihood_by_scipy(vectors, prototypes):
    others = made_up(seed=6)
    found = prototypes.compare(others)
    assert found.classes.tolist() == [3, 8] == list(prototypes.classes)
    for k, label in enumerate([3, 8]):
        expected = density(prototypes, label, others.vectors)
        np.testing.assert_allclose(found.class_log_likelihood[:, k], expected)
        own = others.targets == label
        np.testing.assert_allclose(found.log_likelihood[own], expected[own])
        seen = density(prototypes, label, vectors.vectors[vectors.targets == label])
        np.testing.assert_allclose(prototypes.log_likelihood[label], sorted(seen))
        likelier = [(seen > value).mean() for value in expected[own]]
        np.testing.assert_allclose(found.outlier[own], likelier, atol=1e-12)
    assert found.best_class.tolist() == others.targets.tolist()


def test_outliers(prototypes):
    a, b = pair(prototypes, 3)
    x = [prototypes.means[3][a], [9.0, 0, 0], prototypes.means[3][b], MEANS[8][0]]
    found = prototypes.compare(rc.ConceptVectors("conv", x, [1, 2, 3, 4], [3, 3, 3, 3]))
    assert found.outlier[0] < 0.01
    assert found.outlier[1] == found.outlier[3] == 1
    assert found.outlier[0] < found.outlier[2] < 0.8  # a cluster that fewer vectors share is less likely
    assert found.best_class.tolist() == [3, 3, 3, 8]
    assert found.prototype.tolist()[:3:2] == [a, b]


def test_the_equally_likely_are_not_more_likely(prototypes):
    x = rc.ConceptVectors("conv", MEANS[3][:1], [1], [3])
    own = prototypes.compare(x).log_likelihood[0]
    for others, part in [([own - 1, own, own + 1], 1 / 3), ([own, own], 0), ([own + 1], 1)]:
        seen = dataclasses.replace(prototypes, log_likelihood={3: np.array(others)})
        assert seen.compare(x).outlier == pytest.approx(part)


def test_coverage_of_clusters_that_overlap(rng):
    pytest.importorskip("sklearn")
    x = np.concatenate([rng.normal(size=(60, 2)), 0.3 * rng.normal(size=(30, 2)) + [1.5, 0]])
    found = rc.Prototypes.fit(
        rc.ConceptVectors("conv", x, np.arange(90), np.zeros(90, dtype=int)), per_class=2
    )
    nearest = [min(range(2), key=lambda i: sum((row - found.means[0][i]) ** 2)) for row in x]
    assert found.coverage[0].tolist() == [nearest.count(0) / 90, nearest.count(1) / 90]
    assert abs(found.coverage[0] - found.weights[0]).max() > 0.01


def test_over_and_under_used_concepts(prototypes):
    a, b = pair(prototypes, 8)
    x = np.array([prototypes.means[8][a] + [0.5, -1, 0.25], prototypes.means[8][b] + [-1.0, -2, -0.5]])
    found = prototypes.compare(rc.ConceptVectors("conv", x, [0, 0], [8, 8]))
    assert found.prototype.tolist() == [a, b]
    np.testing.assert_allclose(found.difference, [[0.5, -1, 0.25], [-1, -2, -0.5]])
    concepts, amounts = found.over(2)
    assert concepts.tolist() == [[0, 2], [2, 0]]
    np.testing.assert_allclose(amounts, [[0.5, 0.25], [-0.5, -1]])
    concepts, amounts = found.under()
    assert concepts.tolist() == [[1, 2, 0], [1, 0, 2]]
    np.testing.assert_allclose(amounts, [[-1, 0.25, 0.5], [-2, -1, -0.5]])
    with pytest.raises(FeatureError, match="only 3 concepts"):
        found.over(4)


def test_the_same_seed_gives_the_same_prototypes(vectors, prototypes):
    again = rc.Prototypes.fit(vectors, per_class=2, seed=1)
    for label in (3, 8):
        assert again.means[label].tobytes() == prototypes.means[label].tobytes()
        assert (
            again.mixtures[label].covariances_.tobytes() == prototypes.mixtures[label].covariances_.tobytes()
        )
        assert again.samples[label].tolist() == prototypes.samples[label].tolist()
    with pytest.raises(ValueError, match="read-only"):
        again.means[3][0] = 0
    with pytest.raises(TypeError):
        again.means[4] = 0


def test_one_prototype_is_mean_and_covariance(vectors):
    pytest.importorskip("sklearn")
    found = rc.Prototypes.fit(vectors, per_class=1, regularization=0.25)
    own = vectors.vectors[vectors.targets == 3]
    np.testing.assert_allclose(found.means[3], [own.mean(axis=0)])
    expected = np.cov(own.T, bias=True) + 0.25 * np.eye(3)
    np.testing.assert_allclose(found.mixtures[3].covariances_[0], expected)
    assert found.coverage[3].tolist() == found.weights[3].tolist() == [1]


def test_too_few_vectors():
    pytest.importorskip("sklearn")
    x = np.array([[0.0, 0], [1, 0], [1, 0], [0, 0], [5, 5]])
    few = rc.ConceptVectors("conv", x, np.arange(5), [1, 1, 1, 1, 2])
    with pytest.raises(ParameterError, match="class 1 has 4 vectors, 2 of them different; 3 prototypes need"):
        rc.Prototypes.fit(few.take(few.targets == 1), per_class=3)
    with pytest.raises(ParameterError, match="class 2 has 1 vectors"):
        rc.Prototypes.fit(few, per_class=1)
    assert rc.Prototypes.fit(few.take([0, 1, 2, 3]), per_class=2).coverage[1].tolist() == [0.5, 0.5]


def test_errors(vectors, prototypes):
    for error, words, x in [
        (ParameterError, "vectors of layer 'fc', prototypes of 'conv'", ("fc", np.ones((1, 3)), [0], [3])),
        (ShapeError, "vectors of 2 concepts, prototypes of 3", ("conv", np.ones((1, 2)), [0], [3])),
        (ParameterError, "class 5 has no prototypes", ("conv", np.ones((2, 3)), [0, 1], [3, 5])),
        (ShapeError, "there are no vectors", ("conv", np.ones((0, 3)), np.arange(0), np.arange(0))),
        (ArrayTypeError, "exact fractions", ("conv", rc.exact(np.ones((1, 3))), [0], [3])),
    ]:
        with pytest.raises(error, match=words):
            prototypes.compare(rc.ConceptVectors(*x))
    with pytest.raises(ParameterError, match="expected concept vectors"):
        prototypes.compare(vectors.vectors)
    for words, arguments in [
        ("expected concept vectors", {"vectors": vectors.vectors}),
        ("per_class", {"per_class": 0}),
        ("seed", {"seed": -1}),
        ("regularization", {"regularization": -1}),
        ("there are no vectors", {"vectors": vectors.take(np.arange(0))}),
    ]:
        with pytest.raises(ParameterError, match=words):
            rc.Prototypes.fit(**({"vectors": vectors} | arguments))
    with pytest.raises(FeatureError, match="class 5 has no prototypes"):
        prototypes.draw(None, None, 5)


def test_without_scikit_learn(vectors, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    with pytest.raises(MissingDependencyError, match=r"refcrp\[prototypes\]"):
        rc.Prototypes.fit(vectors)
