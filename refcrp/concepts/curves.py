"""Curves: how a score moves while more and more of the input, or of a layer, is flipped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from refcrp.arrays import Array
from refcrp.checks import as_integer
from refcrp.drawing import require_matplotlib
from refcrp.errors import ArrayTypeError, ParameterError
from refcrp.selection import Indices

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "FlippingCurve",
    "Score",
    "check_score",
    "descending",
    "flip_counts",
    "is_flipped",
    "random_order",
    "score_of",
]

Score = Literal["logit", "probability"]


@dataclass(frozen=True, eq=False)
class FlippingCurve:
    """A score after each step of flipping, for n samples.

    Attributes
    ----------
    steps : (s,) array of int
        How many parts are flipped at each point of the curve; the first is 0.
    scores : (n, s) array
        The explained output neuron, at each point.
    order : (n, parts) array of int
        Which part is flipped first, second, ...
    selected : (n,) array of int
        The output neuron that was explained.
    label : str
        What gave the order.
    parts : str
        What is flipped.
    rises : bool
        Whether flipping builds the input up, so that a good order raises the score; otherwise it takes away.

    Examples
    --------
    >>> import numpy as np
    >>> import refcrp as rc
    >>> steps, order = np.array([0, 1, 2]), np.array([[1, 0]])
    >>> curve = rc.FlippingCurve(steps, np.array([[9.0, 3.0, 0.0]]), order, np.array([0]), "mine", "pixels")
    >>> curve.change, curve.area, curve.aopc
    (array([[0., 6., 9.]]), array([5.25]), array([5.]))
    """

    steps: Indices
    scores: Array
    order: Indices
    selected: Indices
    label: str
    parts: str
    rises: bool = False

    @property
    def fractions(self) -> Array:
        """The fraction of all parts that is flipped at each point, (s,)."""
        return np.asarray(self.steps / self.order.shape[1])

    @property
    def change(self) -> Array:
        """How far the score is from the curve's first point, (n, s): the drop, or the gain if it `rises`."""
        start = self.scores[:, :1]
        return np.asarray(self.scores - start if self.rises else start - self.scores)

    @property
    def area(self) -> Array:
        """Area between each curve and its first point, (n,): the larger, the earlier what counts was flipped.

        Trapezoidal rule on `change` over the number of flipped parts, divided by the last of these: the mean
        change on the way. If all parts are flipped, this is the area over the fraction in [0, 1].
        """
        return np.asarray(trapezoid(self.change, self.steps) / int(self.steps[-1]))

    @property
    def aopc(self) -> Array:
        """Area over the perturbation curve, (n,): the mean of `change` over all points, the first included.

        With L steps, 1 / (L + 1) Σ_{k=0..L} (f(x⁽⁰⁾) - f(x⁽ᵏ⁾)): Samek et al. 2017, before their mean
        over samples.
        """
        return np.asarray(self.change.sum(axis=1) / len(self.steps))

    @property
    def mean(self) -> Array:
        """The mean of the scores over samples, (s,)."""
        return np.asarray(self.scores.sum(axis=0) / len(self.scores))

    def draw(self, path: str | PathLike[str] | None = None, **others: FlippingCurve) -> Figure:
        """Draw the mean curve, and those of single samples if there are no others to compare with.

        Parameters
        ----------
        path : path, optional
            Where to write the picture; the ending says in which format.
        **others : FlippingCurve
            Curves to draw beside this one, by label: ``relevance.draw("flip.png", random=random)``.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingDependencyError
            If matplotlib is not installed.
        """
        return draw_curves({self.label: self} | others, path)

    def __repr__(self) -> str:
        n, points = self.scores.shape
        return (
            f"FlippingCurve({self.parts} by {self.label}: {n} samples, {points} points, "
            f"mean area {float(self.area.sum() / max(n, 1)):.4g})"
        )


def trapezoid(values: Array, places: Indices) -> Array:
    """Integrate (n, s) values over s places by the trapezoidal rule; exact for fractions."""
    return np.asarray(((values[:, 1:] + values[:, :-1]) * np.diff(places)).sum(axis=1) / 2)


