"""How max pooling divides relevance; the papers do not say, and implementations differ.

Each way takes the input a (n, c, h, w), the window, and a rule for its stabilizer, and gives a `Pull`.
`refcrp.dialects.CHOICES` says what the ways mean; ``stabilized`` is refcrp's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from refcrp import kernels
from refcrp.arrays import Array, like
from refcrp.kernels import reference
from refcrp.kernels.window import Window
from refcrp.pull import Losses, Pull, per_sample
from refcrp.rule import Rule

__all__ = ["WAYS"]


def to_stabilized_winner(a: Array, window: Window, rule: Rule) -> Pull:
    """R_winner += a_winner / stabilize(z) · R_j."""
    z, winner = kernels.maxpool2d(a, window)
    a_winner = z
    if rule.near_tie:
        winner = first_near(a, z, window, rule.near_tie)
        a_winner = at(a, winner)
    share = a_winner / rule.stabilize(z)

    def pull(R_out: Array) -> Array:
        return kernels.maxpool2d_relevance(R_out, share, winner, a.shape[1:])

    def losses(R_out: Array) -> Losses:
        absorbed = (1 - share) * R_out
        is_empty = z == 0
        nothing = like(0, absorbed)
        return Losses(
            per_sample(0 * R_out, z),
            per_sample(np.where(is_empty, nothing, absorbed), z),
            per_sample(np.where(is_empty, absorbed, nothing), z),
        )

    return Pull(z, pull, losses)


def to_winner(a: Array, window: Window, rule: Rule) -> Pull:
    """R_winner += R_j."""
    z, winner = kernels.maxpool2d(a, window)
    winner = first_near(a, z, window, rule.near_tie) if rule.near_tie else winner
    return Pull(z, lambda R_out: kernels.maxpool2d_transpose(R_out, winner, a.shape[1:]))


def to_all_winners(a: Array, window: Window, rule: Rule) -> Pull:
    """R_i += R_j / m for each of the m inputs that are the maximum."""
    z, _ = kernels.maxpool2d(a, window)
    wins = [(i, j, inside & (value == z)) for i, j, value, inside in places(a, window, z)]
    count = like(np.sum([is_maximum for _, _, is_maximum in wins], axis=0), a)

    def pull(R_out: Array) -> Array:
        R_in = reference.padded_zeros((*R_out.shape[:-3], *a.shape[1:]), window, R_out.dtype)
        for i, j, is_maximum in wins:
            seen = window.seen_through(R_in, i, j, z.shape[2:])
            seen += np.where(is_maximum, R_out / count, like(0, R_out))
        return reference.crop(R_in, window)

    return Pull(z, pull)


def to_average(a: Array, window: Window, rule: Rule) -> Pull:
    """R_i += (a_i / n) / stabilize(mean) · R_j, as average pooling with the same window."""
    mean = kernels.avgpool2d(a, window, count_include_pad=True)
    denominator = rule.stabilize(mean)

    def pull(R_out: Array) -> Array:
        s = R_out / denominator
        return np.asarray(a * kernels.avgpool2d_transpose(s, a.shape[1:], window, count_include_pad=True))

    def losses(R_out: Array) -> Losses:
        absorbed = per_sample((denominator - mean) / denominator * R_out, mean)
        return Losses(0 * absorbed, absorbed, 0 * absorbed)

    return Pull(kernels.maxpool2d(a, window)[0], pull, losses)


WAYS: Mapping[str, Callable[[Array, Window, Rule], Pull]] = {
    "stabilized": to_stabilized_winner,
    "winner": to_winner,
    "shared": to_all_winners,
    "average": to_average,
}


def first_near(a: Array, z: Array, window: Window, near_tie: float) -> Array:
    """Find the first value v under each window with |v - z| <= near_tie · max(|v|, |z|); its flat index."""
    height, width = a.shape[2:]
    pixels = reference.pad(np.arange(height * width).reshape(height, width), window)
    winner = np.full(z.shape, -1)
    for i, j, value, inside in places(a, window, z):
        is_near = np.abs(value - z) <= like(near_tie, a) * np.maximum(np.abs(value), np.abs(z))
        pixel = window.seen_through(pixels, i, j, z.shape[2:])
        winner = np.where((winner < 0) & inside & is_near, pixel, winner)
    return winner


def places(a: Array, window: Window, z: Array) -> list[tuple[int, int, Array, Array]]:
    """Give, for each position (i, j) of the window, what its places see there, and whether that is inside."""
    padded = reference.pad(a, window)
    inside = reference.pad(np.ones(a.shape[2:], dtype=bool), window)
    size = z.shape[2:]
    return [
        (i, j, window.seen_through(padded, i, j, size), window.seen_through(inside, i, j, size))
        for i, j in window.positions()
    ]


def at(a: Array, pixel: Array) -> Array:
    """Give the values of a (n, c, h, w) at flat indices (n, c, oh, ow)."""
    n, c = a.shape[:2]
    return np.take_along_axis(a.reshape(n, c, -1), pixel.reshape(n, c, -1), axis=2).reshape(pixel.shape)
