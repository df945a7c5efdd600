"""The commands about other implementations: ``refcrp verify`` and ``refcrp vectors``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from refcrp.commands.answer import Answer
from refcrp.dialects import DIALECTS
from refcrp.errors import ParameterError

__all__ = ["add"]

TIMEOUT = 60.0  # seconds for one vector; frameworks compile when they first see a shape


def add(commands: Any) -> None:
    """Add the commands to a parser of commands."""
    add_verify(commands)
    add_vectors(commands)


def add_verify(commands: Any) -> None:
    """Describe ``refcrp verify``."""
    verify = commands.add_parser("verify", help="test an implementation of LRP against the test vectors")
    verify.set_defaults(run=run_verify)
    verify.add_argument(
        "adapter",
        metavar="MODULE:FUNCTION",
        help="a function from a case to the relevance of its input; MODULE may be in the current folder",
    )
    which = verify.add_mutually_exclusive_group()
    which.add_argument(
        "--dialect",
        choices=DIALECTS,
        default="refcrp",
        metavar="NAME",
        help=f"what to expect, one of {', '.join(DIALECTS)}; default: refcrp",
    )
    which.add_argument(
        "--which-dialect", action="store_true", help="find out which dialect the implementation speaks"
    )
    verify.add_argument("--dtype", choices=("float32", "float64"), default="float64", help="default: float64")
    verify.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write a report too; by its ending, .html, .md, .json, .txt",
    )
    verify.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="WORD",
        help="only vectors with this in their id, or among their flags, rules and kinds of layers; "
        "may be given several times",
    )
    verify.add_argument(
        "--timeout",
        type=float,
        default=TIMEOUT,
        metavar="SECONDS",
        help=f"for each vector; default: {TIMEOUT:g}",
    )
    verify.add_argument("--vectors", type=Path, metavar="FILE", help="other vectors than the built-in ones")


def run_verify(options: argparse.Namespace) -> Answer:
    """Check an adapter; the status is 0 if all is right, 1 if anything is not."""
    from refcrp.conformance import check, load_vectors  # noqa: PLC0415 - other commands start without it
    from refcrp.conformance.report import report_path  # noqa: PLC0415

    if options.report is not None and not report_path(options.report).parent.is_dir():
        raise ParameterError(f"--report {options.report}: there is no folder {options.report.parent}")
    report = check(
        options.adapter,
        None if options.which_dialect else options.dialect,
        options.dtype,
        select=options.select,
        vectors=load_vectors(options.vectors),
        timeout=options.timeout,
    )
    text = report.text()
    if options.report is not None:
        report.save(options.report)
        text += f"\nreport  {options.report}"
    return Answer(text.removesuffix("\n"), 0 if report.passed else 1)


def add_vectors(commands: Any) -> None:
    """Describe ``refcrp vectors``."""
    vectors = commands.add_parser("vectors", help="look after files of test vectors")
    actions = vectors.add_subparsers(title="actions", required=True, metavar="{lint,export}")
    examine = actions.add_parser("lint", help="check a file of test vectors against the schema")
    examine.set_defaults(run=run_lint)
    examine.add_argument("file", type=Path)
    export = actions.add_parser("export", help="write test vectors as JSON, floats as hexadecimal text")
    export.set_defaults(run=run_export)
    export.add_argument("file", type=Path, help="the JSON file to write")
    export.add_argument("--vectors", type=Path, metavar="FILE", help="other vectors than the built-in ones")


def run_lint(options: argparse.Namespace) -> Answer:
    """Say what is wrong with a file; the status is 1 if anything is."""
    from refcrp.conformance.schema import lint  # noqa: PLC0415

    if not options.file.is_file():
        raise ParameterError(f"{options.file}: no such file")
    problems = lint(options.file)
    count = f"{options.file}: {len(problems) or 'no'} problem{'' if len(problems) == 1 else 's'}"
    return Answer("\n".join((*problems, count)), 1 if problems else 0)


def run_export(options: argparse.Namespace) -> Answer:
    """Write test vectors as JSON."""
    from refcrp.conformance import load_vectors  # noqa: PLC0415
    from refcrp.conformance.vectors import vectors_as_json  # noqa: PLC0415

    cases = load_vectors(options.vectors)
    options.file.write_text(vectors_as_json(cases) + "\n", encoding="utf-8")
    return Answer(f"{len(cases)} vectors  {options.file}")
