"""The explanation card as one HTML page: pictures inside, no scripts, for any screen and for paper."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from refcrp.arrays import Array
from refcrp.concepts.pictures import tile_picture
from refcrp.concepts.report_text import INPUT, LRP, NAMES, facts, footnote, how_to_read, title
from refcrp.drawing import COLOUR_MAP, as_picture

if TYPE_CHECKING:
    from refcrp.concepts.report import Report
    from refcrp.concepts.tiles import ReferenceTile

__all__ = ["page"]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 74em; margin: 1.5em auto; padding: 0 1em; color: #222;
  background: #fff; }
h1 { font-size: 1.9em; line-height: 1.2; margin: 0 0 .3em; }
h2 { font-size: 1.15em; line-height: 1.3; margin: 0; }
h3 { font-size: 1em; margin: 0 0 .2em; }
p { margin: .3em 0; } small, figcaption, .note { color: #666; font-weight: normal; }
h2 small { display: block; overflow-wrap: anywhere; }
h2 small, h3 small, .note, figcaption { font-size: 13px; }
figure { margin: 0; } img { display: block; image-rendering: pixelated; border: 1px solid #ccc;
  box-sizing: border-box; width: 100%; height: auto; }
header { display: flex; flex-wrap: wrap; gap: 1em 1.5em; align-items: center; padding-bottom: 1em; }
header figure { flex: 0 1 11em; min-width: 9em; } header div { flex: 1 1 22em; }
section { display: grid; grid-template-columns: 15em repeat(2, minmax(0, 1fr)); gap: .6em 1.8em;
  align-items: center; border-top: 1px solid #ccc; padding: 1em 0; break-inside: avoid; }
.concept { display: grid; grid-template-columns: 6.8em 1fr; gap: 1em; align-items: center; }
.samples div { display: flex; flex-wrap: wrap; gap: .35em; }
.samples figure { flex: 1 1 2.8em; max-width: 6em; } .samples figcaption { text-align: center; }
.bar { background: #e8e8e8; height: .4em; margin-top: .3em; max-width: 20em; }
.bar i { display: block; height: 100%; }
.for { background: #b2182b; } .against { background: #2166ac; }
@media screen and (max-width: 56em) { section { display: block; } .samples { margin-top: .6em; } }
@media print { body { font-size: 10px; margin: 0; max-width: none; } * { print-color-adjust: exact; }
  h2 small, h3 small, .note, figcaption { font-size: 9px; } }
"""


def page(report: Report) -> str:
    """Write a card; names are escaped."""
    heading = escape(title(report))
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en">',
            '<head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{heading} {escape(str(report.concepts.layer))}</title>",
            f"<style>{STYLE}</style></head>",
            "<body>",
            *head(report),
            *(line for k in range(len(report.channels)) for line in concept(report, k)),
            *(f'<p class="note">{escape(text)}</p>' for text in (footnote(report),) if text),
            "</body>",
            "</html>",
            "",
        )
    )


def head(report: Report) -> Iterator[str]:
    """Write what is explained, beside the input and its LRP heatmap."""
    picture = as_picture(report.whole.input[0], report.normalization)
    yield "<header>"
    yield figure(image(shown(picture), "the input"), INPUT)
    yield figure(image(coloured(report.heatmap), "the relevance of the input's pixels"), LRP)
    lines = "<br>".join(escape(fact) for fact in facts(report, str(report.concepts.layer)))
    note = escape(how_to_read(report))
    yield f'<div><h1>{escape(title(report))}</h1><p>{lines}</p><p class="note">{note}</p></div>'
    yield "</header>"


def concept(report: Report, k: int) -> Iterator[str]:
    """Write a concept: its heatmap, its share, its reference samples."""
    layer, channel, part = escape(str(report.concepts.layer)), report.channels[k], report.parts[k]
    heatmap = image(coloured(report.heatmaps[k]), f"relevance through channel {channel}")
    length = f"{100 * min(abs(part), 1) if np.isfinite(part) else 0:.1f}%"
    kind = "for" if part >= 0 else "against"
    yield "<section>"
    yield f'<div class="concept">{heatmap}<div><h2><small>{layer}</small>channel {channel}</h2>'
    yield f'{report.shares[k]}<div class="bar"><i class="{kind}" style="width: {length}"></i></div>'
    yield "</div></div>"
    for by, rows in report.tiles.items():
        name, how = NAMES[by]
        yield f'<div class="samples"><h3>{name} <small>{how}</small></h3><div>'
        yield from (sample(report, tile, by) for tile in rows[k])
        yield "</div></div>"
    yield "</section>"


def sample(report: Report, tile: ReferenceTile, by: str) -> str:
    """Write a reference sample, and for which output it was explained."""
    picture = tile_picture(tile, "masked", report.normalization)
    text = f"sample {tile.sample}, explained for output {tile.target}, {by} {tile.score:.4g}"
    return figure(image(shown(picture), text), str(tile.target))


def figure(picture: str, caption: str) -> str:
    """Write a picture with what is written below it."""
    return f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>"


def image(pixels: Array, text: str) -> str:
    """Write a picture (height, width, 3), values 0 to 1, into the page, with words for who cannot see it."""
    from matplotlib.image import imsave  # noqa: PLC0415 - imported where it is used

    file = io.BytesIO()
    imsave(file, np.rint(255 * pixels).astype(np.uint8), format="png")  # matplotlib would cut off fractions
    data = b64encode(file.getvalue()).decode()
    words = escape(text)
    return f'<img src="data:image/png;base64,{data}" alt="{words}" title="{words}">'


def shown(picture: Array) -> Array:
    """Give a picture (channels, height, width) as colours: three channels as they are, else their mean."""
    if len(picture) != 3:
        picture = np.repeat(picture.mean(axis=0, keepdims=True), 3, axis=0)
    return np.moveaxis(picture, 0, 2)


def coloured(R: Array) -> Array:
    """Give relevance (height, width) as colours, symmetric about zero."""
    from matplotlib import colormaps  # noqa: PLC0415 - imported where it is used

    limit = np.abs(R).max(initial=0) or 1.0
    return np.asarray(colormaps[COLOUR_MAP](0.5 + R / (2 * limit))[..., :3])
