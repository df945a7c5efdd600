"""A directive that shows what ``refcrp COMMAND --help`` prints, for every command."""

import argparse

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from refcrp.cli import make_parser

WIDTH = 88  # of the help, so that it does not depend on the terminal of whoever builds


def commands(parser):
    """Give the parser and those of its commands, and of their commands, by what one types."""
    yield parser.prog, parser
    for action in parser._actions:  # argparse has no public way to ask for them
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from commands(command)


def narrow(prog):
    """Format help to the same width everywhere."""
    return argparse.HelpFormatter(prog, width=WIDTH)


class CommandLine(SphinxDirective):
    """One section for each command."""

    def run(self):
        """Make the sections."""
        sections = []
        for prog, parser in commands(make_parser()):
            parser.formatter_class = narrow
            section = nodes.section(ids=[nodes.make_id(prog)], names=[prog])
            help_text = parser.format_help()
            section += nodes.title(prog, prog)
            section += nodes.literal_block(help_text, help_text, language="none")
            sections.append(section)
        return sections


def setup(app):
    """Register with Sphinx."""
    app.add_directive("command-line", CommandLine)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
