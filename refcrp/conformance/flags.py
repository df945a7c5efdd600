"""Flags: what is special about a test vector, and which of them follow from its data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from refcrp.conformance.cases import Case
from refcrp.dialects import Dialect

__all__ = ["FLAGS", "IMPLIED", "MAX_CONDITION", "has", "implied_flags", "needs_float64"]

FLAGS: Mapping[str, str] = {
    # what kind of vector it is
    "layer": "one layer under one rule, an ordinary case",
    "edge": "one layer under one rule, at an edge of what the equations cover",
    "network": "several layers",
    "hand-checked": "small enough to be worked out by hand, and it was",
    # what can be read off the data; a flag stands there if, and only if, it is so
    "batch": "more than one sample",
    "no-bias": "a layer that could have a bias has none",
    "padding": "a convolution or a pooling layer has padding",
    "stride": "a convolution has a stride other than 1",
    "dilation": "a convolution has dilation",
    "groups": "a convolution has groups",
    "one-pixel": "the input is a map of one pixel",
    "positive-input": "all inputs are positive",
    "negative-input": "all inputs are negative",
    "zero-input": "all inputs are zero",
    "signed-relevance": "relevances of both signs are given for the output",
    "crp": "relevance is masked by conditions",
    "square-root": "normalisation has a root: the expected values were rounded from bounds that prove them",
    "merge": "a layer has several inputs",
    "dialects-differ": "dialects expect values that differ by more than a thousandth of the largest",
    # what its author says of it
    "unseen-inputs": "some inputs are seen by no window",
    "zero-denominator": "a denominator is exactly zero",
    "bias-only": "weights are zero, so that the output is bias alone",
    "cancellation": "a denominator is a small difference of large terms",
    "huge": "magnitudes around 1e9 and above",
    "tiny": "magnitudes around 1e-9 and below, where the stabilizer counts",
    "tie": "the maximum of a window is there more than once",
    "near-tie": "two values of a window differ by less than a thousandth",
    "zero-window": "a window of zeros",
    "negative-maximum": "all values of a window are negative",
    "overlap": "windows overlap",
    "float64-only": "float32 cannot do it: numbers it does not have, or too large a condition number",
}

IMPLIED = (
    *("network", "batch", "no-bias", "padding", "stride", "dilation", "groups", "one-pixel"),
    *("positive-input", "negative-input", "zero-input", "signed-relevance"),
    *("crp", "square-root", "merge", "dialects-differ"),
)
MAX_CONDITION = 2.0**14  # beyond it float32, with its 2**-24, keeps no more than three digits
CONVOLUTIONS = ("conv2d", "conv_transpose2d")
NORMS = ("layer_norm", "group_norm", "instance_norm")
WITH_BIAS = (*CONVOLUTIONS, "dense", "scale", *NORMS)


def has(dialect: Dialect, case: Case) -> bool:
    """Tell whether a dialect has all layers and rules of a case, by its `lacks`."""
    return case.words.isdisjoint(dialect.lacks)


def implied_flags(case: Case) -> set[str]:
    """Give the flags that follow from the data of a case."""
    convolutions = [spec.settings for spec in case.layers if spec.kind in CONVOLUTIONS]
    R = np.zeros(1) if case.relevance_out is None else case.relevance_out
    true = {
        "network": len(case.layers) > 1,
        "batch": len(case.x) > 1,
        "no-bias": any(spec.kind in WITH_BIAS and "bias" not in spec.arrays for spec in case.layers),
        "padding": "padding" in case.words,
        "stride": any(settings["stride"] != (1, 1) for settings in convolutions),
        "dilation": "dilation" in case.words,
        "groups": "groups" in case.words,
        "one-pixel": case.x.ndim == 4 and case.x.shape[2:] == (1, 1),
        "positive-input": bool((case.x > 0).all()),
        "negative-input": bool((case.x < 0).all()),
        "zero-input": not case.x.any(),
        "signed-relevance": bool(R.min() < 0 < R.max()),
        "crp": case.conditions is not None,
        "square-root": any(spec.kind in ("batch_norm", *NORMS) for spec in case.layers),
        "merge": any(len(names) > 1 for names in case.inputs),
        "dialects-differ": dialects_differ(case),
    }
    return {flag for flag in IMPLIED if true[flag]}


def dialects_differ(case: Case) -> bool:
    """Tell whether dialects expect different values, by more than what stabilizers of another size do."""
    expected = np.array(list(case.expected.values()))
    return bool(expected.size and np.ptp(expected, axis=0).max() > 1e-3 * np.abs(expected).max())


def needs_float64(case: Case) -> bool:
    """Tell whether a case is certainly beyond float32: by its numbers, or by its condition number."""
    arrays = [array for spec in case.layers for array in spec.arrays.values()]
    arrays += [case.x] if case.relevance_out is None else [case.x, case.relevance_out]
    with np.errstate(over="ignore"):
        is_exact = all(np.array_equal(array.astype(np.float32), array) for array in arrays)
    return not is_exact or case.condition_number > MAX_CONDITION
