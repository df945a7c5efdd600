"""Equations as MathML: they need no script and no network, and are text like the rest.

The font comes along, for machines that have none for mathematics, as most phones: those glyphs of STIX Two
Math that equations here may use, cut when the site is built out of the copy that the package ziamath brings.
"""

import html
from pathlib import Path

import ziamath
from docutils import nodes
from fontTools import subset
from latex2mathml.converter import convert
from sphinx.errors import SphinxError

FONT = Path(ziamath.__file__).parent / "fonts" / "STIXTwoMath-Regular.ttf"
GLYPHS = [
    range(0x20, 0x7F),
    range(0x391, 0x3F7),  # Greek
    range(0x2010, 0x2040),  # dashes and primes
    range(0x2190, 0x21FF),  # arrows
    range(0x2200, 0x22FF),  # operators
    range(0x27E6, 0x27F0),  # brackets
    range(0x1D434, 0x1D468),  # italic letters
    range(0x1D6E2, 0x1D71C),  # italic Greek
]


def mathml(tex, display):
    """Convert TeX, or fail where the converter would show a command as text."""
    made = convert(tex, display=display)
    if "\\" in made or any(f">{sign}<" in made for sign in ("&", "&amp;")):
        raise SphinxError(f"latex2mathml does not understand: {tex}")
    return made.replace("<math ", f'<math alttext="{html.escape(tex)}" ', 1)


def visit_inline(writer, node):
    """Write an equation within a line of text."""
    writer.body.append(mathml(node.astext().strip(), "inline"))
    raise nodes.SkipNode


def visit_block(writer, node):
    """Write an equation on lines of its own."""
    writer.body.append(f'<div class="math">{mathml(node.astext().strip(), "block")}</div>')
    raise nodes.SkipNode


def write_font(app, exception):
    """Put the font beside the style sheet that asks for it."""
    if exception or app.builder.format != "html":
        return
    options = subset.Options(flavor="woff")
    font = subset.load_font(str(FONT), options)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=[code for codes in GLYPHS for code in codes])
    cutter.subset(font)
    subset.save_font(font, str(Path(app.outdir) / "_static" / "math.woff"), options)


def setup(app):
    """Offer the renderer to Sphinx."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    app.connect("build-finished", write_font)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
