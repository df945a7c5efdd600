"""Conditions that go down some at a time give the same bits, and nobody sees it but on a terminal."""

import sys
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refcrp as rc
from refcrp import batches
from refcrp.batches import LANES, MEMORY, condition_batches, with_progress
from refcrp.errors import ParameterError


def of_bytes(count):
    """An array that says how large it is without being there."""
    return np.broadcast_to(np.zeros((), np.uint8), count)


def size_of(outputs):
    """How many of very many conditions go down together."""
    (first, *_) = condition_batches(1000, outputs, None)
    return first.stop - first.start


@given(count=st.integers(0, 40), size=st.one_of(st.none(), st.integers(1, 50)))
def test_every_condition_is_in_one_batch(count, size):
    cut = list(condition_batches(count, [np.zeros(3)], size))
    assert [k for batch in cut for k in range(count)[batch]] == list(range(count))
    assert all(batch.stop - batch.start == size for batch in cut[:-1])
    assert all(batch.stop <= count for batch in cut)


def test_as_many_as_memory_is_meant_for():
    layer = MEMORY // 40
    assert size_of([of_bytes(layer)]) == 40 - 40 % LANES
    assert size_of([of_bytes(1), of_bytes(layer), of_bytes(layer // 2)]) == 40 - 40 % LANES
    assert size_of([of_bytes(MEMORY // LANES)]) == LANES
    assert size_of([of_bytes(MEMORY // (LANES - 1))]) == LANES - 1  # full vectors would be too large
    assert size_of([of_bytes(MEMORY)]) == size_of([of_bytes(10 * MEMORY)]) == 1
    assert size_of([of_bytes(0)]) == 1000


def test_any_integer_will_do():
    assert list(condition_batches(3, [], np.int64(2))) == [slice(0, 2), slice(2, 3)]


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "2", [2]])
def test_bad_batch_sizes(size, small_model, small_input):
    lrp = rc.LRP(small_model)
    for call in (
        lambda: condition_batches(3, [np.zeros(3)], size),
        lambda: lrp(small_input, batch_size=size),
        lambda: lrp(small_input, conditions=[{"y": [0]}, {"y": [1]}], batch_size=size),
        lambda: rc.CRP(lrp, 0, rc.TopNFeatures(2))(small_input, batch_size=size),
    ):
        with pytest.raises(ParameterError, match="batch_size: expected an integer >= 1"):
            call()


# Progress ---------------------------------------------------------------------------------------------------


def test_without_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert list(with_progress([1, 2, 3], "steps")) == [1, 2, 3]


def test_with_tqdm(monkeypatch):
    shown = []

    def tqdm(steps, **settings):
        shown.append((list(steps), settings))
        return steps

    fake = ModuleType("tqdm")
    fake.tqdm = tqdm
    monkeypatch.setitem(sys.modules, "tqdm", fake)
    assert list(with_progress([1, 2, 3], "steps")) == [1, 2, 3]
    ((steps, settings),) = shown
    assert steps == [1, 2, 3]
    assert settings["desc"] == "steps"
    assert settings["disable"] is None  # only on a terminal
    assert settings["delay"] == batches.PATIENCE
    assert list(with_progress([1], "steps")) == [1]  # nothing to wait for
    assert list(with_progress([], "steps")) == []
    assert len(shown) == 1


def test_the_real_tqdm_is_silent_where_there_is_no_terminal(capsys, monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(batches, "PATIENCE", 0.0)
    assert list(with_progress([1, 2, 3], "steps")) == [1, 2, 3]
    assert capsys.readouterr() == ("", "")


# The same bits ----------------------------------------------------------------------------------------------

RECORD = ["conv1", "maxpool1", "conv2", "dense1"]
CONDITIONS = {
    "same output": [{"conv2": [k % 6], "y": [1]} for k in range(18)],
    "other outputs": [{"y": [k % 3]} for k in range(18)],
    "several outputs": [{"y": [0, 1]}, {"y": [2]}, {"y": [1, 0]}, {"y": [2, 0, 1]}, {"y": [0, 0]}] * 3,
    "the highest output": [{"conv1": [k % 4]} for k in range(18)],
    "mixed": [
        {"conv2": [3], "y": [1]},
        {"y": [1]},
        {"conv1": [0]},
        {"conv1": [0, 2], "conv2": [1, 5]},
        {},
        {"dense1": [0, 1, 2], "y": [0, 2]},
        {"dense1": [], "y": [0]},
        {"conv2": [3], "y": [1]},
        {"dense2": [1]},
    ]
    * 2,
}


def model_of(dtype, request):
    return request.getfixturevalue("small_model").astype(dtype)


def assert_same_explanations(one, other):
    np.testing.assert_array_equal(one.relevance, other.relevance)
    assert list(one.relevances) == list(other.relevances)
    for name in one.relevances:
        np.testing.assert_array_equal(one.relevances[name], other.relevances[name])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("conditions", CONDITIONS.values(), ids=CONDITIONS)
def test_lrp_in_batches(conditions, dtype, small_input, request):
    lrp = rc.LRP(model_of(dtype, request), rc.EpsilonPlusFlat())
    x = small_input[:3].astype(dtype)
    whole = lrp(x, conditions=conditions, record=RECORD)
    assert whole.relevance.shape == (3 * len(conditions), 2, 8, 8)
    for size in 1, 2, 5, len(conditions) - 1, len(conditions), 1000:
        assert_same_explanations(lrp(x, conditions=conditions, record=RECORD, batch_size=size), whole)


@pytest.mark.parametrize("conditions", CONDITIONS.values(), ids=CONDITIONS)
def test_lrp_together_and_one_at_a_time(conditions, small_model, small_input):
    """A condition alone starts at a higher layer, where the others had more to share."""
    lrp, n = rc.LRP(small_model, rc.EpsilonPlusFlat()), len(small_input)
    whole = lrp(small_input, conditions=conditions, record=RECORD)
    for k, condition in enumerate(conditions):
        alone, part = lrp(small_input, conditions=[condition], record=RECORD), slice(n * k, n * (k + 1))
        np.testing.assert_array_equal(alone.selected[0], whole.selected[k])
        for one, all_of_them in (
            (alone.relevance, whole.relevance),
            *((alone.relevances[name], whole.relevances[name]) for name in RECORD),
        ):
            scale = np.abs(one).max(initial=0)
            np.testing.assert_allclose(all_of_them[part], one, rtol=1e-12, atol=1e-13 * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layer", ["conv1", "conv2", "dense1", "dense2"])
def test_crp_in_batches(layer, dtype, small_input, request):
    lrp = rc.LRP(model_of(dtype, request), rc.EpsilonPlus())
    x = small_input.astype(dtype)
    channels = lrp.model.shapes_for(x.shape[1:])[lrp.model.index(layer)][0]
    for features in rc.TopNFeatures(channels), rc.IndexedFeatures([k % channels for k in range(17)]):
        crp = rc.CRP(lrp, layer, features)
        whole = crp(x, record=RECORD)
        for size in 1, 2, len(features):
            some = crp(x, record=RECORD, batch_size=size)
            assert_same_explanations(some, whole)
            np.testing.assert_array_equal(some.features, whole.features)
            np.testing.assert_array_equal(some.feature_relevance, whole.feature_relevance)


def test_memory_decides_where_nobody_does(monkeypatch, small_model, small_input):
    lrp = rc.LRP(small_model, rc.EpsilonPlus())
    conditions, sizes = CONDITIONS["same output"], []
    whole = lrp(small_input, conditions=conditions)
    flow = rc.Trace.flow

    def counting(self, front, *stop, **settings):
        sizes.extend(len(R) for R in front.values())
        return flow(self, front, *stop, **settings)

    monkeypatch.setattr(rc.Trace, "flow", counting)
    largest = small_model[0].forward(small_input).nbytes  # conditions are on conv2; conv1 is larger
    monkeypatch.setattr(batches, "MEMORY", 7 * largest + 1)
    np.testing.assert_array_equal(lrp(small_input, conditions=conditions).relevance, whole.relevance)
    assert sizes == [1, 7, 7, 4]  # down to conv2 once for all


# Threads of an analyzer -------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, -1, 1.5, "x", True, [2]])
def test_bad_numbers_of_threads(threads, small_model):
    with pytest.raises(ParameterError, match="LRP: threads: expected an integer >= 1"):
        rc.LRP(small_model, threads=threads)


def test_numbers_do_not_depend_on_threads(lenet5, digits):
    """Without making threads eager: some layers of 32 digits are worth one, others are not."""
    x, conditions = digits[0][:32], [{"y": [k]} for k in range(10)]
    for composite in rc.EpsilonPlusFlat(), rc.EpsilonGammaBox(0, 1):
        one, two = (rc.LRP(lenet5, composite, threads=n) for n in (1, 2))
        assert rc.CRP(two, "conv2", rc.TopNFeatures(2)).threads == two.threads == 2
        np.testing.assert_array_equal(one(x).relevance, two(x).relevance)
        some = x[:8]
        np.testing.assert_array_equal(
            one(some, conditions=conditions).relevance, two(some, conditions=conditions).relevance
        )
        a, b = (rc.CRP(lrp, 0, rc.TopNFeatures(3))(some) for lrp in (one, two))
        np.testing.assert_array_equal(a.relevance, b.relevance)


def test_threads_hold_while_the_analyzer_runs(monkeypatch, small_model, small_input):
    seen, default = [], rc.show_config().threads
    lrp = rc.LRP(small_model, threads=default + 3)
    trace = type(lrp).trace
    monkeypatch.setattr(type(lrp), "trace", lambda *a: seen.append(rc.show_config().threads) or trace(*a))
    lrp(small_input)
    rc.CRP(lrp, 0, rc.TopNFeatures(1))(small_input)
    rc.LRP(small_model)(small_input)
    assert seen == [default + 3, default + 3, default]
    assert rc.show_config().threads == default
