"""Models that are graphs: building them, and everything that analyzers do on them."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ModelError, ParameterError, ShapeError, UnknownLayerError

W, B = np.array([[3.0, 4], [5, 6]]), np.array([7.0, 8])


def dense(**settings):
    return L.Dense(W, B, activation="relu", **settings)


TWICE = {
    "residual": lambda: rc.Sequential([rc.Residual(dense(), name="block")]),
    "parallel": lambda: rc.Sequential([rc.Parallel(None, dense(), merge=L.Add(), name="block")]),
    "graph": lambda: rc.Graph([("dense", dense(), ["x"]), ("block", L.Add(), ["dense", "x"])]),
}


@pytest.mark.parametrize("form", TWICE)
@pytest.mark.parametrize(("output", "expected"), [(0, [4 / 19, 8 / 19]), (1, [5 / 27, 14 / 27])])
def test_identity_beside_a_dense_layer(form, output, expected):
    """Outputs 1 + 18 and 2 + 25: of the first, 1/19 comes around, and 18/19 in parts 3 and 8 of 18."""
    e = rc.LRP(TWICE[form]())(np.array([[1.0, 2]]), output=output)
    np.testing.assert_allclose(e.relevance[0], expected, rtol=1e-9)
    assert e.ledger["block"].passed == pytest.approx(1)


def resnet(rng, dtype=float):
    def conv(outputs, inputs, stride=1, kernel=3):
        weight = rng.normal(size=(outputs, inputs, kernel, kernel)).astype(dtype)
        return L.Conv2d(weight, rng.normal(size=outputs).astype(dtype), stride=stride, padding=kernel // 2)

    def block(outputs, inputs, stride):
        shortcut = conv(outputs, inputs, stride, 1) if stride > 1 else None
        return rc.Residual([conv(outputs, inputs, stride), L.ReLU(), conv(outputs, outputs)], shortcut)

    return rc.Sequential(
        [
            conv(3, 2),
            L.ReLU(),
            block(3, 3, 1),
            L.ReLU(),
            block(4, 3, 2),
            L.ReLU(name="late"),
            rc.Parallel([conv(2, 4, kernel=1), L.ReLU(name="act")], [L.MaxPool(3, 1, 1)], name="inception"),
            L.GlobalAvgPool(),
            L.Flatten(),
            L.Dense(rng.normal(size=(3, 6)).astype(dtype), rng.normal(size=3).astype(dtype)),
        ],
        input_shape=(2, 8, 8),
    )


def test_names(rng):
    names = resnet(rng).names
    assert names[2:6] == ("residual1.body.0", "residual1.body.1", "residual1.body.2", "residual1")
    assert "residual2.shortcut" in names
    assert names[-7:-3] == ("inception.0.0", "inception.0.act", "inception.1.0", "inception")


def test_forward_is_what_it_says(rng):
    model, x = resnet(rng), rng.normal(size=(2, 2, 8, 8))
    a = np.maximum(model[0].forward(x), 0)
    body = model["residual1.body.2"].forward(np.maximum(model["residual1.body.0"].forward(a), 0))
    a = np.maximum(body + a, 0)
    body = model["residual2.body.2"].forward(np.maximum(model["residual2.body.0"].forward(a), 0))
    a = np.maximum(body + model["residual2.shortcut"].forward(a), 0)
    left, right = np.maximum(model["inception.0.0"].forward(a), 0), L.MaxPool(3, 1, 1).forward(a)
    features = np.concatenate([left, right], axis=1).mean(axis=(2, 3))
    np.testing.assert_allclose(model.forward(x), model[-1].forward(features), rtol=1e-12)
    assert model.shapes[model.index("inception")] == (6, 4, 4)


@pytest.mark.parametrize(
    "composite", [rc.EpsilonPlus(), rc.EpsilonPlusFlat(), rc.EpsilonGammaBox(-4, 4), None]
)
def test_relevance_is_the_sum_over_paths(composite, rng):
    """Pulled by hand along the graph, with the layers' own methods."""
    model, x = resnet(rng), rng.normal(size=(2, 2, 8, 8))
    lrp = rc.LRP(model, composite)
    e = lrp(x, record=["residual2", "late", "inception"])
    outputs = {-1: x}
    for k, node in enumerate(model.nodes):
        outputs[k] = node.layer.forward(*(outputs[s] for s in node.sources))
    R = dict.fromkeys(range(-1, len(model)), 0) | {len(model) - 1: np.eye(3)[e.selected]}
    for k in range(len(model) - 1, -1, -1):
        node = model.nodes[k]
        parts = node.layer.relevance(R[k], *(outputs[s] for s in node.sources), rule=lrp.rules[k])
        for source, part in zip(node.sources, parts if len(node.sources) > 1 else [parts], strict=True):
            R[source] = R[source] + part
    np.testing.assert_allclose(e.relevance, R[-1], rtol=1e-10, atol=1e-14)
    for layer in e.relevances:
        np.testing.assert_allclose(e.relevances[layer], R[model.index(layer)], rtol=1e-10, atol=1e-14)


