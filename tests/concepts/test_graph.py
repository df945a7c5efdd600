"""Attribution graphs, by hand with fractions, and against conditional relevance from `LRP`."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import FeatureError, ParameterError, ShapeError, UnknownLayerError

F = Fraction
EPS = 1e-7  # the stabilizer moves results by less


def dense(weight, bias=None, **settings):
    return L.Dense(np.array(weight, float), None if bias is None else np.array(bias, float), **settings)


# x = (1, 2): z = (1, 2), a = (1, 2, 3), b = (6, 3), y = 12.
CHAIN = rc.Sequential(
    [
        dense([[1, 0], [0, 1]], name="z"),
        dense([[1, 0], [0, 1], [1, 1]], name="a"),
        dense([[1, 1, 1], [2, -1, 1]], name="b"),
        dense([[1, 2]], name="out"),
    ]
)
# x = (1, 2): stem = (1, 2), body = (18, 25), sum = (19, 27), y = 19.
RESIDUAL = rc.Sequential(
    [
        dense([[1, 0], [0, 1]], name="stem"),
        rc.Residual([dense([[3, 4], [5, 6]], [7, 8], activation="relu", name="dense")], name="block"),
        dense([[1, 0]], name="out"),
    ]
)
X = np.array([[1.0, 2]])


def exactly(model):
    return rc.LRP(model, dtype=object)


def edges_of(graph):
    return {(*edge.source, *edge.target): (edge.relevance, edge.share) for edge in graph.edges}


def nodes_of(graph):
    return {node.key: (node.relevance, node.level) for node in graph.nodes}


def approx(values):
    return {key: pytest.approx(tuple(map(float, numbers)), abs=EPS) for key, numbers in values.items()}


def floats(values):
    return {key: tuple(map(float, numbers)) for key, numbers in values.items()}


def check(graph, nodes, edges):
    assert floats(nodes_of(graph)) == approx(nodes)
    assert floats(edges_of(graph)) == approx(edges)
    assert all(isinstance(edge.relevance, Fraction) for edge in graph.edges)


def test_a_chain_by_hand():
    """Of b = (1 + 2 + 3, 2 - 2 + 3), each with half of the relevance, the first gives a (1, 2, 3)/12, the
    second (2, -2, 3)/6."""
    graph = rc.attribution_graph(exactly(CHAIN), X, width=(2, 2))
    check(
        graph,
        {
            ("y", 0): (1, 0),
            ("b", 0): (F(1, 2), 1),
            ("b", 1): (F(1, 2), 1),
            ("a", 2): (F(3, 4), 2),
            ("a", 1): (F(1, 6), 2),
            ("a", 0): (F(1, 3), 2),
        },
        {
            ("y", 0, "b", 0): (F(1, 2), F(1, 2)),
            ("y", 0, "b", 1): (F(1, 2), F(1, 2)),
            ("b", 0, "a", 2): (F(1, 4), F(1, 2)),
            ("b", 0, "a", 1): (F(1, 6), F(1, 3)),
            ("b", 1, "a", 2): (F(1, 2), F(3, 7)),
            ("b", 1, "a", 0): (F(1, 3), F(2, 7)),
        },
    )
    assert graph.root == graph.nodes[0]
    assert [node.key for node in graph.nodes][3:] == [("a", 2), ("a", 0), ("a", 1)]  # highest first
    assert graph.output == 0


def test_negative_relevance_comes_last():
    graph = rc.attribution_graph(exactly(CHAIN), X, width=(2, 3))
    assert [edge.target for edge in graph.edges if edge.source == ("b", 1)] == [("a", 2), ("a", 0), ("a", 1)]
    relevance, share = edges_of(graph)["b", 1, "a", 1]
    assert (float(relevance), float(share)) == pytest.approx((-1 / 3, -2 / 7), abs=EPS)
    assert float(nodes_of(graph)["a", 1][0]) == pytest.approx(1 / 6 - 1 / 3, abs=EPS)


@pytest.mark.parametrize(("along_path", "R_a"), [(True, F(1, 4)), (False, F(3, 4))])
def test_what_conditions_hold_below_the_second_level(along_path, R_a):
    """a[2] has 1/4 from b[0], which is in the graph, and 1/2 from b[1], which is not.

    Of all a = (5/12, -1/6, 3/4), the neurons of z have 5/12 + 1/4 and -1/6 + 1/2.
    """
    graph = rc.attribution_graph(exactly(CHAIN), X, width=(1, 1, 2), along_path=along_path)
    check(
        graph,
        {
            ("y", 0): (1, 0),
            ("b", 0): (F(1, 2), 1),
            ("a", 2): (R_a, 2),
            ("z", 0): (R_a / 3 if along_path else F(2, 3), 3),
            ("z", 1): (R_a * 2 / 3 if along_path else F(1, 3), 3),
        },
        {
            ("y", 0, "b", 0): (F(1, 2), F(1, 2)),
            ("b", 0, "a", 2): (F(1, 4), F(1, 2)),
            ("a", 2, "z", 1): (R_a * 2 / 3, F(2, 3)),
            ("a", 2, "z", 0): (R_a / 3, F(1, 3)),
        },
    )


def test_a_residual_block_by_hand():
    """1/19 comes around the block; of its 18/19 go 3 and 8 parts of 18 to the stem, and 7 to the bias."""
    graph = rc.attribution_graph(exactly(RESIDUAL), X, width=(2, 2))
    check(
        graph,
        {
            ("y", 0): (1, 0),
            ("block.body.dense", 0): (F(18, 19), 1),
            ("stem", 0): (F(4, 19), 1),  # reached twice: around the block, and through it
            ("stem", 1): (F(8, 19), 2),
        },
        {
            ("y", 0, "block.body.dense", 0): (F(18, 19), 1),
            ("y", 0, "stem", 0): (F(1, 19), 1),
            ("block.body.dense", 0, "stem", 0): (F(3, 19), F(3, 11)),
            ("block.body.dense", 0, "stem", 1): (F(8, 19), F(8, 11)),
        },
    )
    first = rc.attribution_graph(exactly(RESIDUAL), X, width=(2,))
    assert float(nodes_of(first)["stem", 0][0]) == pytest.approx(1 / 19, abs=EPS)
    given_root = rc.attribution_graph(exactly(RESIDUAL), X, width=(2,), along_path=False)
    assert float(nodes_of(given_root)["stem", 0][0]) == pytest.approx(4 / 19, abs=EPS)


@pytest.fixture
def network(rng):
    """An inception-like and a residual block, without biases: no relevance is lost above the stem."""

    def conv(outputs, inputs, kernel, name):
        return L.Conv2d(rng.normal(size=(outputs, inputs, kernel, kernel)), padding=kernel // 2, name=name)

    return rc.Sequential(
        [
            conv(3, 2, 3, "stem"),
            L.ReLU(),
            rc.Parallel(
                [conv(2, 3, 1, "reduce"), L.ReLU(), conv(3, 2, 3, "conv")],
                [conv(2, 3, 1, "one")],
                [L.MaxPool(3, 1, 1)],
                name="mix",
            ),
            L.ReLU(),
            rc.Residual([conv(4, 8, 3, "a"), L.ReLU(), conv(8, 4, 3, "b")], name="block"),
            L.GlobalAvgPool(),
            L.Flatten(),
            dense(rng.normal(size=(3, 8)), name="head"),
        ],
        input_shape=(2, 6, 6),
    )


def test_input_layers_are_the_nearest_on_any_path(network, rng):
    graph = rc.attribution_graph(rc.LRP(network), rng.normal(size=(1, 2, 6, 6)), width=(9, 9, 9, 9, 9))
    below = {}
    for edge in graph.edges:
        below.setdefault(edge.source[0], set()).add(edge.target[0])
    mix = {"mix.0.conv", "mix.1.one", "stem"}
    assert below == {
        "y": {"block.body.b"} | mix,
        "block.body.b": {"block.body.a"},
        "block.body.a": mix,
        "mix.0.conv": {"mix.0.reduce"},
        "mix.0.reduce": {"stem"},
        "mix.1.one": {"stem"},
    }


def test_with_every_channel_nothing_is_lost_and_nothing_counts_twice(network, rng):
    graph = rc.attribution_graph(
        rc.LRP(network, dtype="longdouble"), rng.normal(size=(1, 2, 6, 6)), width=(9, 9, 9, 9, 9)
    )
    for node in graph.nodes:
        given = sum(edge.relevance for edge in graph.edges if edge.source == node.key)
        received = sum(edge.relevance for edge in graph.edges if edge.target == node.key)
        if node.layer != "stem":
            assert given == pytest.approx(node.relevance, abs=1e-6)
        if node != graph.root:
            assert received == pytest.approx(node.relevance, abs=1e-12)
    stem = sum(node.relevance for node in graph.nodes if node.layer == "stem")
    assert stem == pytest.approx(graph.root.relevance, abs=1e-6)
    for edge in graph.edges:
        layer = [e for e in graph.edges if e.source == edge.source and e.target[0] == edge.target[0]]
        whole = sum(abs(e.relevance) for e in layer)
        assert edge.share == pytest.approx(edge.relevance / whole, rel=1e-9)


def paths_to(graph, key):
    """All ways from the root to a node."""
    if key == graph.root.key:
        return [[key]]
    return [[*path, key] for e in graph.edges if e.target == key for path in paths_to(graph, e.source)]


def test_edges_are_conditional_relevance_summed_over_paths(small_model, small_input):
    """Each path on its own, by `conditions=`, against the graph, where channels reached twice are one."""
    lrp, x = rc.LRP(small_model, rc.EpsilonPlus()), small_input[:1]
    graph = rc.attribution_graph(lrp, x, 1, width=(3, 3, 2))
    assert {node.layer for node in graph.nodes} == {"y", "dense1", "conv2", "conv1"}
    for edge in graph.edges:
        conditions = [{name: [c] for name, c in path} for path in paths_to(graph, edge.source)]
        e = lrp(x, conditions=conditions, record=edge.target[0])
        R = e.relevances[edge.target[0]].sum(axis=0)
        R_channels = R.reshape(len(R), -1).sum(axis=1)
        assert edge.relevance == pytest.approx(R_channels[edge.target[1]], rel=1e-9)
        assert edge.share == pytest.approx(R_channels[edge.target[1]] / np.abs(R_channels).sum(), rel=1e-9)
    sources = {edge.source for edge in graph.edges}
    assert any(len(paths_to(graph, key)) > 1 for key in sources)


def test_children_are_those_with_most_relevance(small_model, small_input):
    lrp, x = rc.LRP(small_model), small_input[:1]
    graph = rc.attribution_graph(lrp, x, 1, layer="conv2", channel=2, width=(3,))
    e = lrp(x, conditions=[{"conv2": [2], "y": [1]}], record="conv1")
    ranked = sorted(enumerate(e.relevances["conv1"][0].sum(axis=(1, 2))), key=lambda pair: -pair[1])
    assert [edge.target for edge in graph.edges] == [("conv1", c) for c, _ in ranked[:3]]
    assert [a.relevance >= b.relevance for a, b in pairwise(graph.edges)] == [True, True]


def test_heatmaps_are_conditional_heatmaps(lenet5, digits):
    lrp, x = rc.LRP(lenet5, rc.EpsilonPlusFlat(), dtype="float64"), digits[0][:1]
    graph = rc.attribution_graph(lrp, x, 0, layer="conv2", channel=3, width=(4, 2))
    maps = graph.heatmaps()
    children = [node.key for node in graph.nodes[1:]]
    conditions = [{"conv2": [3], "y": [0]}] + [{"conv2": [3], name: [c], "y": [0]} for name, c in children]
    expected = lrp(x, conditions=conditions).relevance
    np.testing.assert_allclose(maps, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    assert len(children) == 4


def test_heatmaps_of_an_output_neuron_that_is_reached_by_all(network, rng):
    x = rng.normal(size=(1, 2, 6, 6))
    lrp = rc.LRP(network)
    graph = rc.attribution_graph(lrp, x, 2, width=(2, 2))
    maps = graph.heatmaps()
    assert maps.shape == (len(graph.nodes), 2, 6, 6)
    np.testing.assert_allclose(maps[0], lrp(x, output=2).relevance[0])


def test_some_channels_at_a_time_give_the_same(small_model, small_input, monkeypatch):
    def graph():
        return rc.attribution_graph(rc.LRP(small_model), small_input[:1], width=(5, 6, 4))

    at_once, maps = graph(), graph().heatmaps()
    monkeypatch.setattr("refcrp.batches.MEMORY", 1)
    one_by_one = graph()
    assert [node.key for node in at_once.nodes] == [node.key for node in one_by_one.nodes]
    for a, b in zip(at_once.edges, one_by_one.edges, strict=True):
        assert (a.source, a.target) == (b.source, b.target)
        assert a.relevance == pytest.approx(b.relevance, rel=1e-9)
    np.testing.assert_allclose(one_by_one.heatmaps(), maps, rtol=1e-7, atol=1e-9)


def test_layers_that_hold_concepts(lenet5, digits):
    lrp, x = rc.LRP(lenet5), digits[0][:1]

    def seen(**settings):
        return [node.layer for node in rc.attribution_graph(lrp, x, width=(1, 1, 1, 1, 1), **settings).nodes]

    assert seen() == ["y", "dense2", "dense1", "conv2", "conv1"]
    assert seen(layers=["conv1", "pool2"]) == ["y", "pool2", "conv1"]
    assert seen(layers=[0]) == ["y", "conv1"]
    assert seen(layers=[]) == ["y"]
    assert seen(layer="dense3", channel=0) == ["dense3", "dense2", "dense1", "conv2", "conv1"]
    assert seen(layer="dense3", channel=4) == ["dense3"]  # no relevance: it starts at output 0
    assert seen(layer=1, channel=0) == ["pool1", "conv1"]
    assert seen(layer="conv1", channel=0) == ["conv1"]


def test_the_output_is_the_highest_unless_it_is_given(lenet5, digits):
    x, labels = digits
    lrp = rc.LRP(lenet5)
    assert rc.attribution_graph(lrp, x[:1]).root.key == ("y", labels[0])
    assert rc.attribution_graph(lrp, x[:1], 7).root.key == ("y", 7)
    seeded = rc.attribution_graph(lrp, x[:1], 7, normalize_output_relevance=False)
    assert seeded.root.relevance == lenet5.forward(x[:1])[0, 7]
    assert seeded.output == 7


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"layer": "conv2"}, ParameterError, "give both or none"),
        ({"channel": 3}, ParameterError, "give both or none"),
        ({"layer": "conv3", "channel": 3}, UnknownLayerError, "conv3"),
        ({"layer": "conv2", "channel": 16}, FeatureError, "no channel 16: layer 'conv2' has 16"),
        ({"layer": "conv2", "channel": -1}, ParameterError, "-1"),
        ({"output": 10}, FeatureError, "no output neuron 10"),
        ({"output": [1, 2]}, ShapeError, "2 indices for 1"),
        ({"width": ()}, ParameterError, "width"),
        ({"width": 4}, ParameterError, "width"),
        ({"width": "42"}, ParameterError, "width"),
        ({"width": (4, 0)}, ParameterError, "width"),
        ({"layers": ["conv1", "dense3"]}, ParameterError, "last layer"),
        ({"layers": ["conv9"]}, UnknownLayerError, "conv9"),
        ({"along_path": "no"}, ParameterError, "along_path"),
    ],
)
def test_wrong_settings(settings, error, message, lenet5, digits):
    with pytest.raises(error, match=message):
        rc.attribution_graph(rc.LRP(lenet5), digits[0][:1], **settings)


@pytest.mark.parametrize("samples", [0, 2])
def test_exactly_one_sample(samples, lenet5, digits):
    message = rf"expected one sample \(1, ...\), got shape \({samples}, 1, 28, 28\)"
    with pytest.raises(ShapeError, match=message):
        rc.attribution_graph(rc.LRP(lenet5), digits[0][:samples])


def test_an_analyzer_is_needed(lenet5, digits):
    with pytest.raises(ParameterError, match="LRP analyzer"):
        rc.attribution_graph(lenet5, digits[0][:1])
