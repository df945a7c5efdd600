import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refcrp as rc
from refcrp import layers as L
from refcrp.canonization import remainders
from refcrp.errors import ModelError


def batch_norm(rng, channels, dtype=float):
    parts = (
        rng.normal(size=channels),
        rng.uniform(0.5, 2, channels),
        rng.normal(size=channels),
        rng.normal(size=channels),
    )
    return L.BatchNorm(*(p.astype(dtype) for p in parts))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_canonize_folds_batch_norm_and_computes_the_same(rng, dtype, tolerance):
    def normal(*shape):
        return rng.normal(size=shape).astype(dtype)

    model = rc.Sequential(
        [
            L.Conv2d(normal(4, 2, 3, 3), name="conv"),
            batch_norm(rng, 4, dtype),
            L.ReLU(),
            L.Conv2d(normal(6, 2, 3, 3), normal(6), groups=2, padding=1),
            batch_norm(rng, 6, dtype),
            L.Scale(normal(6)),
            L.Flatten(),
            L.Dense(normal(5, 6 * 16)),
            L.Scale(normal(5), normal(5)),
        ],
        input_shape=(2, 6, 6),
    )
    small = rc.canonize(model)
    assert [type(layer).__name__ for layer in small] == ["Conv2d", "ReLU", "Conv2d", "Flatten", "Dense"]
    assert small.names[0] == "conv"
    assert small.input_shape == (2, 6, 6)
    assert small.dtype == dtype
    assert len(model) == 9
    x = normal(3, 2, 6, 6)
    y = model.forward(x)
    np.testing.assert_allclose(small.forward(x), y, rtol=0, atol=tolerance * np.abs(y).max())


def test_canonize_leaves_what_it_cannot_fold(rng):
    model = rc.Sequential(
        [
            batch_norm(rng, 2),
            L.Conv2d(np.ones((2, 2, 1, 1)), padding=1, activation="relu"),
            batch_norm(rng, 2),
        ]
    )
    assert list(map(type, rc.canonize(model))) == list(map(type, model))


