"""Attribution graphs as JSON, DOT, GraphML and pictures."""

import json
import re
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import MissingDependencyError, ParameterError, ShapeError

NASTY = 'say "a\\b": <&> é [1]\\'
XML = "{http://graphml.graphdrawing.org/xmlns}"


def named(name):
    weights = np.array([[1.0, 2], [3, -1]]), np.array([[1.0, 1]])
    return rc.Sequential([L.Dense(weights[0], name=name), L.Dense(weights[1], name="out")])


@pytest.fixture(params=["hidden", NASTY])
def graph(request):
    """y -> hidden[0] with 3 of 5, and hidden[1] with 2 of 5; x = (1, 1)."""
    return rc.attribution_graph(rc.LRP(named(request.param)), np.ones((1, 2)))


@pytest.fixture(scope="module")
def digit_graph():
    x, _ = rc.load_digits()
    lrp = rc.LRP(rc.load_model("lenet5"), rc.EpsilonPlusFlat())
    return rc.attribution_graph(lrp, x[:1], width=(3, 2), layers=["conv1", "conv2"])


def test_json(graph):
    name = graph.nodes[1].layer
    document = json.loads(graph.to_json())
    assert document["directed"] is True
    assert document["multigraph"] is False
    assert document["graph"] == {"output": 0}
    nodes = {node.pop("id"): node for node in document["nodes"]}
    assert nodes == {
        "y:0": {"layer": "y", "channel": 0, "relevance": 1.0, "level": 0},
        f"{name}:0": {"layer": name, "channel": 0, "relevance": pytest.approx(3 / 5), "level": 1},
        f"{name}:1": {"layer": name, "channel": 1, "relevance": pytest.approx(2 / 5), "level": 1},
    }
    edges = {
        (edge["source"], edge["target"]): (edge["relevance"], edge["share"]) for edge in document["edges"]
    }
    assert edges == {
        ("y:0", f"{name}:0"): pytest.approx((3 / 5, 3 / 5)),
        ("y:0", f"{name}:1"): pytest.approx((2 / 5, 2 / 5)),
    }


def test_graphml(graph):
    root = ElementTree.fromstring(graph.to_graphml().encode())
    keys = {key.get("id"): (key.get("attr.name"), key.get("attr.type")) for key in root.iter(f"{XML}key")}
    assert len(keys) == len(list(root.iter(f"{XML}key")))

    def values(element):
        kinds = {"string": str, "int": int, "double": float}
        found = [(*keys[data.get("key")], data.text) for data in element.findall(f"{XML}data")]
        return {name: kinds[kind](text) for name, kind, text in found}

    body = root.find(f"{XML}graph")
    assert body.get("edgedefault") == "directed"
    assert values(body) == {"output": 0}
    assert {node.get("id"): values(node) for node in body.findall(f"{XML}node")} == {
        f"{node.layer}:{node.channel}": {
            "layer": node.layer,
            "channel": node.channel,
            "relevance": node.relevance,
            "level": node.level,
        }
        for node in graph.nodes
    }
    assert [
        (edge.get("source"), edge.get("target"), values(edge)) for edge in body.findall(f"{XML}edge")
    ] == [
        (
            ":".join(map(str, edge.source)),
            ":".join(map(str, edge.target)),
            {"relevance": edge.relevance, "share": edge.share},
        )
        for edge in graph.edges
    ]


QUOTED = r'"((?:[^"\\\n]|\\.)*)"'


def test_dot(graph):
    """Every line is a statement whose strings end where they should, and name the graph's own nodes."""
    first, _, *lines, last = graph.to_dot().splitlines()
    assert (first, last) == ("digraph attribution {", "}")
    nodes, edges = [], []
    for line in lines:
        if match := re.fullmatch(rf"  {QUOTED} \[label={QUOTED}\];", line):
            nodes.append(match[1])
        else:
            match = re.fullmatch(rf"  {QUOTED} -> {QUOTED} \[label={QUOTED}, .*, color={QUOTED}\];", line)
            edges.append((match[1], match[2], match[3]))
    escapes = {"\\\\": "\\", '\\"': '"'}

    def plain(text):
        return re.sub(r"\\.", lambda match: escapes[match[0]], text)

    assert [plain(name) for name in nodes] == [f"{node.layer}:{node.channel}" for node in graph.nodes]
    assert [(plain(a), plain(b)) for a, b, _ in edges] == [
        (f"{e.source[0]}:{e.source[1]}", f"{e.target[0]}:{e.target[1]}") for e in graph.edges
    ]
    assert [label for _, _, label in edges] == ["60.0 %", "40.0 %"]


def test_fractions_are_written_as_floats():
    exact = rc.attribution_graph(rc.LRP(named("hidden"), dtype=object), np.ones((1, 2)))
    assert json.loads(exact.to_json())["edges"][0]["share"] == pytest.approx(3 / 5)
    assert "60.0 %" in exact.to_dot()
    assert len(ElementTree.fromstring(exact.to_graphml())) > 0


@pytest.mark.parametrize(
    ("ending", "text"), [("json", "to_json"), ("dot", "to_dot"), ("gv", "to_dot"), ("graphml", "to_graphml")]
)
def test_the_ending_says_how_to_save(graph, tmp_path, ending, text):
    path = tmp_path / f"graph.{ending}"
    graph.save(path)
    assert path.read_text(encoding="utf-8") == getattr(graph, text)()


def test_another_ending_is_an_error(graph, tmp_path):
    with pytest.raises(ParameterError, match=r"graph.grapml.*did you mean '.graphml'"):
        graph.save(tmp_path / "graph.grapml")
    assert not list(tmp_path.iterdir())


