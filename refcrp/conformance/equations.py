"""The rules of LRP as they are printed, one function each, for one sample.

A second, separate implementation: nothing here is shared with the engine. Notation: a_i the input, W_ij the
weight from i to j, b_j the bias, R_j relevance of the output, x⁺ = max(0, x), x⁻ = min(0, x). A layer comes
as the rows of its matrix, and contributions c_ij do too: for each output j the pairs (i, c_ij).

References
----------
The equation numbers in `refcrp.rules`; for what the papers leave open, `refcrp.dialects.CHOICES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from refcrp.conformance.arithmetic import Arithmetic, Number, negative, positive, total
from refcrp.conformance.matrices import Matrix
from refcrp.dialects import Dialect

__all__ = ["RULES", "Reading", "Vector", "add", "concat", "divide", "max_pool", "stabilized", "zero"]

Vector = Sequence[Number]
Contributions = Iterable[Iterable[tuple[int, Number]]]
Stabilizer = Callable[[Number], Number]


@dataclass(frozen=True)
class Reading:
    """How the equations are read: the rule's parameters, a dialect's choices, perhaps a mistake.

    Parameters
    ----------
    dialect : Dialect
    arithmetic : Arithmetic
    parameters : mapping
        Of the rule: numbers, by name.
    mistake : str, optional
        One of `refcrp.conformance.exact.MISTAKES`.
    """

    dialect: Dialect
    arithmetic: Arithmetic
    parameters: Mapping[str, Any] = field(default_factory=dict)
    mistake: str | None = None

    def parameter(self, name: str, default: float) -> Number:
        """Give a parameter of the rule as a number."""
        return self.arithmetic.number(self.parameters.get(name, default))

    def stabilize(self, z: Number) -> Number:
        """Move a denominator away from zero, for every rule but the epsilon rule."""
        return stabilized(
            z, self.dialect.stabilizer, self.arithmetic.number(self.dialect.epsilon), self.mistake
        )

    def stabilize_epsilon(self, z: Number) -> Number:
        """Move a denominator of the epsilon rule away from zero: by its own ε."""
        epsilon, how = self.parameter("epsilon", 1e-6), self.dialect.epsilon_rule
        if how == "positive":
            epsilon = epsilon + self.arithmetic.number(self.dialect.epsilon)
        return stabilized(z, how, epsilon, self.mistake)


def stabilized(z: Number, how: str, epsilon: Number, mistake: str | None = None) -> Number:
    """z + ε sign(z) with sign(0) = 1 ("signed"), z + ε ("positive"), or ε in place of zero ("at zero")."""
    if mistake == "no stabilizer" or (how == "at zero" and z != 0):
        return z
    if z == 0 and how != "positive":
        return {"zero at zero": 0, "negative at zero": -epsilon}.get(mistake or "", epsilon)
    return z - epsilon if how == "signed" and z < 0 else z + epsilon


def divide(c: Contributions, bias: Vector, R: Vector, stabilize: Stabilizer, inputs: int) -> list[Number]:
    """R_i = Σ_j c_ij / stabilize(Σ_i c_ij + b_j) · R_j.

    Parameters
    ----------
    c : rows of pairs (i, c_ij)
        Contributions.
    bias : one number for each output
        Of the denominators.
    R : one number for each output
    stabilize : callable
        A denominator that it leaves zero passes nothing on.
    inputs : int
        How many there are.
    """
    shares: list[list[Number]] = [[] for _ in range(inputs)]
    for seen, b_j, R_j in zip(c, bias, R, strict=True):
        if not R_j:
            continue
        row = list(seen)
        z_j = stabilize(total([*(c_ij for _, c_ij in row), b_j]))
        if not z_j:
            continue
        s_j = R_j / z_j
        for i, c_ij in row:
            if c_ij:
                shares[i].append(c_ij * s_j)
    return [total(share) for share in shares]


def contributions(M: Matrix, a: Vector, c: Callable[[Number, Number], Number]) -> Contributions:
    """Give c(a_i, W_ij) for every connected pair, not computed before it is needed."""
    return (((i, c(a[i], W)) for i, W in row) for row in M.rows)


# Rules: (M, a, R, reading) -> relevance of the input --------------------------------------------------------


def zero(M: Matrix, a: Vector, R: Vector, reading: Reading) -> list[Number]:
    """R_i = Σ_j a_i W_ij / (Σ_i a_i W_ij + b_j) · R_j."""
    c = contributions(M, a, lambda a, W: a * W)
    return divide(c, M.bias, R, reading.stabilize, len(a))


def epsilon(M: Matrix, a: Vector, R: Vector, reading: Reading) -> list[Number]:
    """R_i = Σ_j a_i W_ij / (z_j + ε sign(z_j)) · R_j, z_j = Σ_i a_i W_ij + b_j."""
    c = contributions(M, a, lambda a, W: a * W)
    return divide(c, M.bias, R, reading.stabilize_epsilon, len(a))


def gamma(M: Matrix, a: Vector, R: Vector, reading: Reading) -> list[Number]:
    """R_i = Σ_j a_i (W_ij + γ W_ij⁺) / (Σ_i a_i (W_ij + γ W_ij⁺) + b_j + γ b_j⁺) · R_j."""
    if reading.dialect.gamma_contributions == "products":
        return generalized_gamma(M, a, R, reading)
    g = reading.parameter("gamma", 0.25)
    c = contributions(M, a, lambda a, W: a * (W + g * positive(W)))
    is_scaled = reading.dialect.gamma_bias == "scaled"
    bias = [b + g * positive(b) if is_scaled else b for b in M.bias]
    return divide(c, bias, R, reading.stabilize, len(a))


def generalized_gamma(M: Matrix, a: Vector, R: Vector, reading: Reading) -> list[Number]:
    """Contributions of the sign of z_j = Σ_i a_i W_ij + b_j count 1 + γ times.

    z_j > 0: a_i⁺ (W_ij + γ W_ij⁺) + a_i⁻ (W_ij + γ W_ij⁻) over its sum plus b_j + γ b_j⁺;
    z_j < 0: a_i⁺ (W_ij + γ W_ij⁻) + a_i⁻ (W_ij + γ W_ij⁺) over its sum plus b_j + γ b_j⁻.
    """
    g, z = reading.parameter("gamma", 0.25), M(a)

    def up(W: Number) -> Number:
        return W + g * positive(W)

    def down(W: Number) -> Number:
        return W + g * negative(W)

    c_up = contributions(M, a, lambda a, W: positive(a) * up(W) + negative(a) * down(W))
    c_down = contributions(M, a, lambda a, W: positive(a) * down(W) + negative(a) * up(W))
    R_up = [R_j if z_j > 0 else 0 for R_j, z_j in zip(R, z, strict=True)]
    R_down = [R_j if z_j < 0 else 0 for R_j, z_j in zip(R, z, strict=True)]
    from_up = divide(c_up, [up(b) for b in M.bias], R_up, reading.stabilize, len(a))
    from_down = divide(c_down, [down(b) for b in M.bias], R_down, reading.stabilize, len(a))
    return [total(parts) for parts in zip(from_up, from_down, strict=True)]


def zplus(M: Matrix, a: Vector, R: Vector, reading: Reading) -> list[Number]:
    """R_i = Σ_j (a_i W_ij)⁺ / (Σ_i (a_i W_ij)⁺ + b_j⁺) · R_j; or a_i W_ij⁺, or another bias."""
    if reading.dialect.zplus_contributions == "weights":
        c = contributions(M, a, lambda a, W: a * positive(W))
    else:
        c = contributions(M, a, lambda a, W: positive(a * W))
    whole, none = M.bias, [0] * len(M.bias)
    bias = {"positive": [positive(b) for b in M.bias], "whole": whole, "none": none}
    return divide(c, bias[reading.dialect.zplus_bias], R, reading.stabilize, len(a))


def alpha_beta(M: Matrix, a: Vector, R: Vector, reading: Reading) -> list[Number]:
    """R_i = Σ_j [α (a_i W_ij)⁺ / (Σ_i (a_i W_ij)⁺ + b_j⁺) - β (a_i W_ij)⁻ / (Σ_i (a_i W_ij)⁻ + b_j⁻)] R_j.

    Or the whole bias in both denominators, or none.
    """
    alpha, beta = reading.parameter("alpha", 2.0), reading.parameter("beta", 1.0)
    whole, none = M.bias, [0] * len(M.bias)
    parts = [positive(b) for b in M.bias], [negative(b) for b in M.bias]
    choices = {"parts": parts, "whole": (whole, whole), "none": (none, none)}
    b_for, b_against = choices[reading.dialect.alpha_beta_bias]
    c_for = contributions(M, a, lambda a, W: positive(a * W))
    c_against = contributions(M, a, lambda a, W: negative(a * W))
    R_for = divide(c_for, b_for, R, reading.stabilize, len(a))
    R_against = divide(c_against, b_against, R, reading.stabilize, len(a)) if beta else [0] * len(a)
    return [total((alpha * f, -(beta * g))) for f, g in zip(R_for, R_against, strict=True)]


def wsquare(M: Matrix, a: Vector, R: Vector, reading: Reading) -> list[Number]:
    """R_i = Σ_j W_ij² / Σ_i W_ij² · R_j; one dialect has + b_j² in the denominator."""
    c = contributions(M, a, lambda a, W: W * W)
    squared = reading.dialect.wsquare_bias == "squared"
    extra = on_padding(M, reading, lambda W: W * W)
    bias = [total([b * b, e]) if squared else e for b, e in zip(M.bias, extra, strict=True)]
    return divide(c, bias, R, reading.stabilize, len(a))


def flat(M: Matrix, a: Vector, R: Vector, reading: Reading) -> list[Number]:
    """R_i = Σ_j 1 / n_j · R_j, n_j the number of inputs that j sees."""
    c = contributions(M, a, lambda a, W: 1)
    return divide(c, on_padding(M, reading, lambda W: 1), R, reading.stabilize, len(a))


def on_padding(M: Matrix, reading: Reading, c: Callable[[Number], Number]) -> list[Number]:
    """Give what padding adds to the denominators: nothing, unless by mistake."""
    if reading.mistake != "padding counted" or not M.on_padding:
        return [0] * len(M.rows)
    return [total(c(W) for W in weights) for weights in M.on_padding]


def zbox(M: Matrix, a: Vector, R: Vector, reading: Reading) -> list[Number]:
    """R_i = Σ_j c_ij / Σ_i c_ij · R_j, c_ij = a_i W_ij - l W_ij⁺ - h W_ij⁻; the bias b - b⁺ - b⁻ is zero."""
    low, high = reading.parameter("low", 0.0), reading.parameter("high", 1.0)
    c = contributions(M, a, lambda a, W: a * W - low * positive(W) - high * negative(W))
    bias = [b - positive(b) - negative(b) for b in M.bias]
    return divide(c, bias, R, reading.stabilize, len(a))


RULES: Mapping[str, Callable[[Matrix, Vector, Vector, Reading], list[Number]]] = {
    "zero": zero,
    "epsilon": epsilon,
    "gamma": gamma,
    "generalized_gamma": generalized_gamma,
    "zplus": zplus,
    "alpha_beta": alpha_beta,
    "wsquare": wsquare,
    "flat": flat,
    "zbox": zbox,
}


# What is not linear, or has several inputs ------------------------------------------------------------------


def max_pool(
    windows: Sequence[Sequence[int]], a: Vector, R: Vector, reading: Reading, stabilize: Stabilizer
) -> list[Number]:
    """All to the winner i, the first that equals the maximum z_j: R_i = Σ_j a_i / stabilize(z_j) · R_j.

    Dialects leave the factor out, take what is just near the maximum, or share R_j equally among ties. One
    divides as average pooling, by the matrix of that.
    """
    shares: list[list[Number]] = [[] for _ in a]
    for window, R_j in zip(windows, R, strict=True):
        z_j = largest([a[i] for i in window])
        if reading.dialect.max_pool == "shared":
            winners = [i for i in window if a[i] is z_j or a[i] == z_j]
            for i in winners:
                shares[i].append(R_j / len(winners))
            continue
        winner = next(i for i in window if is_near(a[i], z_j, reading))
        if reading.dialect.max_pool == "winner":
            shares[winner].append(R_j)
        elif denominator := stabilize(z_j):
            shares[winner].append(a[winner] / denominator * R_j)
    return [total(share) for share in shares]


def largest(values: Vector) -> Number:
    """Give the maximum."""
    best = values[0]
    for value in values[1:]:
        best = value if value > best else best
    return best


def is_near(v: Number, z: Number, reading: Reading) -> bool:
    """Whether a value counts as the maximum z: |v - z| <= near_tie · max(|v|, |z|)."""
    near = reading.dialect.near_tie
    if v is z or not near or v == z:  # one and the same interval is equal to itself
        return bool(v is z or v == z)
    return bool(z - v <= reading.arithmetic.number(near) * largest([v, -v, z, -z]))


def add(branches: Sequence[Vector], R: Vector, stabilize: Stabilizer) -> list[list[Number]]:
    """Give each branch of a sum its part: R_branch = branch / stabilize(Σ branches) · R."""
    z = [stabilize(total(values)) for values in zip(*branches, strict=True)]
    return [
        [x / z_i * R_i if z_i else 0 for x, z_i, R_i in zip(branch, z, R, strict=True)] for branch in branches
    ]


def concat(sizes: Sequence[int], R: Vector) -> list[list[Number]]:
    """Give each branch of a concatenation the relevance of its own values."""
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    return [list(R[start : start + size]) for start, size in zip(starts, sizes, strict=True)]
