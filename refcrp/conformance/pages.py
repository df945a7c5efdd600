"""Reports as text, Markdown and HTML, which are one list of blocks written in three ways, and as JSON."""

from __future__ import annotations

import html
import json
import math
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from refcrp.tables import aligned

if TYPE_CHECKING:
    from refcrp.conformance.report import Group, Outcome, Report

__all__ = ["Heading", "Paragraph", "Table", "as_html", "as_json", "as_markdown", "as_text", "blocks"]

ERRORS = ("pass", "fail", "not supported", "ulp", "relative", "scaled")
UNKNOWN = "unlike any known way"
WIDTH = 110  # of the text, but for tables
EXPLAINED = (
    "Errors: ulp, in units of the last place where the expected value is not zero; relative, to the largest "
    "expected magnitude of the vector; scaled, in units of u·scale, which is what rounding alone can cost. A "
    "vector passes if no scaled error exceeds {tolerance:g}. The vector named has the largest scaled error."
)
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; margin: 1em 0; font-size: 14px; }
th, td { padding: .25em .8em; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
.right { text-align: right; font-variant-numeric: tabular-nums; }
.pass { color: #176b2c; font-weight: bold; } .fail { color: #a11; font-weight: bold; }
"""


@dataclass(frozen=True)
class Heading:
    """A heading; the first one is the title."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """A few sentences, with a style that HTML knows."""

    text: str
    style: str = ""


@dataclass(frozen=True)
class Table:
    """A row of names, and rows of cells, some columns aligned to the right."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...] = ()


Block = Heading | Paragraph | Table


def blocks(report: Report, most: int | None = None) -> Iterator[Block]:
    """Give the parts of a report; a short one has at most so many failures, and only what was supported."""
    yield Heading(f"{report.adapter} against {report.dialect}, {report.dtype}")
    yield Paragraph("; ".join(f"{name} {fact}" for name, fact in report.facts.items()))
    if report.ranking:
        yield Heading("Which dialect")
        yield Table(
            ("dialect", "vectors", "agrees", "differs"),
            tuple((r.dialect, str(r.vectors), str(r.agrees), str(r.differs)) for r in report.ranking),
            right=(1, 2, 3),
        )
        yield Paragraph(sentence(report.spoken))
    yield Heading("Rules and layers")
    tried = [g for g in report.groups if most is None or g.count("pass") + g.count("fail")]
    rows = tuple(group_row(group) for group in tried)
    yield Table(
        ("rule", "layer", *ERRORS, "vector"), (*rows, group_row(report.whole)), right=tuple(range(2, 8))
    )
    yield Paragraph(EXPLAINED.format(tolerance=report.tolerance))
    if report.failures:
        yield from failure_blocks(report, most)
    missing = list(dict.fromkeys(o.problem for o in report.outcomes if o.status == "not supported"))
    if missing:
        yield Heading("Not supported")
        more = f"; and {len(missing) - most} more reasons" if most is not None and len(missing) > most else ""
        yield Paragraph("; ".join(reason or "no reason given" for reason in missing[:most]) + more + ".")
    yield Heading("Result")
    for line in report.diagnosis:
        yield Paragraph(sentence(line))
    yield Paragraph(report.verdict, "pass" if report.passed else "fail")


def failure_blocks(report: Report, most: int | None) -> Iterator[Block]:
    """Give the failures, one after the other."""
    yield Heading("Failures")
    yield Table(
        ("vector", "what is wrong", "looks like"),
        tuple((o.case, o.problem, looks_like(o)) for o in report.failures[:most]),
    )
    if most is not None and len(report.failures) > most:
        yield Paragraph(f"... and {len(report.failures) - most} more; a report in a file has them all.")


def looks_like(outcome: Outcome) -> str:
    """Say what a failure looks like; nothing where there are no numbers to look at."""
    return outcome.looks_like or (UNKNOWN if outcome.errors else "")


def sentence(text: str) -> str:
    """Give a text with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def group_row(group: Group) -> tuple[str, ...]:
    """Give one row of the table of rules and layers."""
    errors = (group.largest(unit) for unit in ("ulp", "relative", "scaled"))
    return (
        group.rule,
        group.layer,
        *(str(group.count(status)) for status in ("pass", "fail", "not supported")),
        *("" if error is None else f"{error:.2g}" for error in errors),
        group.worst.case if group.worst else "",
    )


# Writing ----------------------------------------------------------------------------------------------------


def as_text(parts: Iterator[Block]) -> str:
    """Write blocks for a terminal."""
    lines: list[str] = []
    for part in parts:
        match part:
            case Heading():
                lines += [part.text, "-" * len(part.text)]
            case Paragraph():
                lines += [*textwrap.wrap(part.text, WIDTH), ""]
            case Table() if part.right:
                lines += [*aligned([part.head, *part.rows], ("  ",), right=part.right), ""]
            case Table():  # of sentences, which do not fit side by side
                for name, *cells in part.rows:
                    lines += [name, *(f"    {cell}" for cell in cells if cell)]
                lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def as_markdown(parts: Iterator[Block]) -> str:
    """Write blocks as Markdown."""
    lines: list[str] = []
    for level, part in enumerate(parts):
        match part:
            case Heading():
                lines += [f"{'##' if level else '#'} {plain(part.text)}", ""]
            case Paragraph():
                text = plain(part.text)
                lines += [f"**{text}**" if part.style else text, ""]
            case Table():
                marks = ["---:" if k in part.right else "---" for k in range(len(part.head))]
                lines += [markdown_row(part.head), markdown_row(marks)]
                lines += [markdown_row([plain(cell) for cell in row]) for row in part.rows]
                lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def markdown_row(cells: Sequence[str]) -> str:
    """Write one row of a table."""
    return f"| {' | '.join(cells)} |"


def plain(text: str) -> str:
    """Escape what Markdown would take for something else."""
    return re.sub(r"([\\`*_<>|\[\]#])", r"\\\1", text)


def as_html(parts: Iterator[Block], title: str) -> str:
    """Write blocks as one HTML page."""
    lines = [
        "<!DOCTYPE html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>',
        f"<style>{STYLE}</style></head><body>",
    ]
    for level, part in enumerate(parts):
        match part:
            case Heading():
                tag = "h2" if level else "h1"
                lines.append(f"<{tag}>{html.escape(part.text)}</{tag}>")
            case Paragraph():
                style = f' class="{html.escape(part.style)}"' if part.style else ""
                lines.append(f"<p{style}>{html.escape(part.text)}</p>")
            case Table():
                lines += ["<table>", html_row("th", part.head, part.right)]
                lines += [html_row("td", row, part.right) for row in part.rows]
                lines.append("</table>")
    return "\n".join([*lines, "</body></html>"]) + "\n"


def html_row(tag: str, cells: Sequence[str], right: Sequence[int]) -> str:
    """Write one row of a table."""
    styles = [' class="right"' if k in right else "" for k in range(len(cells))]
    shown = "".join(
        f"<{tag}{style}>{html.escape(cell)}</{tag}>" for cell, style in zip(cells, styles, strict=True)
    )
    return f"<tr>{shown}</tr>"


def as_json(report: Report) -> str:
    """Write a report as JSON."""
    return json.dumps(values(report), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def values(report: Report) -> dict[str, Any]:
    """Give a report as JSON values."""
    return {
        "format": "refcrp-conformance-report",
        "version": 1,
        "adapter": report.adapter,
        "dialect": report.dialect,
        "dtype": report.dtype,
        "tolerance": report.tolerance,
        "passed": report.passed,
        "verdict": report.verdict,
        "facts": dict(report.facts),
        "counts": {status: report.count(status) for status in ("pass", "fail", "not supported")},
        "diagnosis": [
            {"key": f.key, "looks_like": f.sentence, "vectors": list(f.cases)} for f in report.findings
        ],
        "ranking": [
            {"dialect": r.dialect, "vectors": r.vectors, "agrees": r.agrees, "differs": r.differs}
            for r in report.ranking
        ],
        "groups": [group_as_json(group) for group in report.groups],
        "outcomes": [outcome_as_json(outcome) for outcome in report.outcomes],
    }


def group_as_json(group: Group) -> dict[str, Any]:
    """Give one group as JSON values."""
    return {
        "rule": group.rule,
        "layer": group.layer,
        **{status: group.count(status) for status in ("pass", "fail", "not supported")},
        **{unit: number(group.largest(unit)) for unit in ("ulp", "relative", "scaled")},
        "worst": group.worst.case if group.worst else None,
    }


def outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    """Give one outcome as JSON values."""
    errors = outcome.errors
    return {
        "id": outcome.case,
        "rule": outcome.rule,
        "layer": outcome.layer,
        "status": outcome.status,
        "problem": outcome.problem,
        "looks_like": [{"key": clue.key, "sentence": clue.sentence} for clue in outcome.clues],
        **{u: number(getattr(errors, u)) if errors else None for u in ("ulp", "relative", "scaled")},
    }


def number(value: float | None) -> float | str | None:
    """Give a number as JSON can hold it: infinity is the text ``inf``."""
    return "inf" if value is not None and math.isinf(value) else value
