"""The words of an explanation card, whether it is a picture or a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from refcrp.concepts.report import Report

__all__ = ["INPUT", "LRP", "NAMES", "facts", "footnote", "how_to_read", "title"]

INPUT, LRP = "input", "LRP: where"
NAMES = {"relevance": ("RelMax", "by relevance"), "activation": ("ActMax", "by activation")}

OTHER = {"model": "weights", "dialect": "conventions", "relevance starts at one": "scale of relevance"}


def title(report: Report) -> str:
    """Give the question that the card answers."""
    return f"Why output {report.output}?"


def facts(report: Report, layer: str) -> tuple[str, str]:
    """Say what is explained, and how much of it is on the card."""
    if report.prediction == report.output:
        prediction = "the highest: this is the prediction"
    else:
        prediction = f"the prediction is {report.prediction}"
    count, part = len(report.channels), sum(report.parts)
    channels = f"{count} channel{'' if count == 1 else 's'} of {layer}"
    whole = "" if np.isnan(part) else f", with {100 * part:.1f} % of its relevance"
    return f"score {report.score:.3f}, {prediction}", f"{channels}{whole}"


def how_to_read(report: Report) -> str:
    """Say what is to be seen."""
    text = (
        "Each row is a concept: a channel, what in the input speaks through it for the output (red) or "
        "against it (blue), and its share of the layer's relevance."
    )
    if not report.tiles:
        return text
    return (
        f"{text} Beside it, what it stands for: the samples of a data set in which it counts most, bright "
        "where it looks; the number is the output for which they were explained."
    )


def footnote(report: Report) -> str:
    """Say what has to be known about the reference samples, if anything."""
    if not report.differs:
        return ""
    return (
        f"The reference samples were found with other {', '.join(OTHER.get(d, d) for d in report.differs)}."
    )
