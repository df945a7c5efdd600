"""The tables of all rules, made from the rules themselves.

A formula is put together from what ``rule.shares()`` returns, so that the page says what the code does. A
modifier that is not known here stops the build.
"""

from __future__ import annotations

import base64
import inspect
import io
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.image import imsave

import refcrp as rc
from refcrp import modifiers as m
from refcrp.layers.base import reshaping_pull

SYMBOLS = {
    "alpha": r"\alpha",
    "beta": r"\beta",
    "gamma": r"\gamma",
    "epsilon": r"\varepsilon",
    "low": "l_i",
    "high": "h_i",
}
# Where the equation is computed of rules that divide nothing by shares.
ELSEWHERE = {rc.PassRule: reshaping_pull, rc.LayerNormRule: rc.layers.LayerNorm.linearize_centring}
CONDITIONS = {m.is_positive: "z_j > 0", m.is_negative: "z_j < 0"}

# What a modifier makes of a symbol; None for what is 1 everywhere, and left out of a product.
SHOWN = {
    m.keep: "{0}",
    m.positive: "{0}^+",
    m.negative: "{0}^-",
    m.square: "{0}^2",
    m.ones: None,
}


@dataclass(frozen=True)
class Row:
    """One rule, with what is not in the code: when one takes it, and a picture of what it does.

    Parameters
    ----------
    rule : Rule
    when : str
        Markdown.
    place : str
        Where the rule was used for the picture.
    picture : (height, width) array
        Relevance of the pixels.
    """

    rule: rc.Rule
    when: str
    place: str
    picture: np.ndarray


def table(rows: Iterable[Row]) -> str:
    """Write the rows as a MyST list-table: rule, equation, when, code."""
    head = ["Rule", "Equation", "When to use", "Code"]
    lines = [":::::{list-table}", ":class: rules", ":header-rows: 1", ""]
    for cells in (head, *(cells_of(row) for row in rows)):
        for k, cell in enumerate(cells):
            start = "* - " if k == 0 else "  - "
            lines.append(start + textwrap.indent(cell, "    ").lstrip())
    return "\n".join([*lines, ":::::"])


def cells_of(row: Row) -> list[str]:
    """Write the four cells of a rule."""
    rule, name = row.rule, type(row.rule).__name__
    head = f"{{py:class}}`{name} <refcrp.{name}>`\n\n{image(row.picture, name)}\n\n*{row.place}*"
    title, rest = first_line(rule)
    says = f"**{title}:** {rest}" if title else rest
    formula, symbols = (equation(rule), "") if rule.shares() else from_docstring(rule)
    code = f"<details><summary>its lines of code</summary>\n\n```python\n{source(rule)}\n```\n\n</details>"
    return [head, f"{says}\n\n$${formula}$$\n\n{symbols}", row.when, code]


def table_of_shares(rules: Iterable[rc.Rule]) -> str:
    """Write what each rule's shares are in Markdown: a row a share."""
    lines = ["| rule | scale | contributions | bias |", "|:--|:--|:--|:--|"]
    for rule in rules:
        name = first_line(rule)[0]
        for share in rule.shares():
            where = "" if share.where is None else f" where ${CONDITIONS[share.where]}$"
            scale = f"${factor(share.scale, rule) or 1}${where}"
            contributions = ", ".join(f"${numerator(c, rule)}$" for c in share.contributions)
            added = f"${text}$" if (text := bias(share, rule)) else "none"
            lines.append(f"| {name} | {scale} | {contributions} | {added} |")
            name = ""
    return "\n".join(lines)


def first_line(rule: rc.Rule) -> tuple[str, str]:
    """Give the rule's name in the literature, if it has one, and the rest of its docstring's first line."""
    line = inspect.getdoc(type(rule)).splitlines()[0]
    name, colon, rest = line.partition(": ")
    return (name, rest) if colon else ("", line)


def equation(rule: rc.Rule) -> str:
    """Write R_i in LaTeX, from the rule's shares."""
    shares = rule.shares()
    if shares[0].where is not None:
        cases = r" \\ ".join(f"{fraction(s, rule)} & {CONDITIONS[s.where]}" for s in shares)
        return rf"R_i = \sum_j R_j \begin{{cases}} {cases} \end{{cases}}"
    terms = [f"{factor(share.scale, rule)} {fraction(share, rule)}".strip() for share in shares]
    inner = terms[0] if len(terms) == 1 else rf"\left( {joined(terms)} \right)"
    return rf"R_i = \sum_j {inner} \, R_j"


