"""Reference samples, against explaining sample by sample and sorting."""

import functools
import itertools

import numpy as np
import pytest
import reference_nets as nets
from hypothesis import given, settings
from hypothesis import strategies as st

import refcrp as rc
from refcrp import errors
from refcrp.concepts.scoring import chunk_size

LAYERS = ["first", "second"]
COUNT = 23


@pytest.fixture(scope="module")
def data():
    return nets.small_data(COUNT)


@pytest.fixture(scope="module")
def refs(data):
    return rc.ReferenceSamples.collect(nets.small_lrp(), data, LAYERS, n=5)


@functools.cache
def explained_alone(lrp, i, target):
    return lrp(nets.small_data(COUNT)[0][i : i + 1], output=target, record=LAYERS)


def brute_force(lrp, x, targets, layer, concept, *, by, over, label=None, n=5, abs_norm=False):
    """The best (score, sample, target, position), each sample explained alone, in plain Python."""
    found = {}
    for i in range(len(x)):
        for target in sorted(targets[i]):
            if label is not None and target != label:
                continue
            e = explained_alone(lrp, i, target)
            values = (e.relevances if by == "relevance" else e.activations)[layer][0]
            channels = [[float(v) for v in channel.ravel()] for channel in values]
            reduced = [sum(c) if over == "sum" else max(c) for c in channels]
            score = reduced[concept]
            if abs_norm:
                score /= sum(abs(s) for s in reduced) + 1e-10
            position = channels[concept].index(max(channels[concept]))
            key = (i, target) if by == "relevance" else i
            if key not in found:
                found[key] = (-score, i, target, position)
    return [(-s, i, t, p) for s, i, t, p in sorted(found.values())[:n]]


def check_top(top, expected):
    assert top.samples.tolist() == [i for _, i, _, _ in expected]
    assert top.targets.tolist() == [t for _, _, t, _ in expected]
    assert top.positions.tolist() == [p for *_, p in expected]
    np.testing.assert_allclose(top.scores, [s for s, *_ in expected], rtol=1e-9, atol=1e-12)
    assert len(top) == len(expected)


@pytest.mark.parametrize("by", ["relevance", "activation"])
@pytest.mark.parametrize("over", ["sum", "max"])
@pytest.mark.parametrize("label", [None, 2])
def test_top_is_what_brute_force_finds(refs, data, by, over, label):
    x, y = data
    lrp = nets.small_lrp()
    for layer, channels in (("first", 3), ("second", 5)):
        for channel in range(channels):
            expected = brute_force(lrp, x, [[t] for t in y], layer, channel, by=by, over=over, label=label)
            check_top(refs.top(layer, channel, by, over=over, label=label), expected)


@pytest.mark.parametrize("per_class", [True, False])
@pytest.mark.parametrize("by", ["relevance", "activation"])
def test_several_targets_and_abs_norm(data, by, per_class):
    x = data[0][:9]
    targets = [[0], [1, 3], [], [2, 0, 1], [3], [1, 0], [2], [3, 2], [0, 1, 2]]
    lrp = nets.small_lrp(dialect="zennit-crp")
    got = rc.ReferenceSamples.collect(
        lrp, x, ["second"], n=4, targets=targets, abs_norm=True, per_class=per_class
    )
    for channel in range(5):
        for over in ("sum", "max"):
            how = {"by": by, "over": over, "n": 4, "abs_norm": True}
            check_top(
                got.top("second", channel, by, over=over),
                brute_force(lrp, x, targets, "second", channel, **how),
            )
            if per_class:
                check_top(
                    got.top("second", channel, by, over=over, label=1),
                    brute_force(lrp, x, targets, "second", channel, label=1, **how),
                )
    assert got.counts.tolist() == [4, 4, 4, 3]
    assert got.complete


