"""The exact oracle: relevance of test cases in rational numbers, without any rounding.

A second, separate implementation of LRP and CRP that shares nothing with the engine: every float becomes the
fraction it is, every layer a matrix (`matrices`), every rule its printed equation (`equations`), one sample
at a time. Where a square root enters, results are intervals with proven ends (`intervals`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from refcrp.conformance.arithmetic import EXACT, ROUNDED, RUNNING, Bounded, Number, total
from refcrp.conformance.cases import Case
from refcrp.conformance.equations import Reading, Vector
from refcrp.conformance.intervals import Interval, nearest_float
from refcrp.conformance.steps import Step, numbers_of, step_of
from refcrp.dialects import DIALECTS, Dialect, as_dialect
from refcrp.errors import FeatureError, ParameterError, ShapeError, UnknownLayerError, nearest_names

__all__ = ["MISTAKES", "explain", "rounded", "sensitivity"]

Array = npt.NDArray[Any]
REFCRP = DIALECTS["refcrp"]

MISTAKES: Mapping[str, str] = MappingProxyType(
    {
        "bias forgotten": "the bias is missing from the denominators",
        "sign swapped": "all relevance has the opposite sign",
        "zero at zero": "sign(0) is taken as 0, so that denominators of zero pass nothing on",
        "negative at zero": "sign(0) is taken as -1, so that denominators of zero become -ε",
        "kernel flipped": "kernels are flipped: true convolution in place of cross-correlation",
        "padding counted": "the flat and w-square rules count padding as inputs",
        "softmax left on": "relevance starts as the softmax probability of the explained output",
        "softmax gradient": "relevance starts as the gradient of that output's softmax probability",
        "no stabilizer": "denominators are not stabilized, and those of zero pass nothing on",
        "gradient times input": "the result is the gradient times the input, no relevance is divided",
    }
)


def explain(
    case: Case, dialect: Dialect | str = REFCRP, *, exact: bool = True, mistake: str | None = None
) -> Array:
    """Give the relevance of a case's input.

    Parameters
    ----------
    case : Case
    dialect : Dialect or str
        What is right where the papers leave something open.
    exact : bool
        In fractions; if False, by the same equations in float64.
    mistake : str, optional
        One of `MISTAKES`, to be made on purpose.

    Returns
    -------
    (n, ...) array, or (k n, ...) for k conditions
        float64, or if `exact` an object array of Fraction, with Interval where a square root enters.

    Raises
    ------
    ParameterError
        If the dialect lacks a rule or a layer of the case, or there is no such mistake.
    RuleCompatibilityError
        If a rule is not defined on its layer.
    """
    if mistake is not None and mistake not in MISTAKES:
        raise ParameterError(f"no mistake {mistake!r}; {nearest_names(mistake, MISTAKES)}")
    R = relevance(case, Reading(as_dialect(dialect), EXACT if exact else ROUNDED, mistake=mistake))
    return R if exact else R.astype(np.float64)


def sensitivity(case: Case, dialect: Dialect | str = REFCRP) -> npt.NDArray[np.float64]:
    """Give, for each value of the relevance, how far it moves when everything is off by 1 relative.

    To first order, and as a bound: every number that enters (input, weights, biases, relevance, parameters of
    rules) and every elementary result may be off at the same time, each in the worst direction; a sum of many
    terms counts as one result, off by the sum of their absolute values. A computation in floats with unit
    roundoff u is off by about u times this, by more if its sums are long. It is zero where relevance is zero
    whatever happens.
    """
    R = relevance(case, Reading(as_dialect(dialect), RUNNING))
    bounds = [R_i.bound if isinstance(R_i, Bounded) else 0.0 for R_i in R.flat]
    return np.array(bounds, dtype=np.float64).reshape(R.shape)


def rounded(array: Array) -> npt.NDArray[np.float64]:
    """Round exact values once, to the nearest float64, ties to even.

    Raises
    ------
    RefcrpError
        If the ends of an interval round to different numbers, or a value is beyond the largest float64.
    """
    values = [v.to_float() if isinstance(v, Interval) else nearest_float(v) for v in array.flat]
    return np.array(values, dtype=np.float64).reshape(array.shape)


def relevance(case: Case, reading: Reading) -> Array:
    """Give the relevance of a case's input in any arithmetic."""
    check_known(case, reading.dialect)
    steps = list(steps_of(case, reading))
    names = [spec.name for spec in case.layers]
    conditions = [masks_of(condition, names, steps) for condition in case.conditions or ({},)]
    samples = [trace(steps, numbers_of(x, reading.arithmetic)) for x in case.x]
    results = []
    for masks in conditions:
        for n, activations in enumerate(samples):
            R = start(case, n, activations[-1], reading)
            results.append(finished(pull(steps, activations, R, masks), activations[0], reading))
    result = np.empty((len(results), *case.x.shape[1:]), dtype=object)
    for index, R in enumerate(results):
        result[index].flat = R
    return result