@given(seed=st.integers(0, 2**16))
def test_the_ledger_adds_up(seed):
    rng = np.random.default_rng(seed)
    lrp = rc.LRP(resnet(rng), rc.EpsilonPlus())
    conditions = [{"late": [1]}, {"residual1.body.0": [0, 2]}, {"inception.0.0": []}]
    for exclude in False, True:
        e = lrp(rng.normal(size=(2, 2, 8, 8)), conditions=conditions, exclude_parallel=exclude)
        ledger = e.ledger
        start = ledger["dense1"].received
        lost = sum(ledger.total(column) for column in ("masked", "bias", "stabilizer", "dropped"))
        np.testing.assert_allclose(start.sum(), e.relevance.sum() + lost, rtol=1e-9, atol=1e-9)
        for entry in ledger.values():
            flow = np.abs(entry.received) + np.abs(entry.passed) + np.abs(entry.bias) + 1
            assert (np.abs(entry.rounding) <= 1e-11 * flow).all()


def test_conditions_flow_around_or_not():
    lrp, x = rc.LRP(TWICE["residual"]()), np.array([[1.0, 2]])
    around = lrp(x, output=0, conditions=[{"block.body": [0]}, {"block.body": [1]}, {"block.body": []}])
    np.testing.assert_allclose(around.relevance, [[4 / 19, 8 / 19], [1 / 19, 0], [1 / 19, 0]], rtol=1e-8)
    through = lrp(
        x, output=0, conditions=[{"block.body": [0]}, {"block.body": []}, {}], exclude_parallel=True
    )
    np.testing.assert_allclose(through.relevance, [[3 / 19, 8 / 19], [0, 0], [4 / 19, 8 / 19]], rtol=1e-8)
    assert through.ledger["block.body"].masked == pytest.approx([1 / 19, 1, 0])