def test_targets_by_prediction_and_by_function(data):
    x, y = data
    lrp = nets.small_lrp()
    output = lrp.model.forward(x)
    found = rc.ReferenceSamples.collect(lrp, x, ["second"], n=3, targets="prediction")
    given_one = rc.ReferenceSamples.collect(lrp, x, ["second"], n=3, targets=output.argmax(1))
    assert nets.same_bits(found, given_one)

    def two_highest(scores, label):
        assert label in range(nets.CLASSES)
        return np.argsort(-scores)[:2]

    both = rc.ReferenceSamples.collect(lrp, (x, y), ["second"], n=3, targets=two_highest, max_targets=2)
    assert both.contents.targets.tolist() == np.argsort(-output, axis=1)[:, :2].tolist()


def test_equal_scores_go_to_the_lower_sample(data):
    """With whole numbers for weights and pixels nothing is rounded, and equal is equal."""
    from refcrp import layers as L

    x = np.zeros((9, 1, 2, 2))
    x[[2, 5, 6, 8]] = 3.0
    x[4] = 7.0
    model = rc.Sequential([L.Conv2d(np.ones((1, 1, 2, 2)), np.zeros(1), name="c"), L.Flatten()])
    refs = rc.ReferenceSamples.collect(rc.LRP(model), (x, np.zeros(9, int)), "c", n=4, batch_size=2)
    assert refs.top("c", 0, "activation").samples.tolist() == [4, 2, 5, 6]


def test_classes_are_ranked_by_the_mean_of_their_best(refs, data):
    labels, means = refs.classes("second", 2, n=3)
    expected = {t: refs.top("second", 2, label=t).scores.mean() for t in range(nets.CLASSES)}
    ranked = sorted(expected, key=lambda t: -expected[t])[:3]
    assert labels.tolist() == ranked
    np.testing.assert_allclose(means, [expected[t] for t in ranked])
    assert refs.labels.tolist() == sorted(set(data[1].tolist()))
    assert refs.counts.tolist() == np.bincount(data[1], minlength=nets.CLASSES).tolist()


def test_where_there_are_fewer_samples_all_are_given(data):
    refs = rc.ReferenceSamples.collect(nets.small_lrp(), data, "first", n=COUNT + 9)
    assert sorted(refs.top("first", 1).samples) == list(range(COUNT))
    for label, count in enumerate(refs.counts):
        top = refs.top("first", 1, "activation", label=label)
        assert len(top) == len(top.samples) == len(top.scores) == count
        assert np.isfinite(top.scores).all()
        assert (data[1][top.samples] == label).all()


def test_own_concepts(data):
    concept = rc.NeuronConcept()
    refs = rc.ReferenceSamples.collect(nets.small_lrp(), data, LAYERS, n=3, concepts={"second": concept})
    assert refs.table("second").shape[2] == 5 * 4
    e = nets.small_lrp()(data[0], output=data[1], record=["second"])
    top = refs.top("second", concept.index(2, 3, 4), n=1)
    R = e.relevances["second"][:, 2, 1, 1]
    assert top.samples[0] == np.argmax(R)
    assert top.positions[0] == 3