def check_known(case: Case, dialect: Dialect) -> None:
    """Raise `ParameterError` if the dialect lacks something in the case."""
    if lacking := sorted(case.words.intersection(dialect.lacks)):
        raise ParameterError(f"case {case.id!r}: the dialect {dialect.name!r} lacks {', '.join(lacking)}")


# Networks ---------------------------------------------------------------------------------------------------


def trace(steps: Sequence[Step], x: list[Number]) -> list[list[Number]]:
    """Give the input and the outputs of all layers."""
    activations = [x]
    for step in steps:
        activations.append(step.forward(*(activations[source] for source in step.sources)))
    return activations


def pull(
    steps: Sequence[Step], activations: Sequence[Vector], R: Vector, masks: Mapping[int, Sequence[bool]]
) -> Vector:
    """Carry relevance down to the input; what arrives at masked values of a layer's output is dropped.

    Relevance from all layers that read an output adds up there.
    """
    arrived: dict[int, list[Vector]] = {len(steps): [R]}
    for k in range(len(steps) - 1, -1, -1):
        R = together(arrived.pop(k + 1))
        if k in masks:
            R = [R_j if kept else 0 for R_j, kept in zip(R, masks[k], strict=True)]
        step = steps[k]
        parts = step.parts([activations[source] for source in step.sources], R)
        for source, R_in in zip(step.sources, parts, strict=True):
            arrived.setdefault(source, []).append(R_in)
    return together(arrived[0])


def together(parts: Sequence[Vector]) -> Vector:
    """Add up relevance that has come to the same values on different ways."""
    return parts[0] if len(parts) == 1 else [total(R) for R in zip(*parts, strict=True)]


def masks_of(
    condition: Mapping[str, Sequence[int]], names: Sequence[str], steps: Sequence[Step]
) -> dict[int, list[bool]]:
    """Say for each conditioned layer which values of its output lie in the channels named."""
    masks = {}
    for name, channels in condition.items():
        if name not in names:
            raise UnknownLayerError(f"condition on {name!r}: no such layer; {nearest_names(name, names)}")
        k = names.index(name)
        count, *space = steps[k].shape
        if not all(0 <= c < count for c in channels):
            raise FeatureError(
                f"condition on {name!r}: it has channels 0 to {count - 1}, got {list(channels)}"
            )
        masks[k] = [c in channels for c in range(count) for _ in range(math.prod(space))]
    return masks


def start(case: Case, n: int, output: Vector, reading: Reading) -> list[Number]:
    """Give the relevance of the last layer's output for sample `n`."""
    number = reading.arithmetic.number
    if case.relevance_out is not None:
        R = numbers_of(case.relevance_out[n], reading.arithmetic)
        if len(R) != len(output):
            raise ShapeError(
                f"case {case.id!r}: relevance of {len(R)} outputs, the network has {len(output)}"
            )
        return R
    if case.output is None or not 0 <= (explained := case.output[n]) < len(output):
        raise ParameterError(
            f"case {case.id!r}: output must name one of {len(output)} neurons for each sample, or "
            f"relevance_out be given; got {case.output}"
        )
    if reading.mistake in {"softmax left on", "softmax gradient"}:
        p = softmax(output)
        if reading.mistake == "softmax gradient":
            return [number(p[explained] * ((j == explained) - p_j)) for j, p_j in enumerate(p)]
        value = number(p[explained])
    elif reading.dialect.seed == "output" and reading.mistake != "gradient times input":
        value = output[explained]
    else:
        value = number(1)
    return [value if j == explained else 0 for j in range(len(output))]


def softmax(z: Vector) -> list[float]:
    """Give exp(z_j) / Σ exp(z_j), in float64: no case depends on its last digits."""
    values = [float(v.low if isinstance(v, Interval) else v) for v in z]
    powers = [math.exp(v - max(values)) for v in values]
    return [power / sum(powers) for power in powers]


def finished(R: Vector, x: Vector, reading: Reading) -> list[Number]:
    """Give the relevance of the input as numbers of one kind."""
    if reading.mistake == "gradient times input":
        R = [a * g for a, g in zip(x, R, strict=True)]
    if reading.mistake == "sign swapped":
        R = [-R_i for R_i in R]
    return [R_i if R_i else reading.arithmetic.number(0) for R_i in R]


def steps_of(case: Case, reading: Reading) -> Iterator[Step]:
    """Make each layer a step that knows what it reads: 0 is the input, k + 1 the output of layer k."""
    place, shapes = {"x": 0}, [case.x.shape[1:]]
    for k, (spec, names) in enumerate(zip(case.layers, case.inputs, strict=True)):
        for name in names:
            if name not in place:
                raise UnknownLayerError(f"layer {spec.name!r} reads {name!r}; {nearest_names(name, place)}")
        sources = tuple(place[name] for name in names)
        read = [shapes[source] for source in sources]
        step = step_of(spec, read, replace(reading, parameters=spec.rule.parameters))
        yield replace(step, sources=sources)
        place[spec.name] = k + 1
        shapes.append(step.shape)