# Pictures ------------------------------------------------------------------------------------------------


def curves(figure):
    from matplotlib.patches import PathPatch

    return [patch for patch in figure.axes[0].patches if type(patch) is PathPatch]


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_a_picture_has_every_node_and_edge(digit_graph, tmp_path):
    path = tmp_path / "graph.png"
    figure = digit_graph.draw(path)
    assert path.stat().st_size > 10_000
    assert len(curves(figure)) == len(digit_graph.edges)
    channels = [str(node.channel) for node in digit_graph.nodes]
    assert sorted(text for text in texts(figure) if text.isdigit()) == sorted(channels)
    assert {"output", "conv1", "conv2"} <= set(texts(figure))
    for node in digit_graph.nodes:
        assert f"{100 * node.relevance:.1f} %" in texts(figure)
    widths = sorted(curve.get_linewidth() for curve in curves(figure))
    shares = sorted(edge.share for edge in digit_graph.edges)
    assert np.corrcoef(widths, shares)[0, 1] == pytest.approx(1)


def test_nodes_do_not_overlap_and_edges_go_down(digit_graph):
    figure = digit_graph.draw()
    from matplotlib.patches import FancyBboxPatch

    boxes = [p for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch) and p.get_zorder() == 3]
    assert len(boxes) == len(digit_graph.nodes)
    spans = [(b.get_x(), b.get_x() + b.get_width(), b.get_y(), b.get_y() + b.get_height()) for b in boxes]
    for i, (left, right, bottom, top) in enumerate(spans):
        assert 0 <= left < right <= figure.get_figwidth()
        assert 0 <= bottom < top <= figure.get_figheight()
        for other in spans[:i]:
            assert right < other[0] or other[1] < left or top < other[2] or other[3] < bottom
    for curve in curves(figure):
        heights = curve.get_path().vertices[:, 1]
        assert all(np.diff(heights) <= 0)
        assert heights[-1] < heights[0]


def test_a_label_stands_on_its_edge_alone(lenet5, digits):
    """In this graph two edges cross just where one would write the share."""
    from matplotlib.transforms import Bbox

    lrp = rc.LRP(lenet5, rc.EpsilonPlus())
    graph = rc.attribution_graph(lrp, digits[0][[40]], layers=["conv2", "conv1"], width=(3, 2))
    figure = graph.draw(maps=True)
    labels = [text for text in figure.axes[0].texts if text.get_fontsize() == 6]
    boxes = [Bbox(text.get_window_extent().get_points() / figure.dpi) for text in labels]
    assert len(boxes) == len(graph.edges) == 9
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert sum(curve.get_path().intersects_bbox(box, filled=False) for curve in curves(figure)) == 1


def test_edges_pass_between_the_nodes_of_other_layers(rng):
    """From the output around one layer to the next: no edge is hidden behind a node."""
    from matplotlib.patches import FancyBboxPatch

    weights = [rng.random(shape) for shape in [(4, 3), (4, 4), (4, 4), (1, 4)]]
    body = [L.Dense(weights[1], name="lower"), rc.Residual([L.Dense(weights[2], name="upper")])]
    model = rc.Sequential([L.Dense(weights[0], name="stem"), rc.Residual(body), L.Dense(weights[3])])
    graph = rc.attribution_graph(rc.LRP(model), rng.random((1, 3)), width=(3, 3, 3))
    figure = graph.draw()
    boxes = [p for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch) and p.get_zorder() == 3]
    assert len(boxes) == len(graph.nodes) > 9
    for curve in curves(figure):
        pieces = [piece(np.linspace(0, 1, 50)) for piece, _ in curve.get_path().iter_bezier()]
        x, y = np.concatenate(pieces).T
        for box in boxes:
            left, bottom = box.get_x(), box.get_y()
            across = (left < x) & (x < left + box.get_width())
            assert not np.any(across & (bottom + 0.01 < y) & (y < bottom + box.get_height() - 0.01))


def test_positive_is_red_and_negative_is_blue():
    weights = np.array([[1.0, 0], [0, 1]]), np.array([[3.0, -1]])
    model = rc.Sequential([L.Dense(weights[0], name="hidden"), L.Dense(weights[1])])
    figure = rc.attribution_graph(rc.LRP(model), np.ones((1, 2))).draw()
    colours = {curve.get_linewidth(): curve.get_edgecolor() for curve in curves(figure)}
    (thick, red), (thin, blue) = sorted(colours.items(), reverse=True)
    assert thick > thin
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert {"75 %", "-25 %", "-50.0 %"} <= set(texts(figure))


def test_maps_at_the_nodes(digit_graph):
    figure = digit_graph.draw(maps=True)
    *panels, image = figure.axes[0].child_axes
    shown = [np.asarray(panel.images[0].get_array()) for panel in panels]
    np.testing.assert_allclose(shown, digit_graph.heatmaps().sum(axis=1), rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(image.images[0].get_array(), digit_graph.origin.input[0, 0])


def test_maps_are_of_images(graph):
    with pytest.raises(ShapeError, match=r"\(1, 2\)"):
        graph.draw(maps=True)
    assert graph.draw() is not None


def test_a_graph_of_a_root_alone(lenet5, digits):
    graph = rc.attribution_graph(rc.LRP(lenet5), digits[0][:1], layers=[])
    assert graph.edges == ()
    assert "100.0 %" in texts(graph.draw(maps=True))
    assert len(json.loads(graph.to_json())["nodes"]) == 1


def test_pictures_need_matplotlib(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"refcrp\[plot\]"):
        graph.draw()