# What all curves need ---------------------------------------------------------------------------------------


def flip_counts(steps: int | Iterable[int] | None, parts: int) -> Indices:
    """Give how many of so many parts are flipped at each point of a curve, from 0 on.

    `steps` is the number of steps to all of them, k parts·k/steps rounded down, or the counts themselves;
    None is one part a step.

    Raises
    ------
    ParameterError
        If there are more steps than parts, or counts do not increase from 1 to `parts` at most.
    """
    if steps is None:
        return np.arange(parts + 1, dtype=np.intp)
    if not isinstance(steps, Iterable):
        count = as_integer(steps, "steps", 1)
        if count > parts:
            raise ParameterError(f"steps={count}: there are only {parts} parts to flip")
        return np.asarray(np.arange(count + 1, dtype=np.intp) * parts // count)
    if isinstance(steps, str):
        raise ParameterError(f"steps: expected a number of steps, or counts, got {steps!r}")
    counts = [0, *(as_integer(step, "steps") for step in steps)]
    if len(counts) < 2 or min(np.diff(counts)) < 1 or counts[-1] > parts:
        raise ParameterError(
            f"steps: expected counts that increase from 1 or more to {parts} at most, got {counts[1:]}"
        )
    return np.asarray(counts, dtype=np.intp)


def descending(values: Array) -> Indices:
    """Rank (n, parts) from the highest to the lowest value, the lower index first among equals."""
    return np.asarray(np.argsort(-values, axis=1, kind="stable"), dtype=np.intp)


def random_order(n: int, parts: int, seed: int) -> Indices:
    """Give an order of its own to each of n samples, the same for the same seed."""
    rng = np.random.default_rng(as_integer(seed, "seed"))
    return np.stack([rng.permutation(parts) for _ in range(n)]) if n else np.empty((0, parts), np.intp)


def is_flipped(order: Indices, count: int) -> Array:
    """Tell which parts are among the first `count` of the order, (n, parts) of bool."""
    flipped = np.zeros(order.shape, dtype=bool)
    np.put_along_axis(flipped, order[:, :count], True, axis=1)
    return flipped


def check_score(score: object, what: str) -> None:
    """Raise `ParameterError` unless there is such a score."""
    if score not in ("logit", "probability"):
        raise ParameterError(f"{what}: score={score!r}, expected 'logit' or 'probability'")


def score_of(output: Array, selected: Indices, score: Score) -> Array:
    """Give the score of the selected neurons, (n,), from the model's output (n, neurons)."""
    if score == "probability":
        if output.dtype == object:
            raise ArrayTypeError("score='probability': a softmax has no exact value; use score='logit'")
        e = np.exp(output - output.max(axis=1, keepdims=True))
        output = e / e.sum(axis=1, keepdims=True)
    return np.asarray(output[np.arange(len(output)), selected])


def draw_curves(curves: dict[str, FlippingCurve], path: str | PathLike[str] | None) -> Figure:
    """Draw the mean of each curve over the fraction flipped; of a single one its samples too."""
    for label, curve in curves.items():
        if not isinstance(curve, FlippingCurve):
            raise ParameterError(f"draw: {label}: expected a FlippingCurve, got {curve!r}")
    require_matplotlib()
    from matplotlib.figure import Figure  # noqa: PLC0415 - imported where it is used

    figure = Figure(figsize=(6, 4), layout="constrained")
    axis = figure.subplots()
    for label, curve in curves.items():
        scores: Any = np.asarray(curve.scores, dtype=np.float64)
        if len(curves) == 1 and len(scores) > 1:
            axis.plot(curve.fractions, scores.T, color="0.8", linewidth=0.7, zorder=1)
        area = float(curve.area.sum() / len(scores))
        axis.plot(curve.fractions, scores.mean(axis=0), linewidth=2, label=f"{label}: area {area:.3g}")
    first = next(iter(curves.values()))
    axis.set_xlabel(f"fraction of {first.parts} {'kept' if first.rises else 'flipped'}")
    axis.set_ylabel(f"score of the output neuron (mean of {len(first.scores)})")
    axis.legend()
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure
