import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ParameterError, RuleCompatibilityError, UnknownLayerError

Z, E, G, P, F = rc.ZeroRule(), rc.EpsilonRule(), rc.GammaRule(), rc.ZPlusRule(), rc.FlatRule()


@pytest.fixture
def chain():
    """conv, relu, conv, dense, dense: as types, C R C D D."""
    conv, dense = np.ones((1, 1, 1, 1)), np.eye(1)
    return rc.Sequential(
        [L.Conv2d(conv), L.ReLU(), L.Conv2d(conv), L.Flatten(), L.Dense(dense), L.Dense(dense)]
    )


CASES = [
    ((), [Z, Z, Z, Z, Z, Z]),
    ((rc.GlobalMap(E),), [E] * 6),
    ((E,), [E] * 6),
    ((rc.LayerMap(2, G),), [Z, Z, G, Z, Z, Z]),
    ((rc.LayerMap("dense2", G),), [Z, Z, Z, Z, Z, G]),
    ((rc.LayerMap(-1, G),), [Z, Z, Z, Z, Z, G]),
    ((rc.RangeMap(range(1, 4), E),), [Z, E, E, E, Z, Z]),
    ((rc.RangeMap(range(0, 6, 2), E),), [E, Z, E, Z, E, Z]),
    ((rc.FirstLayerMap(F),), [F, Z, Z, Z, Z, Z]),
    ((rc.LastLayerMap(G),), [Z, Z, Z, Z, Z, G]),
    ((rc.GlobalTypeMap([(rc.ConvLayer, P), (L.Dense, E)]),), [P, Z, P, Z, E, E]),
    ((rc.GlobalTypeMap({rc.ConvLayer: P, L.Dense: E}),), [P, Z, P, Z, E, E]),
    ((rc.RangeTypeMap(range(1, 5), [(rc.ConvLayer, P), (L.Dense, E)]),), [Z, Z, P, Z, E, Z]),
    ((rc.FirstLayerTypeMap([(rc.ConvLayer, F)]),), [F, Z, Z, Z, Z, Z]),
    ((rc.FirstLayerTypeMap([(L.Dense, F)]),), [Z, Z, Z, Z, Z, Z]),
    ((rc.LastLayerTypeMap([(L.Dense, G)]),), [Z, Z, Z, Z, Z, G]),
    ((rc.FirstNTypeMap(3, [(rc.ConvLayer, P), (L.Dense, E)]),), [P, Z, P, Z, Z, Z]),
    # the last primitive that matches wins; in one list of types the first that fits
    ((rc.GlobalMap(E), rc.GlobalTypeMap([(rc.ConvLayer, P)]), rc.FirstLayerMap(F)), [F, E, P, E, E, E]),
    ((rc.FirstLayerMap(F), rc.GlobalMap(E)), [E] * 6),
    ((rc.GlobalTypeMap([(L.Conv2d, G), (rc.ConvLayer, P)]),), [G, Z, G, Z, Z, Z]),
]


@pytest.mark.parametrize(("primitives", "expected"), CASES)
def test_primitives(chain, primitives, expected):
    assert list(rc.Composite(*primitives).rules(chain)) == expected


def test_groups():
    members = {
        rc.ConvLayer: [L.Conv2d(np.ones((1, 1, 1, 1)))],
        rc.PoolingLayer: [L.MaxPool(2), L.AvgPool(2), L.GlobalMaxPool(), L.GlobalAvgPool()],
        rc.DropoutLayer: [L.Dropout()],
        rc.ReshapingLayer: [L.Flatten()],
        rc.NormalizationLayer: [L.BatchNorm([0], [1])],
    }
    for group, layers in members.items():
        for layer in layers:
            assert [isinstance(layer, g) for g in members] == [g is group for g in members]


PRESETS = {
    "EpsilonPlus": (rc.EpsilonPlus(), P, P),
    "EpsilonPlusFlat": (rc.EpsilonPlusFlat(), F, P),
    "EpsilonAlpha2Beta1": (rc.EpsilonAlpha2Beta1(), rc.AlphaBetaRule(2, 1), rc.AlphaBetaRule(2, 1)),
    "EpsilonAlpha2Beta1Flat": (rc.EpsilonAlpha2Beta1Flat(), F, rc.AlphaBetaRule(2, 1)),
    "EpsilonGammaBox": (rc.EpsilonGammaBox(0, 1), rc.ZBoxRule(0, 1), G),
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    composite, first, other = PRESETS[name]
    conv, vector = np.ones((1, 1, 1, 1)), np.ones(1)
    layers = [
        L.Conv2d(conv),
        L.Conv2d(conv),
        L.BatchNorm(vector, vector),
        L.ReLU(),
        L.MaxPool(1),
        L.AvgPool(1),
    ]
    layers += [L.Dropout(), L.Flatten(), L.Scale(vector), L.LayerNorm(vector), L.Dense(np.eye(1))]
    expected = [first, other, rc.PassRule(), Z, Z, Z, rc.PassRule(), rc.PassRule(), E, rc.LayerNormRule(), E]
    lrp = rc.LRP(rc.Sequential(layers), composite)
    assert list(lrp.rules) == expected
    assert lrp(np.ones((1, 1, 1, 1))).relevance.shape == (1, 1, 1, 1)


def test_preset_parameters():
    conv = np.ones((1, 1, 1, 1))
    model = rc.Sequential([L.Conv2d(conv), L.Conv2d(conv), L.Flatten(), L.Dense(np.eye(1))])
    assert rc.EpsilonPlus(epsilon=0.5).rules(model)[3] == rc.EpsilonRule(0.5)
    rules = rc.EpsilonGammaBox(-1, 1, gamma=0.5, epsilon=0.1).rules(model)
    assert rules == (rc.ZBoxRule(-1, 1), rc.GammaRule(0.5), rc.PassRule(), rc.EpsilonRule(0.1))


def test_rules_given_one_by_one(chain):
    assert rc.LRP(chain, [P, Z, G, Z, E, E]).rules == (P, Z, G, Z, E, E)
    with pytest.raises(ParameterError, match="got 2 rules for a model of 6 layers"):
        rc.LRP(chain, [P, Z])
    with pytest.raises(ParameterError, match="LRP: layer 1: expected a rule such as ZeroRule"):
        rc.LRP(chain, [P, rc.ZeroRule, G, Z, E, E])


@pytest.mark.parametrize(
    "make",
    [
        lambda: rc.Composite(rc.GlobalMap(Z), E),
        lambda: rc.Composite("EpsilonPlus"),
        lambda: rc.GlobalMap(rc.ZeroRule),
        lambda: rc.LayerMap(1, "zero"),
        lambda: rc.RangeMap((0, 2), E),
        lambda: rc.FirstNTypeMap(0, []),
        lambda: rc.GlobalTypeMap([(rc.ConvLayer, P, E)]),
        lambda: rc.GlobalTypeMap([("Conv2d", P)]),
        lambda: rc.GlobalTypeMap([(np.ndarray, P)]),
        lambda: rc.GlobalTypeMap([(rc.ConvLayer, rc.ZPlusRule)]),
        lambda: rc.LRP(rc.Sequential([L.ReLU()]), "EpsilonPlus"),
        lambda: rc.LRP(rc.Sequential([L.ReLU()]), 3),
    ],
)
def test_wrong_arguments(make):
    with pytest.raises(ParameterError):
        make()


def test_layers_that_are_not_there(chain):
    for primitive in rc.LayerMap("conv9", Z), rc.LayerMap(6, Z), rc.RangeMap(range(4, 8), Z):
        with pytest.raises(UnknownLayerError):
            rc.Composite(primitive).rules(chain)


def test_incompatible_rules_are_refused_when_assigned(chain):
    with pytest.raises(RuleCompatibilityError, match=r"ZPlusRule\(\) cannot be used on ReLU\(name='relu1'\)"):
        rc.LRP(chain, rc.Composite(rc.LayerMap(1, P)))


def test_print(chain):
    composite = rc.Composite(rc.GlobalTypeMap([(rc.ConvLayer, P), (L.Dense, E)]), rc.LayerMap("conv2", G))
    assert str(composite) == (
        "Composite(\n"
        "  GlobalTypeMap: all layers\n"
        "    ConvLayer     => ZPlusRule()\n"
        "    Dense         => EpsilonRule(epsilon=1e-06)\n"
        "  LayerMap\n"
        "    layer 'conv2' => GammaRule(gamma=0.25)\n"
        ")"
    )
    assert str(rc.Composite()) == "Composite(\n)"
    assert str(rc.LRP(chain, composite)) == (
        "LRP(\n"
        "  0  Conv2d(1 => 1, 1x1, name='conv1') => ZPlusRule()\n"
        "  1  ReLU(name='relu1')                => ZeroRule()\n"
        "  2  Conv2d(1 => 1, 1x1, name='conv2') => GammaRule(gamma=0.25)\n"
        "  3  Flatten(name='flatten1')          => ZeroRule()\n"
        "  4  Dense(1 => 1, name='dense1')      => EpsilonRule(epsilon=1e-06)\n"
        "  5  Dense(1 => 1, name='dense2')      => EpsilonRule(epsilon=1e-06)\n"
        ")"
    )
