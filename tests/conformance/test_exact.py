"""The exact oracle: equal to the engine on fractions, right about rounding, and wrong where it is told to be."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import refcrp as rc
from refcrp.conformance.cases import Case, LayerSpec, RuleSpec
from refcrp.conformance.exact import MISTAKES, explain, rounded, sensitivity
from refcrp.conformance.intervals import Interval
from refcrp.dialects import DIALECTS
from refcrp.errors import (
    FeatureError,
    ModelError,
    NonFiniteError,
    ParameterError,
    RefcrpError,
    RuleCompatibilityError,
    ShapeError,
    SoftmaxError,
    UnknownLayerError,
)

F = Fraction
PLAIN = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
POOL = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0)}
PARAMETERS = {
    "epsilon": {"epsilon": 0.25},
    "gamma": {"gamma": 0.5},
    "generalized_gamma": {"gamma": 0.5},
    "alpha_beta": {"alpha": 2.0, "beta": 1.0},
    "zbox": {"low": -2.0, "high": 1.5},
}
WEIGHTED = ["zero", "epsilon", "gamma", "generalized_gamma", "zplus", "alpha_beta", "wsquare", "flat", "zbox"]


def layer(kind, rule="zero", arrays=None, name=None, parameters=None, **settings):
    arrays = {key: np.asarray(value, dtype=float) for key, value in (arrays or {}).items()}
    parameters = PARAMETERS.get(rule, {}) if parameters is None else parameters
    return LayerSpec(kind, name or kind, RuleSpec(rule, parameters), arrays, settings)


def case_of(layers, x, **more):
    layers = layers if isinstance(layers, tuple) else (layers,)
    return Case("case", "a test", layers, np.asarray(x, dtype=float), **more)


def small(rng, *shape):
    """Small integers, zeros among them: zero denominators and ties are frequent, fractions short."""
    return rng.integers(-2, 3, shape).astype(float)


def engine(case, dtype=object, dialect="refcrp"):
    """What the engine computes, in fractions or in a float type."""
    is_exact = dtype is object
    lrp = rc.LRP(case.model.astype(dtype), case.rules, dialect=dialect)
    x = rc.exact(case.x) if is_exact else case.x.astype(dtype)
    if case.relevance_out is None:
        return lrp(x, output=list(case.output), conditions=case.conditions).relevance
    R = rc.exact(case.relevance_out) if is_exact else case.relevance_out.astype(dtype)
    return lrp.trace(x).pull(R)[0].reshape(case.x.shape)


# Equal to the engine ----------------------------------------------------------------------------------------


CONV = [
    {},
    {"stride": (2, 1), "padding": (1, 0)},
    {"padding": (2, 1), "dilation": (2, 1)},
    {"groups": 2, "padding": (1, 1)},
    {"stride": (3, 3)},
]
LINEAR = {
    "dense": lambda rng: (layer("dense", arrays={"weight": small(rng, 4, 5), "bias": small(rng, 4)}), (5,)),
    "dense, no bias": lambda rng: (layer("dense", arrays={"weight": small(rng, 4, 5)}), (5,)),
    "scale": lambda rng: (
        layer("scale", arrays={"weight": small(rng, 3), "bias": small(rng, 3)}),
        (3, 2, 2),
    ),
    **{
        f"conv {settings}": lambda rng, settings=settings: (
            layer(
                "conv2d",
                arrays={"weight": small(rng, 4, 2 // settings.get("groups", 1), 2, 2), "bias": small(rng, 4)},
                **PLAIN | settings,
            ),
            (2, 5, 4),
        )
        for settings in CONV
    },
}
UNWEIGHTED = {
    "flatten": (layer("flatten"), (2, 2, 1)),
    "relu": (layer("relu"), (5,)),
    "max": (layer("max_pool", **POOL), (2, 4, 5)),
    "max, padded": (layer("max_pool", kernel_size=(3, 2), stride=(2, 1), padding=(1, 1)), (2, 4, 5)),
    "average": (layer("avg_pool", **POOL, count_include_pad=True), (2, 4, 5)),
    "average, padding counts": (
        layer("avg_pool", **POOL | {"padding": (1, 1)}, count_include_pad=True),
        (2, 3, 3),
    ),
    "average, padding does not count": (
        layer("avg_pool", **POOL | {"padding": (1, 1)}, count_include_pad=False),
        (2, 3, 3),
    ),
    "global max": (layer("global_max_pool"), (2, 3, 3)),
    "global average": (layer("global_avg_pool"), (2, 3, 3)),
}


def with_relevance(rng, spec, shape, rule, samples=2):
    spec = replace(spec, rule=RuleSpec(rule, PARAMETERS.get(rule, {})))
    case = case_of(spec, small(rng, samples, *shape))
    return replace(case, relevance_out=small(rng, *case.model.forward(case.x).shape))


@pytest.mark.parametrize("rule", WEIGHTED)
@pytest.mark.parametrize("kind", LINEAR)
def test_every_rule_on_every_weighted_layer_equals_the_engine(kind, rule, rng):
    case = with_relevance(rng, *LINEAR[kind](rng), rule)
    result = explain(case)
    assert np.any(result != 0)
    assert np.array_equal(result, engine(case))
    assert all(isinstance(value, Fraction) for value in result.flat)


@pytest.mark.parametrize("rule", ["zero", "epsilon"])
@pytest.mark.parametrize("kind", UNWEIGHTED)
def test_every_layer_without_weights_equals_the_engine(kind, rule, rng):
    case = with_relevance(rng, *UNWEIGHTED[kind], rule)
    assert np.array_equal(explain(case), engine(case))


@pytest.mark.parametrize("kind", ["flatten", "relu"])
def test_the_pass_rule_passes(kind, rng):
    case = with_relevance(rng, *UNWEIGHTED[kind], "pass")
    assert np.array_equal(explain(case), case.relevance_out.reshape(case.x.shape))


def network(rng, **more):
    """Every kind of rational layer in one chain."""
    layers = (
        layer("conv2d", "flat", {"weight": small(rng, 3, 1, 3, 3), "bias": small(rng, 3)}, "c1", **PLAIN | {"padding": (1, 1)}),
        layer("relu", name="r1"),
        layer("max_pool", name="p1", **POOL),
        layer("scale", "gamma", {"weight": small(rng, 3) + 0.5, "bias": small(rng, 3)}, "s"),
        layer("conv2d", "alpha_beta", {"weight": small(rng, 4, 3, 2, 2), "bias": small(rng, 4)}, "c2", **PLAIN),
        layer("relu", name="r2"),
        layer("avg_pool", name="p2", kernel_size=(2, 2), stride=(1, 1), padding=(1, 1), count_include_pad=False),
        layer("flatten", name="f"),
        layer("dense", "zplus", {"weight": small(rng, 5, 36), "bias": small(rng, 5)}, "d1"),
        layer("relu", name="r3"),
        layer("dense", "epsilon", {"weight": small(rng, 3, 5), "bias": small(rng, 3)}, "d2"),
    )  # fmt: skip
    return case_of(layers, small(rng, 2, 1, 6, 6), **more)


CONDITIONS = ({"c2": [0, 3]}, {"c1": [1], "d1": [0, 1, 2]}, {"p1": [0, 2]}, {"d2": [1]}, {"c2": []}, {})


@pytest.mark.parametrize("conditions", [None, CONDITIONS], ids=["LRP", "CRP"])
def test_networks_equal_the_engine(conditions, rng):
    case = network(rng, output=(2, 1), conditions=conditions)
    result = explain(case)
    assert result.shape == (len(conditions or [0]) * 2, 1, 6, 6)
    assert np.count_nonzero(result) > 20
    assert np.array_equal(result, engine(case))


def test_conditions_by_hand():
    """Relevance of both outputs goes to channels 0 and 1 as (1, 4) / 5 and (-6, 0) / -6."""
    layers = (
        layer("scale", arrays={"weight": [1, 2]}, name="channels"),
        layer("dense", arrays={"weight": [[1, 1], [-6, 0]]}, name="y"),
    )
    conditions = ({}, {"channels": [0]}, {"channels": [1]}, {"y": [0]}, {"y": [0], "channels": [1]})
    case = case_of(
        layers, [[1, 2], [1, 2]], relevance_out=np.array([[5.0, -6.0], [5.0, -6.0]]), conditions=conditions
    )
    expected = [[-5, 4], [-5, 0], [0, 4], [1, 4], [0, 4]]
    result = rounded(explain(case, replace(DIALECTS["refcrp"], epsilon=1e-300)))
    assert result.tolist() == [R for R in expected for _ in range(2)]  # condition-major


def test_seeds():
    case = case_of(layer("dense", "flat", {"weight": np.eye(2), "bias": [0, 1]}), [[3, -4]], output=(1,))
    one = explain(case)
    assert one.tolist() == [[1 / (2 + F(1e-9))] * 2]
    assert np.array_equal(explain(case, replace(DIALECTS["refcrp"], seed="output")), -3 * one)


# In every dialect -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_engine_speaks_every_dialect_as_the_oracle_does(dialect, rng):
    compared = 0
    for made in LINEAR.values():
        for rule in WEIGHTED:
            compared += is_equal_or_lacking(with_relevance(rng, *made(rng), rule, samples=1), dialect)
    for spec, shape in UNWEIGHTED.values():
        for rule in ("zero", "epsilon"):
            case = with_relevance(rng, spec, shape, rule, samples=1)
            near_ties = case.x * (1 + rng.choice([0, 1e-4, 1e-3], case.x.shape))
            compared += is_equal_or_lacking(replace(case, x=near_ties), dialect)
    compared += is_equal_or_lacking(network(rng, output=(2, 1), conditions=CONDITIONS), dialect)
    assert compared > 20


def is_equal_or_lacking(case, dialect):
    """Whether there was something to compare; it must then be equal."""
    try:
        expected = explain(case, dialect)
    except ParameterError:
        return False
    assert np.array_equal(expected, engine(case, dialect=dialect))
    return True


@pytest.mark.parametrize("dialect", DIALECTS)
def test_floats_follow_the_same_equations_in_every_dialect(dialect, rng):
    known = DIALECTS[dialect]
    for rule in [rule for rule in WEIGHTED if rule not in known.lacks]:
        for kind in ["dense", "conv {}"]:
            case = with_relevance(rng, *LINEAR[kind](rng), rule)
            scale = sensitivity(case, known)
            error = explain(case, known, exact=False) - rounded(explain(case, known))
            assert np.all(np.abs(error) <= 8 * 2.0**-53 * scale)


def test_average_in_place_of_max_pooling(rng):
    case = with_relevance(rng, *UNWEIGHTED["max, padded"], "zero")
    pool = case.layers[0]
    mean = replace(
        case, layers=(replace(pool, kind="avg_pool", settings={**pool.settings, "count_include_pad": True}),)
    )
    dialect = replace(DIALECTS["refcrp"], max_pool="average")
    assert np.array_equal(explain(case, dialect), explain(mean))
    everywhere = with_relevance(rng, *UNWEIGHTED["global max"], "epsilon")
    mean = replace(everywhere, layers=(layer("global_avg_pool", "epsilon"),))
    assert np.array_equal(explain(everywhere, dialect), explain(mean))


def batch_norm(rule="zero", **more):
    arrays = {"mean": [1, -1], "variance": [2, 3], "gamma": [1, -2], "beta": [0.5, 1]}
    R = np.array([[[[1.0, 2.0]], [[-3.0, 4.0]]]])
    return case_of(
        layer("batch_norm", rule, arrays, epsilon=0.125), [[[[1, 2]], [[-3, 1]]]], relevance_out=R, **more
    )


def test_batch_norm_is_an_interval_around_what_the_engine_computes():
    for rule in ["zero", "epsilon", "gamma", "wsquare", "zbox", "flat"]:
        case = batch_norm(rule)
        result = explain(case)
        assert all(isinstance(v, Interval) for v in result.flat) or rule == "flat"
        scale = sensitivity(case)
        assert np.all(np.abs(rounded(result) - engine(case, np.float64)) <= 4 * 2.0**-53 * scale)


def test_batch_norm_that_passes():
    case, zennit = batch_norm(), DIALECTS["zennit"]
    assert np.array_equal(explain(case, zennit), case.relevance_out)
    assert np.any(
        rounded(explain(batch_norm("gamma"), zennit)) != case.relevance_out
    )  # not under other rules


@pytest.mark.parametrize("shape", [(4,), (2, 2)], ids=["one axis", "two axes"])
@pytest.mark.parametrize("bias", [True, False])
def test_layer_norm_is_an_interval_around_what_the_engine_computes(shape, bias, rng):
    arrays = {"weight": rng.normal(size=shape)} | ({"bias": rng.normal(size=shape)} if bias else {})
    x = rng.normal(size=(2, 3, *shape))
    case = case_of(
        layer("layer_norm", "layer_norm", arrays, epsilon=0.1), x, relevance_out=rng.normal(size=x.shape)
    )
    result = explain(case)
    assert all(isinstance(v, Interval) for v in result.flat)
    assert np.all(np.abs(rounded(result) - engine(case, np.float64)) <= 4 * 2.0**-53 * sensitivity(case))


def test_layer_norm_by_hand():
    """(1, 3) has mean 2 and deviation 1: n = (-1, 1), z = (-1 + 3, 2 + 2), so n w / z = (-1/2, 1/2) R."""
    arrays = {"weight": [1, 2], "bias": [3, 2]}
    case = case_of(
        layer("layer_norm", "layer_norm", arrays, epsilon=0.0), [[1, 3]], relevance_out=np.array([[4.0, 6.0]])
    )
    # R_n = (-2, 3), over the centred input (-1, 1): s = (2, 3), centred (-1/2, 1/2), times the input
    result = explain(case, replace(DIALECTS["refcrp"], epsilon=1e-300))
    assert [v.to_float() for v in result[0]] == [-0.5, 1.5]


# Rounding ---------------------------------------------------------------------------------------------------


def test_rounded_rounds_once():
    third = np.array([[F(1, 3), F(2**53 + 1)]], dtype=object)
    assert rounded(third).tolist() == [[1 / 3, 2.0**53]]
    assert rounded(third).dtype == np.float64
    with pytest.raises(RefcrpError, match="too wide"):
        rounded(np.array([Interval(F(1), F(2))], dtype=object))
    with pytest.raises(NonFiniteError):
        rounded(np.array([F(10) ** 400], dtype=object))


def shifted(case, shift):
    """The case with every number that enters off by its own small part."""
    x, R = shift(case.x), None if case.relevance_out is None else shift(case.relevance_out)
    layers = tuple(replace(s, arrays={k: shift(v) for k, v in s.arrays.items()}) for s in case.layers)
    return replace(case, layers=layers, x=x, relevance_out=R)


def generic(rng, name):
    """Cases without ties and zeros, at which first order would say nothing."""
    if name == "network":
        return shifted(
            network(rng, output=(2, 1), conditions=CONDITIONS), lambda v: v + rng.normal(size=v.shape)
        )
    kind, rule = name.split(": ")
    spec, shape = (LINEAR[kind](rng)) if kind in LINEAR else UNWEIGHTED[kind]
    return shifted(with_relevance(rng, spec, shape, rule), lambda v: v + rng.normal(size=v.shape))


NAMES = [f"{kind}: {rule}" for kind in ["dense", "conv {}"] for rule in WEIGHTED] + [
    "max: zero",
    "average: epsilon",
    "network",
]


@pytest.mark.parametrize("name", NAMES)
def test_sensitivity_bounds_what_changes_of_the_input_do(name, rng):
    case, size = generic(rng, name), 1e-7
    scale, before = sensitivity(case), explain(case, exact=False)
    for _ in range(5):
        change = (
            explain(shifted(case, lambda v: v * (1 + size * rng.choice([-1, 1], v.shape))), exact=False)
            - before
        )
        assert np.any(change != 0)
        assert np.all(np.abs(change) <= size * scale * (1 + 1e-3))


def test_sensitivity_bounds_all_changes_at_once_in_the_worst_direction(rng):
    case, size = generic(rng, "dense: alpha_beta"), F(1, 2**30)
    before, worst = explain(case), 0
    for array in (case.x, case.relevance_out, *case.layers[0].arrays.values()):
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept * float(1 + size)
            worst = worst + np.abs(explain(case) - before)
            array[index] = kept
    scale = sensitivity(case)
    assert np.all(np.abs(worst.astype(float)) <= float(size) * scale * (1 + 1e-6))
    assert np.all(np.abs(worst.astype(float)) >= float(size) * scale / 20)  # and it is not far off


@pytest.mark.parametrize("name", NAMES)
def test_sensitivity_bounds_the_errors_of_float32(name, rng):
    case = generic(rng, name).astype(np.float32).astype(np.float64)
    error = engine(case, np.float32) - rounded(explain(case))
    assert np.all(np.abs(error) <= 16 * 2.0**-24 * sensitivity(case))


def test_sensitivity_by_hand():
    """R = x w / (x w + b + ε) · R: x w is off by three of its sizes, z by those and the others', and so on."""
    case = case_of(
        layer("dense", arrays={"weight": [[3]], "bias": [2]}), [[2]], relevance_out=np.array([[4.0]])
    )
    c, z = 3 * 6, 3 * 6 + 2 + 8 + 8  # Σ, and + ε
    s = (4 + 0.5 * z) / 8 + 0.5
    assert sensitivity(case)[0, 0] == pytest.approx(c * 0.5 + 6 * s + 3, rel=1e-8)


def test_sensitivity_is_zero_where_relevance_is_zero_whatever_happens():
    case = case_of(
        layer("dense", arrays={"weight": [[3, 0, 1, -1]], "bias": [2]}),
        [[0, 5, 1, 1]],
        relevance_out=np.array([[4.0]]),
    )
    assert np.array_equal(sensitivity(case) > 0, [[False, False, True, True]])
    assert np.all(sensitivity(replace(case, relevance_out=np.zeros((1, 1)))) == 0)


def test_sensitivity_sees_cancellation():
    def condition(bias):
        case = case_of(
            layer("dense", arrays={"weight": [[1]], "bias": [bias]}), [[1]], relevance_out=np.ones((1, 1))
        )
        return sensitivity(case)[0, 0] / float(explain(case)[0, 0])

    assert condition(1.0) < 10
    assert condition(-1 + 2.0**-20) > 2.0**20


# Graphs -----------------------------------------------------------------------------------------------------


def graph(rng, rule="zero", axis=1):
    """A sum of three branches of which one is the input, and a concatenation with what the sum has read."""
    rule = {"rule": rule}
    conv = layer("conv2d", **rule, arrays={"weight": small(rng, 2, 2, 1, 1), "bias": small(rng, 2)}, **PLAIN)
    scaled = layer("scale", **rule, arrays={"weight": small(rng, 2)})
    layers = (
        replace(conv, inputs=("x",)),
        replace(scaled, inputs=("x",)),
        replace(layer("add", **rule), inputs=("scale", "x", "conv2d")),
        layer("relu"),
        replace(layer("concat", axis=axis), inputs=("relu", "scale", "x")),
    )
    shape = [2, 2, 3, 2]
    shape[axis] *= 3
    return case_of(layers, small(rng, 2, 2, 3, 2), relevance_out=small(rng, *shape))