# The same bits, however the work is cut ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def rounded():
    """The whole, in float32, where the order of additions shows."""
    return rc.ReferenceSamples.collect(
        nets.small_lrp(np.float32), nets.small_data(COUNT, np.float32), LAYERS, n=4
    )


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, COUNT), max_size=4), st.integers(1, COUNT + 2), st.booleans(), st.randoms())
def test_shards_and_batch_sizes_make_no_difference(rounded, cuts, batch_size, overlap, rng):
    data = nets.small_data(COUNT, np.float32)
    edges = [0, *sorted(cuts), COUNT]
    shards = list(itertools.pairwise(edges))
    if overlap:
        shards.append((0, COUNT // 2))
    parts = [
        rc.ReferenceSamples.collect(
            nets.small_lrp(np.float32), data, LAYERS, n=4, shard=shard, batch_size=batch_size
        )
        for shard in shards
    ]
    while len(parts) > 1:
        rng.shuffle(parts)
        parts.append(parts.pop().merge(parts.pop()))
    assert nets.same_bits(parts[0], rounded)


def test_float32_lenet_in_batches_of_any_size():
    """Where a product of matrices does depend on its number of rows."""
    x, y = rc.load_digits()
    lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlus())
    whole = rc.ReferenceSamples.collect(lrp, (x, y), ["conv1", "conv2"], n=10)
    for batch_size in (9, 64):
        cut = rc.ReferenceSamples.collect(lrp, (x, y), ["conv1", "conv2"], n=10, batch_size=batch_size)
        assert nets.same_bits(whole, cut)


def test_threads_make_no_difference(rounded):
    for threads in (1, 2):
        lrp = nets.small_lrp(np.float32, threads=threads)
        again = rc.ReferenceSamples.collect(lrp, nets.small_data(COUNT, np.float32), LAYERS, n=4)
        assert nets.same_bits(again, rounded)


def test_chunks_fit_into_memory():
    small = nets.small_model()
    assert chunk_size(small, (1, 8, 8)) == 128
    from refcrp import layers as L

    wide = rc.Sequential([L.Conv2d(np.ones((64, 3, 3, 3)), np.zeros(64), padding=1)])
    size = chunk_size(wide, (3, 512, 512))
    assert size * 67 * 512 * 512 * 8 <= 2**28
    assert size == 1


# Files ------------------------------------------------------------------------------------------------------


def test_a_file_is_continued_and_read(tmp_path, refs, data):
    path = tmp_path / "refs.h5"
    lrp = nets.small_lrp()
    part = rc.ReferenceSamples.collect(lrp, data, LAYERS, path, n=5, shard=(4, 11), batch_size=3)
    assert (part.explained, part.complete) == (7, False)
    assert "7 samples, 23 in all" in repr(part)
    whole = rc.ReferenceSamples.collect(lrp, data, LAYERS, path, n=5, batch_size=4)
    assert whole.complete
    assert nets.same_bits(whole, refs)
    before = path.read_bytes()
    again = rc.ReferenceSamples.collect(lrp, data, LAYERS, path, n=5)
    assert nets.same_bits(rc.ReferenceSamples.open(path), again)
    assert path.read_bytes() == before


def test_shards_in_files_are_merged_into_a_file(tmp_path, refs, data):
    lrp = nets.small_lrp()
    parts = [
        rc.ReferenceSamples.collect(lrp, data, LAYERS, tmp_path / f"{k}.h5", n=5, shard=shard)
        for k, shard in enumerate([(0, 9), (9, 23)])
    ]
    merged = parts[1].merge(parts[0], tmp_path / "merged.h5")
    assert nets.same_bits(merged, refs)
    assert nets.same_bits(rc.ReferenceSamples.open(tmp_path / "merged.h5"), refs)
    with pytest.raises(errors.ReferenceFileError, match="already"):
        parts[0].merge(parts[1], tmp_path / "merged.h5")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"n": 6}, "n: 5 there, 6 here"),
        ({"layers": ["first"]}, "layers/second"),
        ({"targets": "prediction"}, "targets: 'label' there"),
        ({"abs_norm": True}, "abs_norm: False there, True here"),
        ({"per_class": False}, "per_class"),
        ({"concepts": {"first": rc.NeuronConcept()}}, "layers/first/class"),
        ({"lrp": rc.LRP(nets.small_model(seed=5), rc.EpsilonPlus())}, "model/first/weight"),
        ({"lrp": rc.LRP(nets.small_model(), rc.EpsilonPlusFlat())}, "rules/first/class"),
        ({"lrp": nets.small_lrp(dialect="zennit-crp")}, "dialect/name"),
        ({"lrp": nets.small_lrp(normalize_output_relevance=False)}, "relevance starts at one"),
        ({"data": nets.small_data(22)}, "data/samples: 23 there, 22 here"),
        ({"data": nets.small_data(COUNT, seed=9)}, "data/some of them"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_made_otherwise_is_not_continued(tmp_path, data, change, named):
    asked = {"lrp": nets.small_lrp(), "data": data, "layers": LAYERS, "n": 5}
    path = tmp_path / "refs.h5"
    first = rc.ReferenceSamples.collect(**asked, path=path)
    before = path.read_bytes()
    with pytest.raises(errors.ReferenceFileError) as caught:
        rc.ReferenceSamples.collect(**asked | change, path=path)
    assert named in str(caught.value)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    with pytest.raises(errors.ReferenceFileError, match="settings"):
        first.merge(rc.ReferenceSamples.collect(**asked | change))


# What is asked wrongly --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"layers": ["third"]}, errors.UnknownLayerError),
        ({"layers": []}, errors.ParameterError),
        ({"layers": ["first", 0]}, errors.ParameterError),
        ({"n": 0}, errors.ParameterError),
        ({"batch_size": 0}, errors.ParameterError),
        ({"workers": 0}, errors.ParameterError),
        ({"workers": 1, "client": object()}, errors.ParameterError),
        ({"shard": (3, 24)}, errors.ParameterError),
        ({"shard": (3, 2)}, errors.ParameterError),
        ({"targets": "labels"}, errors.ParameterError),
        ({"targets": 3}, errors.ParameterError),
        ({"targets": [0, 1]}, errors.ShapeError),
        ({"targets": [nets.CLASSES] * COUNT}, errors.FeatureError),
        ({"targets": lambda output, label: [0, 0], "max_targets": 2}, errors.ParameterError),
        ({"targets": lambda output, label: [0, 1]}, errors.ParameterError),
        ({"targets": lambda output, label: "cat"}, errors.ParameterError),
        ({"concepts": {"pool": rc.ChannelConcept()}}, errors.ParameterError),
        ({"concepts": {"first": "channel"}}, errors.ParameterError),
        ({"lrp": nets.small_model()}, errors.ParameterError),
        ({"data": nets.small_data(COUNT)[0]}, errors.ParameterError),
        ({"data": nets.small_data(0)}, errors.ShapeError),
        ({"data": (nets.small_data(COUNT)[0], [1, 2])}, errors.ShapeError),
        ({"data": 3}, errors.ParameterError),
    ],
)
def test_wrong_arguments(data, change, error):
    asked = {"lrp": nets.small_lrp(), "data": data, "layers": LAYERS, "n": 5}
    with pytest.raises(error):
        rc.ReferenceSamples.collect(**asked | change)