@pytest.mark.parametrize("groups", [1, 2])
def test_canonize_folds_into_the_next_layer_where_that_is_exact(groups, rng):
    model = rc.Sequential(
        [
            batch_norm(rng, 4),
            L.Conv2d(rng.normal(size=(6, 4 // groups, 2, 2)), groups=groups, activation="relu"),
            L.GlobalAvgPool(),
            L.Flatten(),
            L.Scale(rng.normal(size=6), rng.normal(size=6)),
            L.Dense(rng.normal(size=(3, 6)), rng.normal(size=3)),
        ]
    )
    small = rc.canonize(model)
    assert [type(layer).__name__ for layer in small] == ["Conv2d", "GlobalAvgPool", "Flatten", "Dense"]
    x = rng.normal(size=(2, 4, 5, 5))
    np.testing.assert_allclose(small.forward(x), model.forward(x), rtol=1e-12, atol=1e-12)


def test_canonize_on_a_graph_folds_only_what_no_one_else_reads(rng):
    conv, read_twice = (
        L.Conv2d(rng.normal(size=(2, 2, 1, 1))),
        L.Conv2d(rng.normal(size=(2, 2, 3, 3)), padding=1),
    )
    model = rc.Graph(
        [
            ("conv", conv, ["x"]),
            ("norm1", batch_norm(rng, 2), ["conv"]),
            ("twice", read_twice, ["norm1"]),
            ("norm2", batch_norm(rng, 2), ["twice"]),
            ("sum", L.Add(), ["twice", "norm2"]),
        ]
    )
    small = rc.canonize(model)
    assert small.names == ("conv", "twice", "norm2", "sum")
    x = rng.normal(size=(2, 2, 4, 4))
    np.testing.assert_allclose(small.forward(x), model.forward(x), rtol=1e-12, atol=1e-12)


# Random graphs ----------------------------------------------------------------------------------------------


def image_layer(draw, rng):
    """A layer from images (4, 3, 3) to such images; epsilon keeps small differences from growing."""
    w, b = rng.normal(size=4), rng.normal(size=4)
    bias = draw(st.sampled_from([None, b]))
    conv = draw(st.sampled_from([(4, 1, 1, 0), (2, 2, 3, 1), (1, 4, 3, 1)]))
    per_group, groups, kernel, padding = conv
    weight = rng.normal(size=(4, per_group, kernel, kernel))
    settings = {"groups": groups, "padding": padding}
    kind = draw(
        st.sampled_from(["conv", "conv", "relu conv", "transposed", "norm", "scale", "sample", "relu"])
    )
    match kind:
        case "conv" | "relu conv":
            return L.Conv2d(weight, bias, activation="relu" if kind == "relu conv" else None, **settings)
        case "transposed":
            return L.ConvTranspose2d(weight, bias, **settings)
        case "norm":
            return L.BatchNorm(w, rng.uniform(0.5, 2, 4), b, bias)
        case "scale":
            pixels = rng.normal(size=(2, 4, 3, 3))
            rows = L.Scale(rng.normal(size=3), axis=draw(st.sampled_from([2, -1])))
            return draw(
                st.sampled_from([L.Scale(w, bias), L.Scale(w, bias, axis=-3), L.Scale(*pixels), rows])
            )
        case "sample":
            whole, last = rng.normal(size=(4, 3, 3)), rng.normal(size=3)
            layers = [
                L.LayerNorm(whole, epsilon=0.1),
                L.LayerNorm(last, last, epsilon=0.1),
                L.LayerNorm(None, last, epsilon=0.1),
                L.LayerNorm(shape=(3, 3), epsilon=0.1),
                L.GroupNorm(2, w, bias, epsilon=0.1),
                L.InstanceNorm(w, bias, epsilon=0.1),
            ]
            return draw(st.sampled_from(layers))
    return L.ReLU()


@st.composite
def graphs(draw):
    """Layers that read any layer before them, summed up where nothing else reads them; a head of vectors."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    nodes, unread = [], []
    for k in range(draw(st.integers(1, 7))):
        recent = [f"n{k - 1}"] * 2 if k else []  # chains are where folding happens
        source = draw(st.sampled_from(["x", *(f"n{i}" for i in range(k)), *recent]))
        unread = [name for name in unread if name != source] + [f"n{k}"]
        nodes.append((f"n{k}", image_layer(draw, rng), [source]))
    nodes.append(("sum", L.Add(), unread))
    if draw(st.booleans()):
        w, b, dense = rng.normal(size=36), rng.normal(size=36), L.Dense(rng.normal(size=(3, 36)) / 6)
        middle = draw(st.sampled_from([L.LayerNorm(w, b, epsilon=0.1), L.Scale(w, b), L.Scale(w, axis=-1)]))
        nodes += [("flat", L.Flatten(), ["sum"]), ("middle", middle, ["flat"]), ("dense", dense, ["middle"])]
    return rc.Graph(nodes), rng


@given(case=graphs(), precision=st.sampled_from([(np.float32, 1e-5), (np.float64, 1e-12)]))
def test_canonized_graphs_compute_the_same(case, precision):
    (model, rng), (dtype, tolerance) = case, precision
    model, x = model.astype(dtype), rng.normal(size=(2, 4, 3, 3)).astype(dtype)
    small, y = rc.canonize(model), model.forward(x)
    result = small.forward(x)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, y, rtol=0, atol=tolerance * max(1, np.abs(y).max()))
    # It went as far as it could, and what is left is told.
    assert rc.canonize(small).names == small.names
    left = [layer.name for layer in small if isinstance(layer, (L.BatchNorm, L.Scale))]
    assert [name for name, _ in remainders(model)] == left
    for layer in small:
        assert not (isinstance(layer, L.SampleNorm) and layer.arrays())
    # Convolutions that are followed by a batch normalisation, and by nothing else, are followed by none now.
    for k, node in enumerate(small.nodes):
        source = node.sources[0]
        if isinstance(node.layer, L.BatchNorm) and source >= 0 and small.readers(source) == [k]:
            before = small[source]
            assert getattr(before, "nonlinearity", None) or not isinstance(before, L.WeightedLayer)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ((0, 0, 0, 0), ["Conv2d", "ReLU"]),
        ((0, 0, 0, 1), ["BatchNorm", "Conv2d", "ReLU"]),
        (1, ["BatchNorm", "Conv2d", "ReLU"]),
    ],
)
def test_a_shift_does_not_go_through_padding_but_a_scale_does(biased, padding, expected, rng):
    mean = np.array([0, 0.5]) if biased else np.zeros(2)
    conv = L.Conv2d(rng.normal(size=(3, 2, 2, 2)), rng.normal(size=3), padding=padding)
    model = rc.Sequential([L.BatchNorm(mean, rng.uniform(1, 2, 2)), conv, L.ReLU()])
    small = rc.canonize(model)
    assert [type(layer).__name__ for layer in small] == (expected if biased else ["Conv2d", "ReLU"])
    x = rng.normal(size=(2, 2, 4, 4))
    np.testing.assert_allclose(small.forward(x), model.forward(x), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_scale_goes_into_a_transposed_convolution_after_it(groups, rng):
    layer = L.ConvTranspose2d(rng.normal(size=(4, 3, 3, 2)), stride=2, padding=1, groups=groups)
    x = rng.normal(size=(2, 4, 3, 3))
    for shift, expected in (None, 1), (np.ones(4), 2):
        model = rc.Sequential([L.Scale(rng.normal(size=4), shift), layer])
        small = rc.canonize(model)
        assert len(small) == expected
        np.testing.assert_allclose(small.forward(x), model.forward(x), rtol=1e-12, atol=1e-13)


def test_what_is_left_is_told_with_the_reason(rng):
    conv = L.Conv2d(rng.normal(size=(2, 2, 3, 3)), padding=1)
    model = rc.Graph(
        [
            ("first", batch_norm(rng, 2), ["x"]),
            ("active", L.Conv2d(np.ones((2, 2, 3, 3)), padding=1, activation="relu"), ["first"]),
            ("second", batch_norm(rng, 2), ["active"]),
            ("forked", conv, ["second"]),
            ("third", batch_norm(rng, 2), ["forked"]),
            ("norm", L.GroupNorm(1, np.ones(2)), ["forked"]),
            ("pixels", L.Scale(np.ones((6, 6)), axis=-2), ["third"]),
            ("mixing", L.Conv2d(np.ones((2, 2, 1, 1))), ["pixels"]),
            ("sum", L.Add(), ["mixing", "norm"]),
            ("folded", conv, ["sum"]),
            ("gone", batch_norm(rng, 2), ["folded"]),
            ("relu", L.ReLU(), ["gone"]),
            ("last", batch_norm(rng, 2), ["relu"]),
        ]
    )
    pads = "pads, and padding is zero after the shift"
    several = "has one weight for all of what is scaled by several"
    unknown = "is no convolution or dense layer"
    assert remainders(model) == (
        ("first", f"it reads the model's input; active after it {pads}"),
        ("second", f"active before it has an activation function; forked after it {pads}"),
        ("third", f"others read forked too; pixels after it {unknown}"),
        ("norm.scale", f"norm before it {unknown}; sum after it {unknown}"),
        ("pixels", f"third before it {unknown}; mixing after it {several}"),
        ("last", f"relu before it {unknown}; it gives the model's output"),
    )
    assert remainders(rc.Sequential([conv, batch_norm(rng, 2)])) == ()
    one_shift = rc.Sequential([L.Scale(np.ones(4), np.ones(4)), L.ConvTranspose2d(np.ones((4, 1, 2, 2)))])
    assert "is transposed" in remainders(one_shift)[0][1]
    read_twice = rc.Sequential([L.Scale(np.ones(2)), rc.Residual(L.ReLU(), L.Tanh())])
    assert remainders(read_twice)[0][1] == "it reads the model's input; 2 layers read it"


# Normalisations of single samples ---------------------------------------------------------------------------

NORMS = {
    "layer, vectors": (lambda w, b: L.LayerNorm(w(5), b(5)), (5,)),
    "layer, all of an image": (lambda w, b: L.LayerNorm(w(4, 2, 3), b(4, 2, 3)), (4, 2, 3)),
    "layer, the last axis": (lambda w, b: L.LayerNorm(w(3), b(3)), (4, 2, 3)),
    "layer, no bias": (lambda w, b: L.LayerNorm(w(2, 3)), (4, 2, 3)),
    "layer, no weight": (lambda w, b: L.LayerNorm(None, b(2, 3)), (4, 2, 3)),
    "group": (lambda w, b: L.GroupNorm(2, w(4), b(4)), (4, 2, 3)),
    "instance": (lambda w, b: L.InstanceNorm(w(4), b(4)), (4, 2, 3)),
}


class CoarseLayerNormRule(rc.LayerNormRule):
    """With a stabilizer of its own, as dialects have."""

    def stabilize(self, z):
        return rc.EpsilonRule(0.25).stabilize(z)


@pytest.mark.parametrize("name", NORMS)
def test_relevance_through_a_split_normalisation_is_that_of_the_whole(name, rng):
    make, shape = NORMS[name]
    norm = make(lambda *s: rng.normal(size=s), lambda *s: rng.normal(size=s))
    model = rc.Sequential([norm, L.Tanh()], input_shape=shape)
    split = rc.canonize(model)
    assert split.names == (model.names[0], f"{model.names[0]}.scale", "tanh1")
    x = rng.normal(size=(3, *shape))
    np.testing.assert_array_equal(split.forward(x), model.forward(x))
    R, rules = rng.normal(size=(2, 3, *shape)), [rc.LayerNormRule(), rc.ZeroRule()]
    whole = norm.relevance(R, x, rule=rules[0])
    normalized = split[0].forward(x)
    np.testing.assert_allclose(
        split[0].relevance(split[1].relevance(R, normalized), x, rule=rules[0]), whole, rtol=1e-12
    )
    coarse = CoarseLayerNormRule()
    through_scale = split[1].relevance(R, normalized, rule=rc.EpsilonRule(0.25))
    np.testing.assert_allclose(
        split[0].relevance(through_scale, x, rule=coarse), norm.relevance(R, x, rule=coarse), rtol=1e-12
    )
    if len(shape) == 1:
        e, expected = rc.LRP(split, [*rules, rc.ZeroRule()]), rc.LRP(model, rules)
        np.testing.assert_allclose(e(x, output=4).relevance, expected(x, output=4).relevance, rtol=1e-12)


def test_the_scale_of_a_layer_norm_goes_into_the_dense_layer_after_it(rng, tmp_path):
    def norm():
        return L.LayerNorm(rng.normal(size=6), rng.normal(size=6))

    model = rc.Sequential([norm(), L.Dense(rng.normal(size=(6, 6)), rng.normal(size=6)), norm(), L.Tanh()])
    small = rc.canonize(model)
    assert small.names == ("layernorm1", "dense1", "layernorm2", "layernorm2.scale", "tanh1")
    x = rng.normal(size=(3, 6))
    np.testing.assert_allclose(small.forward(x), model.forward(x), rtol=1e-11)
    composite = rc.Composite(rc.GlobalTypeMap(((L.LayerNorm, rc.LayerNormRule()),)))
    whole, folded = (rc.LRP(m, composite)(x, output=2).relevance for m in (model, small))
    np.testing.assert_allclose(folded, whole, rtol=1e-5, atol=1e-6 * np.abs(whole).max())
    rc.save_model(small, tmp_path / "small.h5")
    again = rc.load_model(tmp_path / "small.h5")
    assert repr(again) == repr(small)
    np.testing.assert_array_equal(again.forward(x), small.forward(x))


def test_a_name_that_is_taken_is_left_alone(rng):
    norm = L.InstanceNorm(np.ones(2), name="norm")
    small = rc.canonize(rc.Sequential([norm, L.ReLU(name="norm.scale")]))
    assert small.names == ("norm", "norm.scale_", "norm.scale")


# Layers that do nothing -------------------------------------------------------------------------------------


def test_flatten_takes_out_what_does_nothing(rng):
    conv = L.Conv2d(rng.normal(size=(3, 2, 3, 3)), name="conv")
    model = rc.Sequential(
        [
            L.Identity(),
            rc.Sequential([rc.Sequential([conv, L.Dropout()]), L.ReLU()]),
            rc.Parallel([L.Identity(), L.Identity(), L.Tanh(name="act")], name="alone"),
            L.Reshape((3, 4, 4)),
            L.Permute((0, 1, 2, 3)),
            rc.Residual(L.Tanh(), L.Identity(), name="block"),
            L.Permute((0, 2, 3, 1)),
            L.Reshape((2, -1)),
            L.Flatten(),
            L.Flatten(name="again"),
            L.Dense(rng.normal(size=(3, 48))),
            L.Dropout(),
        ],
        input_shape=(2, 6, 6),
    )
    small = rc.flatten(model)
    assert small.names == (
        *("model1.model1.conv", "model1.relu1", "alone.0.act", "block.body", "block"),
        *("permute2", "reshape2", "flatten1", "dense1"),
    )
    assert small.input_shape == model.input_shape
    x = rng.normal(size=(2, 2, 6, 6))
    np.testing.assert_array_equal(small.forward(x), model.forward(x))
    e, expected = (rc.LRP(m)(x, output=1).relevance for m in (small, model))
    np.testing.assert_allclose(e, expected, rtol=1e-6, atol=1e-12)
    assert rc.flatten(small).names == small.names


def test_flatten_leaves_what_it_does_not_know_and_the_last_layer():
    vague = rc.Sequential([L.ReLU(), L.Flatten()])
    assert rc.flatten(vague).names == vague.names
    assert rc.flatten(rc.Sequential([*vague], input_shape=(4,))).names == ("relu1",)
    nothing = rc.Sequential([L.Identity(name="a"), L.Dropout(name="b")])
    assert rc.flatten(nothing).names == ("b",)
    x = np.ones((1, 3))
    np.testing.assert_array_equal(rc.flatten(nothing).forward(x), x)


def test_flattened_models_fold_further(rng):
    model = rc.Sequential([L.Dense(np.eye(3)), L.Dropout(), batch_norm(rng, 3)])
    assert rc.canonize(model).names == model.names
    assert rc.canonize(rc.flatten(model)).names == ("dense1",)


def test_strip_softmax(small_model):
    assert rc.strip_softmax(small_model) is small_model
    assert len(rc.strip_softmax(rc.Sequential([*small_model, L.Softmax()]))) == 6
    with pytest.raises(ModelError, match="at least one layer"):
        rc.strip_softmax(rc.Sequential([L.Softmax()]))


@pytest.mark.parametrize("groups", [1, 2])
def test_canonize_folds_into_a_transposed_convolution(groups, rng):
    weight = rng.normal(size=(4, 6 // groups, 2, 3))
    layer = L.ConvTranspose2d(weight, rng.normal(size=6), stride=2, padding=1, groups=groups)
    model = rc.Sequential([layer, batch_norm(rng, 6), L.ReLU()])
    small = rc.canonize(model)
    assert [type(layer).__name__ for layer in small] == ["ConvTranspose2d", "ReLU"]
    x = rng.normal(size=(2, 4, 5, 5))
    np.testing.assert_allclose(small.forward(x), model.forward(x), rtol=1e-12, atol=1e-12)