@pytest.mark.parametrize("rule", ["zero", "epsilon"])
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_graphs_are_equal_to_the_engine(rng, rule, axis):
    for dialect in ("refcrp", "zennit", "innvestigate", "relevance-propagation-jl"):
        case = graph(rng, rule, axis)
        exact = explain(case, dialect)
        assert (exact == engine(case, dialect=dialect)).all()
        np.testing.assert_allclose(explain(case, dialect, exact=False), rounded(exact), rtol=1e-9, atol=1e-6)


def test_a_residual_block_by_hand():
    body = layer("dense", arrays={"weight": [[3, 4], [5, 6]], "bias": [7, 8]})
    layers = (body, replace(layer("add"), inputs=("x", "dense")), layer("relu"))
    case = case_of(layers, [[1, 2], [1, 2]], relevance_out=np.eye(2))
    E = F(1e-9)  # of the sum; then that of the dense layer
    first = [1 / (19 + E) + 18 / (19 + E) * 3 / (18 + E), 18 / (19 + E) * 8 / (18 + E)]
    second = [25 / (27 + E) * 5 / (25 + E), 2 / (27 + E) + 25 / (27 + E) * 12 / (25 + E)]
    assert explain(case).tolist() == [first, second]
    np.testing.assert_allclose(rounded(explain(case)), [[4 / 19, 8 / 19], [5 / 27, 14 / 27]], rtol=1e-8)
    assert by_mistake(case, "gradient times input").tolist() == [[4, 8], [5, 14]]
    masked = explain(replace(case, relevance_out=None, output=(0, 1), conditions=({"dense": [0]},)))
    assert masked.tolist() == [first, [0, 2 / (27 + E)]]  # what flows around the layer stays


