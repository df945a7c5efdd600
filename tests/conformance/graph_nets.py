"""Small networks whose branches sum or join, as graphs of refcrp, and what zennit-crp is asked of them."""

from dataclasses import dataclass

import refcrp as rc
from refcrp import layers as L

# Layers with weights: outputs, inputs and kernel of convolutions; outputs and inputs of dense layers. A
# kernel of 3 comes with a padding of 1.
RESIDUAL = {
    "first": (3, 2, 3, 3),
    "body1": (4, 3, 3, 3),
    "body2": (3, 4, 3, 3),
    "late": (5, 3, 3, 3),
    "dense": (3, 5 * 36),
}
INCEPTION = {
    "stem": (3, 2, 3, 3),
    "a": (2, 3, 1, 1),
    "b1": (3, 3, 1, 1),
    "b2": (2, 3, 3, 3),
    "c": (2, 3, 1, 1),
    "late": (4, 6, 3, 3),
    "dense": (3, 4 * 9),
}
DENSENET = {
    "stem": (3, 2, 3, 3),
    "grow1": (2, 3, 3, 3),
    "grow2": (2, 5, 3, 3),
    "transition": (4, 7, 1, 1),
    "dense": (3, 4 * 9),
}
SHAPES = {"residual": RESIDUAL, "inception": INCEPTION, "densenet": DENSENET}
INPUT = (2, 6, 6)


def convolution(arrays, name):
    weight = arrays[f"{name}.weight"]
    return L.Conv2d(weight, arrays[f"{name}.bias"], padding=weight.shape[-1] // 2)


def conv_relu(arrays, name, source):
    """A convolution, and the ReLU that is called NAME_relu."""
    return [(name, convolution(arrays, name), [source]), (f"{name}_relu", L.ReLU(), [name])]


def dense(arrays, source):
    layer = L.Dense(arrays["dense.weight"], arrays["dense.bias"])
    return [("flat", L.Flatten(), [source]), ("dense", layer, ["flat"])]


def residual(arrays):
    return rc.Graph(
        [
            *conv_relu(arrays, "first", "x"),
            *conv_relu(arrays, "body1", "first_relu"),
            ("body2", convolution(arrays, "body2"), ["body1_relu"]),
            ("sum", L.Add(), ["body2", "first_relu"]),
            ("sum_relu", L.ReLU(), ["sum"]),
            *conv_relu(arrays, "late", "sum_relu"),
            *dense(arrays, "late_relu"),
        ]
    )


def inception(arrays):
    return rc.Graph(
        [
            *conv_relu(arrays, "stem", "x"),
            *conv_relu(arrays, "a", "stem_relu"),
            *conv_relu(arrays, "b1", "stem_relu"),
            *conv_relu(arrays, "b2", "b1_relu"),
            ("pool", L.AvgPool(3, 1, 1), ["stem_relu"]),
            *conv_relu(arrays, "c", "pool"),
            ("cat", L.Concat(), ["a_relu", "b2_relu", "c_relu"]),
            *conv_relu(arrays, "late", "cat"),
            ("smaller", L.MaxPool(2), ["late_relu"]),
            *dense(arrays, "smaller"),
        ]
    )


def densenet(arrays):
    return rc.Graph(
        [
            *conv_relu(arrays, "stem", "x"),
            *conv_relu(arrays, "grow1", "stem_relu"),
            ("cat1", L.Concat(), ["stem_relu", "grow1_relu"]),
            *conv_relu(arrays, "grow2", "cat1"),
            ("cat2", L.Concat(), ["stem_relu", "grow1_relu", "grow2_relu"]),
            *conv_relu(arrays, "transition", "cat2"),
            ("smaller", L.MaxPool(2), ["transition_relu"]),
            *dense(arrays, "smaller"),
        ]
    )


MODELS = {"residual": residual, "inception": inception, "densenet": densenet}


@dataclass(frozen=True)
class Question:
    """A conditional attribution.

    `ways` says for which `exclude_parallel`; zennit-crp takes layers side by side in one condition only without.
    `record` names layers that are not conditioned: what zennit-crp records at those that are is masked.
    """

    conditions: list
    record: list
    ways: tuple = (True, False)
    composite: str = "EpsilonPlus"
    samples: int = 1


QUESTIONS = {
    "residual": [
        Question([{"y": [1]}], ["first_relu", "sum_relu"], composite="EpsilonPlusFlat"),
        Question([{"body1": [1], "y": [0]}], ["first_relu", "late"]),
        Question([{"late": [2, 3], "body1": [0], "y": [2]}], ["first_relu", "sum_relu"]),
        Question([{"late": [0], "y": [1]}, {"late": [4], "y": [0]}], ["sum_relu", "body2"]),
        Question([{"body1": [], "y": [0]}], ["first_relu"]),
        Question([{"late": [1], "first": [0, 2], "y": [0, 2]}], ["sum_relu", "body1_relu"], samples=2),
    ],
    "inception": [
        Question([{"y": [2]}], ["stem_relu", "a_relu", "b1", "c_relu"], composite="EpsilonPlusFlat"),
        Question([{"b1": [1], "y": [0]}], ["stem_relu", "late"]),
        Question([{"late": [1, 2], "b2": [0], "b1": [0, 2], "y": [1]}], ["stem_relu", "late_relu"]),
        Question([{"late": [0], "a": [1], "stem": [2], "y": [0]}], ["late_relu"], samples=2),
        Question([{"a": [0], "b2": [1], "c": [0, 1], "y": [1]}], ["stem_relu", "b1_relu"], ways=(False,)),
        Question([{"b1": [2], "a": [1], "y": [0]}, {"c": [0], "y": [2]}], ["stem_relu"], ways=(False,)),
        Question([{"a": [1], "y": [0]}, {"c": [1], "y": [2]}, {"late": [3], "c": [0], "y": [1]}], ["stem_relu"]),
        Question([{"late": [0, 3], "c": [], "y": [0]}], ["stem_relu", "pool"]),
        Question([{"b2": [0], "y": [1]}], ["b1_relu", "stem_relu"], composite="EpsilonAlpha2Beta1"),
    ],
    "densenet": [
        Question([{"y": [0]}], ["stem_relu", "grow1", "grow2_relu"], composite="EpsilonPlusFlat"),
        Question([{"grow1": [1], "y": [1]}], ["stem_relu", "transition"]),
        Question([{"transition": [0, 2], "grow2": [1], "grow1": [0], "y": [2]}], ["stem_relu"], samples=2),
        Question([{"grow2": [0], "stem": [1, 2], "y": [0]}], ["transition_relu"]),
        Question([{"transition": [3], "y": [1]}, {"grow2": [0, 1], "grow1": [1], "y": [2]}], ["stem_relu"]),
        Question([{"grow2": [1], "y": [2]}], ["grow1_relu", "stem_relu"], composite="EpsilonAlpha2Beta1"),
    ],
}  # fmt: skip
RUNS = {
    f"{net}/{number}/{'alone' if alone else 'all'}": (net, question, alone)
    for net, questions in QUESTIONS.items()
    for number, question in enumerate(questions)
    for alone in question.ways
}


def explained(net, arrays, x, question, exclude_parallel):
    """Give what refcrp says, as `recorded_graphs.explained` does for zennit-crp: the input's relevance as "x"."""
    lrp = rc.LRP(MODELS[net](arrays), getattr(rc, question.composite)(), dialect="zennit-crp")
    e = lrp(
        x[: question.samples],
        conditions=question.conditions,
        exclude_parallel=exclude_parallel,
        record=question.record,
    )
    return {"x": e.relevance} | {name: e.relevances[name] for name in question.record}
