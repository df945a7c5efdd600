"""The page that shows all pictures of ``refcrp atlas``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

__all__ = ["Picture", "Section", "page"]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76em; margin: 1.5em auto; padding: 0 1em; color: #222;
  background: #fff; }
h1 { font-size: 1.7em; line-height: 1.25; margin: 0; } h2 { font-size: 1.25em; margin: 0; }
p, figcaption { color: #666; margin: .2em 0 .8em; }
section { border-top: 1px solid #ccc; padding: 1em 0; } figure { margin: 1.2em 0; break-inside: avoid; }
img { max-width: 100%; height: auto; border: 1px solid #eee; box-sizing: border-box; }
h1, h2 { overflow-wrap: anywhere; }
@media print { body { font-size: 11px; margin: 0; max-width: none; } }
"""


@dataclass(frozen=True)
class Picture:
    """A picture in the folder, what it shows, and a file with more of it."""

    file: str
    caption: str
    more: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    title: str
    words: str
    pictures: tuple[Picture, ...]


def page(title: str, words: str, sections: Sequence[Section]) -> str:
    """Write the page; names are escaped."""
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en">',
            '<head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style></head>",
            f"<body><h1>{escape(title)}</h1><p>{escape(words)}</p>",
            *(line for section in sections for line in written(section)),
            "</body>",
            "</html>",
            "",
        )
    )


def written(section: Section) -> Iterator[str]:
    """Write a section."""
    yield f"<section><h2>{escape(section.title)}</h2><p>{escape(section.words)}</p>"
    for picture in section.pictures:
        more = f' (<a href="{quote(picture.more)}">{escape(picture.more)}</a>)' if picture.more else ""
        yield f'<figure><a href="{quote(picture.file)}">'
        yield f'<img src="{quote(picture.file)}" alt="{escape(picture.caption)}"></a>'
        yield f"<figcaption>{escape(picture.caption)}{more}</figcaption></figure>"
    yield "</section>"