def test_graphs_that_do_not_fit_are_refused(rng):
    case = graph(rng)
    *others, last = case.layers

    def reading(spec, *names):
        return replace(case, layers=(*others, replace(spec, inputs=names)))

    with pytest.raises(UnknownLayerError, match="layer 'concat' reads 'rel'; did you mean 'relu'"):
        explain(reading(last, "rel", "x"))
    with pytest.raises(ModelError, match="'flatten' reads 2 inputs; flatten takes one"):
        explain(reading(layer("flatten"), "relu", "x"))
    with pytest.raises(RuleCompatibilityError, match="'zplus' is not defined on add"):
        explain(reading(layer("add", "zplus"), "relu", "x"))
    pooled = replace(layer("global_avg_pool"), inputs=("relu",))
    for merge in (layer("add"), layer("concat", axis=1)):
        layers = (*others, pooled, replace(merge, inputs=("global_avg_pool", "x")))
        with pytest.raises(ShapeError, match=f"{merge.kind} '{merge.kind}': inputs of shapes"):
            explain(replace(case, layers=layers))
    with pytest.raises(ParameterError, match="'captum' lacks concat"):
        explain(case, "captum")


# Mistakes ---------------------------------------------------------------------------------------------------


def by_mistake(case, mistake):
    with_exact = explain(case, mistake=mistake)
    assert np.allclose(explain(case, exact=False, mistake=mistake), rounded(with_exact), rtol=1e-12)
    return rounded(with_exact)