def test_wrong_questions(refs, data):
    with pytest.raises(errors.UnknownLayerError, match="did you mean 'second'"):
        refs.top("secnd", 0)
    assert refs.top(2, 0).samples.tolist() == refs.top("second", 0).samples.tolist()
    for layer in (1, 9, None):
        with pytest.raises(errors.UnknownLayerError, match="first, second"):
            refs.top(layer, 0)
    for wrong in ({"channel": 5}, {"channel": 0, "label": 4}):
        with pytest.raises(errors.FeatureError):
            refs.top("second", **wrong)
    for wrong in ({"n": 6}, {"by": "gradient"}, {"over": "mean"}):
        with pytest.raises(errors.ParameterError):
            refs.top("second", 0, **wrong)
    alone = rc.ReferenceSamples.collect(nets.small_lrp(), data, "first", n=2, per_class=False)
    with pytest.raises(errors.ParameterError, match="per_class=False"):
        alone.top("first", 0, label=1)


class WrongConcept(rc.Concept):
    def per_position(self, values):
        return values.reshape(*values.shape[:2], -1)[:3]

    def restrict(self, R, concepts):
        raise NotImplementedError


def test_a_concept_that_gives_something_else_is_named(data):
    model = nets.small_lrp()
    with pytest.raises(errors.ShapeError, match="WrongConcept"):
        rc.ReferenceSamples.collect(model, data, ["pool"], concepts={"pool": WrongConcept()})
