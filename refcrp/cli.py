"""The command ``refcrp``: explain a picture, show a model, test another implementation."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import refcrp
from refcrp.commands import atlas, conformance, explain, models
from refcrp.errors import RefcrpError

__all__ = ["main"]

STOPPED = 130  # by Ctrl-C, as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives the exit status: 0, 1 if a check fails, 2 if what was asked is wrong."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a layer's name may not fit the terminal's encoding
    try:
        options = make_parser().parse_args(arguments)
        answer = options.run(options)
    except (RefcrpError, OSError) as error:
        print(f"refcrp: error: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("refcrp: stopped", file=sys.stderr)
        return STOPPED
    try:
        print(answer.text, flush=True)
    except BrokenPipeError:
        # The reader of our output has left, as `head` does; nothing must be flushed to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return int(answer.status)


def one_line(error: Exception) -> str:
    """Give an error's message without line breaks."""
    return " ".join(str(error).split())


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = Parser(prog="refcrp", description="Layer-wise and Concept Relevance Propagation.")
    parser.add_argument(
        "--version", action="version", version=f"refcrp {refcrp.__version__} ({refcrp.backend()})"
    )
    commands = parser.add_subparsers(title="commands", required=True)
    for module in (explain, atlas, models, conformance):
        module.add(commands)
    commands.metavar = f"{{{','.join(commands.choices)}}}"
    return parser