def dense(rule, x, W, b, R=(1,)):
    arrays = {"weight": W} | ({} if b is None else {"bias": b})
    return case_of(layer("dense", rule, arrays), [x], relevance_out=np.array([R], dtype=float))


def test_each_mistake_is_what_it_says():
    case = dense("zero", [1, 1], [[1, 2]], [5])
    assert by_mistake(case, "bias forgotten") == pytest.approx(np.array([[1 / 3, 2 / 3]]))
    assert np.array_equal(by_mistake(case, "sign swapped"), -rounded(explain(case)))
    assert by_mistake(case, "gradient times input").tolist() == [[1, 2]]
    assert by_mistake(case, "no stabilizer").tolist() == [[1 / 8, 2 / 8]]
    zero = dense("zero", [1, -1], [[1, 1]], None)
    for mistake in ("zero at zero", "no stabilizer"):
        assert by_mistake(zero, mistake).tolist() == [[0, 0]]
    assert np.array_equal(by_mistake(zero, "negative at zero"), -rounded(explain(zero)))
    conv = layer("conv2d", "flat", {"weight": np.ones((1, 1, 3, 3))}, **PLAIN | {"padding": (1, 1)})
    padded = case_of(conv, np.ones((1, 1, 1, 1)), relevance_out=np.ones((1, 1, 1, 1)))
    assert by_mistake(padded, "padding counted") == pytest.approx(1 / 9)