def test_crp_follows_the_paths_through_its_layer(rng):
    model, x = resnet(rng), rng.normal(size=(2, 2, 8, 8))
    lrp = rc.LRP(model, rc.EpsilonPlus())
    layer = "residual2.body.0"
    e = rc.CRP(lrp, layer, rc.IndexedFeatures(*range(4)))(x, output=1)
    conditions = [{layer: [c], "y": [1]} for c in range(4)]
    same = lrp(x, conditions=conditions, exclude_parallel=True)
    np.testing.assert_allclose(e.relevance, same.relevance, rtol=1e-10, atol=1e-14)
    # Through a layer that everything passes, the maps of all channels add up to that of LRP.
    whole = rc.CRP(lrp, "late", rc.IndexedFeatures(*range(4)))(x, output=1).relevance
    total = whole.reshape(4, *x.shape).sum(axis=0)
    np.testing.assert_allclose(total, lrp(x, output=1).relevance, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_conditions_in_batches_and_one_by_one(batch_size, rng):
    model, x = resnet(rng), rng.normal(size=(2, 2, 8, 8))
    lrp = rc.LRP(model, rc.EpsilonPlus())
    conditions = [
        {"residual2.body.0": [1], "y": [0]},
        {"residual2.body.0": [0, 2], "residual1": [1]},
        {"inception": [3], "y": [2]},
        {"conv1": [0]},
    ]
    for exclude in False, True:
        together = lrp(
            x, conditions=conditions, batch_size=batch_size, exclude_parallel=exclude, record="late"
        )
        assert together.relevances["late"].shape == (8, 4, 4, 4)
        for k, condition in enumerate(conditions):
            single = lrp(x, conditions=[condition], exclude_parallel=exclude)
            np.testing.assert_allclose(
                together.relevance[2 * k : 2 * k + 2], single.relevance, rtol=1e-10, atol=1e-14
            )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_trip(dtype, rng, tmp_path):
    model = resnet(rng, dtype)
    rc.save_model(model, tmp_path / "net.h5")
    again = rc.load_model(tmp_path / "net.h5")
    assert repr(again) == repr(model)
    x = rng.normal(size=(1, 2, 8, 8)).astype(dtype)
    np.testing.assert_array_equal(again.forward(x), model.forward(x))


def test_exact_on_a_graph(rng):
    e = rc.LRP(TWICE["graph"](), rc.EpsilonRule(0.5), dtype=object)(np.array([[1.0, 2]]), output=0)
    # 1 and 18 over 19.5; of the 18, 3 and 8 over 18.5
    F = Fraction
    expected = [F(2, 39) + F(36, 39) * F(6, 37), F(36, 39) * F(16, 37)]
    assert list(e.relevance[0]) == expected
    assert (e.ledger["block"].rounding == 0).all()


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([("a", L.ReLU(), ["b"])], "layer 'a' reads 'b'"),
        ([("a", L.ReLU(), ["x"]), ("a", L.ReLU(), ["a"])], "several layers are called 'a'"),
        ([("a", L.ReLU(), ["x"]), ("b", L.ReLU(), ["x"])], "no layer reads 'a'"),
        ([("x", L.ReLU(), ["x"])], "no layer may be called 'x'"),
        ([("a", L.ReLU(), [])], "expected layers before it"),
        ([("a", "relu", ["x"])], "expected a layer"),
        ([], "at least one layer"),
    ],
)
def test_graphs_that_are_none(nodes, message):
    with pytest.raises(ModelError, match=message):
        rc.Graph(nodes)


def test_shapes_that_do_not_meet(rng):
    narrow, wide = L.Conv2d(np.ones((2, 1, 1, 1))), L.Conv2d(np.ones((3, 1, 1, 1)), padding=1)
    with pytest.raises(ShapeError, match=r"layer 2, Add.*got shape \(3, \?, \?\), expected \(2, "):
        rc.Graph([("a", narrow, ["x"]), ("b", wide, ["x"]), ("sum", L.Add(), ["a", "b"])])
    with pytest.raises(ShapeError, match="layer 2, Concat"):
        rc.Graph(
            [("a", narrow, ["x"]), ("b", wide, ["x"]), ("cat", L.Concat(), ["a", "b"])], input_shape=(1, 4, 4)
        )


def test_no_path(rng):
    trace = rc.LRP(resnet(rng)).trace(rng.normal(size=(1, 2, 8, 8)))
    R = np.ones_like(trace.outputs[trace.model.index("inception.1.0")])
    with pytest.raises(ParameterError, match="there is no path"):
        trace.pull(R, "inception.1.0", down_to="inception.0.0")


def test_unknown_names_and_bad_parts(rng):
    with pytest.raises(UnknownLayerError, match=r"did you mean 'residual1\.body\.0'"):
        resnet(rng)["residual1.body0"]
    with pytest.raises(ModelError, match=r"residual1\.body: expected a layer, a block or a list"):
        rc.Sequential([rc.Residual([])])
    with pytest.raises(ModelError, match="one branch at least"):
        rc.Parallel()


def test_nested_models_and_blocks(rng):
    inner = rc.Sequential([L.Dense(np.eye(2), name="first"), L.ReLU()])
    model = rc.Sequential([rc.Residual(rc.Residual(inner, name="deep"), name="outer"), inner])
    assert model.names == (
        "outer.body.body.first",
        "outer.body.body.relu1",
        "outer.body",
        "outer",
        "model1.first",
        "model1.relu1",
    )
    np.testing.assert_allclose(model.forward(np.array([[1.0, 2]])), [[3, 6]])
