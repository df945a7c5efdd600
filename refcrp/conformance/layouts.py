"""Right numbers in the wrong places, or all of them wrong in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from refcrp.arrays import Array

__all__ = ["layout", "pattern"]

Test = Callable[[Array], bool]


def layout(got: Array, expected: Array, same: Test) -> tuple[str, ...]:
    """Say which arrangement of the expected values an answer is; nothing if it is none that is known."""
    for sentence, arranged in arrangements(got, expected.shape):
        if arranged.shape == expected.shape and same(arranged):
            return (sentence,)
    return ()


def arrangements(got: Array, shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """Undo each known arrangement."""
    if got.shape == shape[1:]:
        yield "right, but the batch axis is missing", got[None]
    if got.ndim == 4 and len(shape) == 4:
        yield "right, but channels come last: (batch, height, width, channel)", np.moveaxis(got, -1, 1)
        yield "right, but height and width are swapped", got.swapaxes(-1, -2)
    if got.ndim == 2:
        yield "right, but transposed: (feature, batch)", got.T
    if got.size == np.prod(shape):
        if got.shape != shape:
            yield f"right, but of shape {got.shape}", got.reshape(shape)
        for k in range(2, len(got)):
            if len(got) == shape[0] and len(got) % k == 0:
                rows = got.reshape(k, len(got) // k, *got.shape[1:]).swapaxes(0, 1).reshape(got.shape)
                yield "right, but sample-major: all conditions of the first sample come first", rows
        if got.shape == shape and len(shape) > 1:
            yield (
                "right, but in the order of an array with channels last",
                np.moveaxis(got.reshape(shape[0], *shape[2:], shape[1]), -1, 1),
            )


@np.errstate(all="ignore")
def pattern(got: Array, expected: Array, same: Test) -> tuple[str, ...]:
    """Say what a wrong answer of the right shape, finite, has as a whole."""
    if not got.any():
        return ("everything is zero",)
    factor = fitted(got, expected)
    if factor and same(got / factor):
        return (f"everything is {times(factor)}{batch_mean(factor, len(got))}",)
    factors = [fitted(g, e) for g, e in zip(got, expected, strict=True)]
    if len(got) > 1 and all(f or not e.any() for f, e in zip(factors, expected, strict=True)):
        undone = np.array([g / (f or 1) for g, f in zip(got, factors, strict=True)])
        if same(undone):
            shown = ", ".join(f"{f:.4g}" for f in factors[:4]) + (", ..." if len(factors) > 4 else "")
            return (f"right but for a factor, another one for each sample ({shown})",)
    if same(np.abs(got) * np.sign(expected)):
        return ("right but for the sign of some values",)
    if same(np.where(got == 0, expected, got)):
        return (
            f"right but for values that are zero ({int(((got == 0) & (expected != 0)).sum())} of {got.size})",
        )
    return ()


def fitted(got: Array, expected: Array) -> float:
    """Give the factor between two arrays, by least squares; 0 if there is none."""
    size = float(np.abs(expected).max(initial=0))
    if not size:
        return 0.0
    unit = expected / size
    factor = float((got / size * unit).sum() / (unit * unit).sum())
    return factor if np.isfinite(factor) else 0.0


def times(factor: float) -> str:
    """Write a factor as one would say it."""
    sign = " and negated" if factor < 0 else ""
    size = abs(factor)
    if abs(size - 1) < 1e-9:
        return "negated"
    ratio = max(size, 1 / size)
    shown = f"{ratio:.6g}" if ratio > 1.00001 else f"{ratio:.12g}"
    return f"{shown} times too {'large' if size > 1 else 'small'}{sign}"


def batch_mean(factor: float, n: int) -> str:
    """Say so if a factor is 1 over the number of samples."""
    return f", and there are {n} samples: a mean?" if n > 1 and abs(factor * n - 1) < 1e-6 else ""