def test_softmax_mistakes():
    case = case_of(layer("scale", arrays={"weight": [1, 1, 1]}), [[1, 2, 2]], output=(1,))
    p = np.exp([1, 2, 2]) / np.exp([1, 2, 2]).sum()
    assert by_mistake(case, "softmax left on") == pytest.approx(np.array([[0, p[1], 0]]))
    assert by_mistake(case, "softmax gradient") == pytest.approx(p[1] * (np.array([[0, 1, 0]]) - p))


def test_gradient_times_input_of_a_network(rng):
    case = generic(rng, "network")
    case = replace(case, conditions=None)
    x, h = case.x, 1e-6

    def output(x):
        return case.model.forward(x)[np.arange(2), list(case.output)]

    gradient = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        step = np.zeros_like(x)
        step[index] = h
        gradient[index] = (output(x + step) - output(x - step))[index[0]] / (2 * h)
    found = by_mistake(case, "gradient times input")
    assert found == pytest.approx(x * gradient, rel=1e-4, abs=1e-5)
    assert np.count_nonzero(found) > 20


def test_gradient_times_input_through_normalisation():
    norm = layer("layer_norm", "layer_norm", {"weight": [1, 2], "bias": [3, 2]}, epsilon=0.0)
    case = case_of(norm, [[1, 3]], relevance_out=np.array([[4.0, 6.0]]))
    assert by_mistake(case, "gradient times input").tolist() == [[1 * -4, 3 * 4]]  # (4, 12) centred
    passing = explain(batch_norm(), "zennit", exact=False, mistake="gradient times input")
    assert not np.array_equal(passing, batch_norm().relevance_out)