def fraction(share: rc.Share, rule: rc.Rule) -> str:
    """Write a share: contributions over their sum and the bias."""
    terms = [numerator(c, rule) for c in share.contributions]
    top = joined(terms)
    total = rf"\sum_i ({top})" if len(terms) > 1 else rf"\sum_i {top}"
    stabilizer = symbol(float(rule.stabilize(np.zeros(1))[0]), rule)
    added = [text for text in (bias(share, rule),) if text]
    if stabilizer in SYMBOLS.values():
        added.append(rf"\pm {stabilizer}")
    bottom = joined([total, *added])
    return rf"\dfrac{{{top}}}{{{bottom}}}"


def numerator(c: rc.Contribution, rule: rc.Rule) -> str:
    """Write sign · in(a)_i · w(W)_ij."""
    parts = [shown(c.input, "a_i", rule), shown(c.weight, "W_{ij}", rule)]
    kept = [f"({part})" if " + " in part else part for part in parts if part is not None]
    return ("-" if c.sign < 0 else "") + (" ".join(kept) or "1")


def bias(share: rc.Share, rule: rc.Rule) -> str:
    """Write what of the bias is in a share's denominator; nothing if none of it."""
    terms = [
        ("-" if c.sign < 0 else "") + shown(c.bias, "b_j", rule)
        for c in share.contributions
        if c.bias is not m.zero
    ]
    return joined(terms)


def shown(modifier: m.Modifier, of: str, rule: rc.Rule) -> str | None:
    """Write a modified input, weight or bias."""
    if isinstance(modifier, m.Constant):
        return symbol(modifier.value, rule)
    if isinstance(modifier, m.AddPositive | m.AddNegative):
        sign = "+" if isinstance(modifier, m.AddPositive) else "-"
        return f"{of} + {symbol(modifier.gamma, rule)} {of}^{sign}"
    text = SHOWN[modifier]
    return None if text is None else text.format(of)


def symbol(value: Any, rule: rc.Rule) -> str:
    """Write a number as the parameter of the rule that it is, or as itself."""
    names = [f.name for f in fields(rule)] if is_dataclass(rule) else []
    for name in names:
        for sign, number in (("", value), ("-", -value)):
            if np.array_equal(number, getattr(rule, name)):
                return sign + SYMBOLS[name]
    return f"{value:g}"


def factor(scale: Any, rule: rc.Rule) -> str:
    """Write a share's scale, nothing for 1."""
    return "" if scale == 1 else symbol(scale, rule)


def joined(terms: list[str]) -> str:
    """Put signs between the terms of a sum."""
    text = terms[0] if terms else ""
    for term in terms[1:]:
        text += f" - {term[1:]}" if term[0] == "-" else f" {term}" if term[:3] == r"\pm" else f" + {term}"
    return text


def from_docstring(rule: rc.Rule) -> tuple[str, str]:
    """Give the equation of a rule without shares, from its docstring, and what its symbols mean."""
    found = re.search(r"``(R_i.*?)``,  (.*?)\n\n", inspect.getdoc(type(rule)), re.DOTALL)
    text = found[1].replace("Σ_", r"\sum_").replace("δ_ij", r"\delta_{ij}").replace("·", r"\,")
    symbols = found[2].replace("\n", " ").replace("δ_ij =", r"$\delta_{ij}$ is").replace("i = j", "$i = j$")
    top_and_bottom = re.fullmatch(r"(R_i = \\sum_j) (.*?) / \((.*)\) (\\, R_j)", text)
    if top_and_bottom:
        text = r"{} \dfrac{{{}}}{{{}}} {}".format(*top_and_bottom.groups())
    return text, f"{symbols}."


def source(rule: rc.Rule) -> str:
    """Give the lines of code that make a rule what it is."""
    cls = type(rule)
    if cls in ELSEWHERE:
        return textwrap.dedent(inspect.getsource(ELSEWHERE[cls]))
    methods = [cls.shares] + ([cls.stabilize] if cls.stabilize is not rc.Rule.stabilize else [])
    code = "\n".join(textwrap.dedent(inspect.getsource(method)) for method in methods)
    module = inspect.getsource(inspect.getmodule(cls)).splitlines()
    constants = [line for line in module if re.match(r"[A-Z]+ = ", line) and f"({line.split()[0]}" in code]
    return code + "\n" * bool(constants) + "\n".join(constants)


def image(R: np.ndarray, name: str) -> str:
    """Draw relevance as a picture within the page: red where positive, blue where negative."""
    top = np.abs(R).max() or 1
    colours = mpl.colormaps["bwr"](0.5 + R / (2 * top), bytes=True)
    large = colours.repeat(4, axis=0).repeat(4, axis=1)
    file = io.BytesIO()
    imsave(file, large, format="png")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="Relevance of the digit\'s pixels under {name}" src="data:image/png;base64,{data}">'
