"""A rule worked out as with a pencil: in fractions, neuron by neuron, without the stabilizer.

What counts is what ``rule.shares()`` says, so that the page on rules shows what the code does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from network_drawing import EDGES, NAMES, Edge, show

import refcrp as rc

Rules = Mapping[str, rc.Rule]  # which neuron divides by which rule


@dataclass(frozen=True)
class Network:
    """Three neurons: weights by arrow, (from, to), and biases by neuron."""

    W: Mapping[Edge, Any]
    b: Mapping[str, Any]

    def inputs_of(self, j: str) -> list[str]:
        """Name the neurons that j reads."""
        return [i for i, to in EDGES if to == j]

    def forward(self, x1: Any, x2: Any) -> dict[str, Fraction]:
        """Compute the value of each neuron; the output has no ReLU."""
        a = {"x1": Fraction(x1), "x2": Fraction(x2)}
        for j in ("h1", "h2", "y"):
            z = sum(self.contributions(a, j).values(), Fraction(self.b.get(j, 0)))
            a[j] = z if j == "y" else max(z, Fraction(0))
        return a

    def contributions(self, a: Mapping[str, Fraction], j: str) -> dict[str, Fraction]:
        """a_i W_ij of each input i of j."""
        return {i: a[i] * self.W[i, j] for i in self.inputs_of(j)}

    def model(self) -> rc.Sequential:
        """Give the same network as a model of refcrp, for checks."""
        weights = [[float(self.W[i, j]) for i in self.inputs_of(j)] for j in ("h1", "h2", "y")]
        biases = [float(self.b.get(j, 0)) for j in ("h1", "h2", "y")]
        hidden = rc.layers.Dense(weights[:2], biases[:2], activation="relu")
        return rc.Sequential([hidden, rc.layers.Dense(weights[2:], biases[2:])])


@dataclass(frozen=True)
class Division:
    """One share at one neuron: what each input contributes, as the share counts it, and the bias."""

    scale: Any
    counted: Mapping[str, Fraction]
    bias: Fraction

    @property
    def denominator(self) -> Fraction:
        """The sum of all that counts."""
        return sum(self.counted.values(), self.bias)

    def share(self, part: Fraction) -> Fraction:
        """Give the share of one part; 0 where there is nothing to have a share of."""
        return part / self.denominator if self.denominator else Fraction(0)


def divisions(net: Network, a: Mapping[str, Fraction], rule: rc.Rule, j: str) -> Iterator[Division]:
    """Evaluate those shares of a rule that hold for neuron j."""
    names = net.inputs_of(j)
    inputs = np.array([a[i] for i in names], dtype=object)
    W = np.array([Fraction(net.W[i, j]) for i in names], dtype=object)
    b = np.array([Fraction(net.b.get(j, 0))], dtype=object)
    for share in rule.shares():
        if share.where is None or share.where(W @ inputs + b)[0]:
            cs = share.contributions
            counted = sum(c.sign * c.input(inputs) * c.weight(W) for c in cs)
            bias = sum(c.sign * c.bias(b)[0] for c in cs)
            yield Division(share.scale, dict(zip(names, counted, strict=True)), bias)


def backward(
    net: Network, a: Mapping[str, Fraction], rules: Rules
) -> tuple[dict[str, Fraction], dict[Edge, Fraction], dict[str, dict[str, Fraction]]]:
    """Give the relevance of each neuron, the message on each arrow, and what stays where and why."""
    R = dict.fromkeys(a, Fraction(0)) | {"y": Fraction(1)}
    messages: dict[Edge, Fraction] = {}
    losses = {}
    for j in ("y", "h2", "h1"):
        parts = list(divisions(net, a, rules[j], j))
        for i in net.inputs_of(j):
            messages[i, j] = sum(d.scale * d.share(d.counted[i]) for d in parts) * R[j]
            R[i] += messages[i, j]
        losses[j] = {
            "bias": sum(d.scale * d.share(d.bias) for d in parts) * R[j],
            "left over": sum(d.scale for d in parts if d.denominator == 0) * R[j],
        }
    return R, messages, losses


def bill(
    net: Network, a: Mapping[str, Fraction], rules: Rules, neurons: Sequence[str], titles: Sequence[str]
) -> str:
    """Write one Markdown table: who contributed what to these neurons, and gets what; a title a share."""
    R, messages, losses = backward(net, a, rules)
    head = ["", *(cell for title in titles for cell in (title, "share")), "relevance"]
    lines = [head, [":--", *["--:"] * (len(head) - 1)]]
    for j in neurons:
        parts = list(divisions(net, a, rules[j], j))
        totals = [cell for d in parts for cell in (show(d.denominator), "1" if d.denominator else "")]
        for i in net.inputs_of(j):
            lines.append([NAMES[i], *shares(parts, [d.counted[i] for d in parts]), show(messages[i, j])])
        if any(d.bias for d in parts):
            lines.append(["bias", *shares(parts, [d.bias for d in parts]), show(losses[j]["bias"])])
        if losses[j]["left over"]:
            lines.append(["left over", *[""] * len(totals), show(losses[j]["left over"])])
        at = [f"sum at\N{NO-BREAK SPACE}{NAMES[j]}", *totals, show(R[j])]
        lines.append([f"**{cell}**" if cell else "" for cell in at])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shares(parts: Sequence[Division], counted: Sequence[Fraction]) -> list[str]:
    """Write for each division what counts and its share; nothing where it does not count."""
    pairs = zip(parts, counted, strict=True)
    cells = [(show(part), show(d.share(part))) if part else ("", "") for d, part in pairs]
    return [text for cell in cells for text in cell]


def everywhere(rule: rc.Rule) -> Rules:
    """Give every neuron the same rule."""
    return dict.fromkeys(("h1", "h2", "y"), rule)


def check(net: Network, a: Mapping[str, Fraction], rules: Rules) -> None:
    """Stop the build unless the library, which stabilizes, gives the same, and all parts sum to 1."""
    R, _, losses = backward(net, a, rules)
    x = np.array([[float(a["x1"]), float(a["x2"])]])
    theirs = rc.LRP(net.model(), [rules["h1"], rules["y"]])(x).relevance[0]
    assert np.allclose(theirs, [float(R["x1"]), float(R["x2"])])
    assert R["x1"] + R["x2"] + sum(sum(lost.values()) for lost in losses.values()) == 1