def test_every_mistake_has_a_sentence_and_is_seen_in_some_case(rng):
    cases = [
        network(rng, output=(2, 1)),
        dense("zero", [1, -1], [[1, 1]], None),
        replace(with_relevance(rng, *LINEAR["conv {'padding': (2, 1), 'dilation': (2, 1)}"](rng), "wsquare")),
    ]
    for mistake, sentence in MISTAKES.items():
        assert sentence[0].islower()
        assert not sentence.endswith(".")
        assert any(np.any(explain(c, exact=False, mistake=mistake) != explain(c, exact=False)) for c in cases)


# What is refused --------------------------------------------------------------------------------------------


def test_what_a_dialect_lacks_is_refused():
    captum, toolbox = DIALECTS["captum"], DIALECTS["lrp-toolbox"]
    with pytest.raises(ParameterError, match="'captum' lacks wsquare"):
        explain(dense("wsquare", [1], [[1]], None), captum)
    with pytest.raises(ParameterError, match="lacks batch_norm"):
        explain(batch_norm(), toolbox)
    pooled = case_of(
        layer("max_pool", **POOL | {"padding": (0, 1)}),
        np.ones((1, 1, 2, 2)),
        relevance_out=np.ones((1, 1, 1, 2)),
    )
    with pytest.raises(ParameterError, match="'lrp-toolbox' lacks padding"):
        explain(pooled, toolbox)
    with pytest.raises(ParameterError, match="zennit"):
        explain(pooled, "zenit")
    with pytest.raises(ParameterError, match="did you mean 'sign swapped'"):
        explain(pooled, mistake="sign swap")


@pytest.mark.parametrize(
    ("spec", "error", "match"),
    [
        (layer("relu", "flat"), RuleCompatibilityError, "'flat' is not defined on relu"),
        (layer("max_pool", "zplus", **POOL), RuleCompatibilityError, "not defined on max_pool"),
        (layer("max_pool", "pass", **POOL), RuleCompatibilityError, "differ in size"),
        (layer("layer_norm", "zero", {"weight": [1, 1]}), RuleCompatibilityError, "not defined on layer_norm"),
        (layer("scale", "layer_norm", {"weight": [1]}), RuleCompatibilityError, "not defined on scale"),
        (layer("softmax"), SoftmaxError, "before a softmax"),
        (layer("attention"), ParameterError, "no layer 'attention'"),
        (layer("layer_norm", "layer_norm", {"weight": [1, 1, 1]}), ShapeError, "expected it to end with"),
    ],
)  # fmt: skip
def test_rules_and_layers_that_do_not_go_together_are_refused(spec, error, match):
    with pytest.raises(error, match=match):
        explain(case_of(spec, np.ones((1, 1, 2, 2)), relevance_out=np.ones((1, 1, 2, 2))))


def test_cases_that_do_not_fit_are_refused():
    case = dense("zero", [1, 1], [[1, 2], [3, 4]], [5, 6], [1, 2])
    with pytest.raises(ShapeError, match="relevance of 3 outputs, the network has 2"):
        explain(replace(case, relevance_out=np.ones((1, 3))))
    for output in [None, (2,), (-1,)]:
        with pytest.raises(ParameterError, match="one of 2 neurons"):
            explain(replace(case, relevance_out=None, output=output))
    with pytest.raises(UnknownLayerError, match="did you mean 'dense'"):
        explain(replace(case, conditions=({"dens": [0]},)))
    with pytest.raises(FeatureError, match="channels 0 to 1"):
        explain(replace(case, conditions=({"dense": [2]},)))
    with pytest.raises(NonFiniteError, match="no exact value"):
        explain(replace(case, x=np.array([[np.nan, 1]])))
