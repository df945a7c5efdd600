"""The commands about models: ``refcrp show``, ``refcrp check`` and ``refcrp convert``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from refcrp.checks import show_shape
from refcrp.commands.answer import Answer
from refcrp.commands.inputs import add_normalization, normalization_of
from refcrp.io import load_model, save_model
from refcrp.model import INPUT, Model
from refcrp.tables import aligned

__all__ = ["add"]


def add(commands: Any) -> None:
    """Describe the commands."""
    show = commands.add_parser("show", help="print a model's layers, shapes and parameter counts")
    show.set_defaults(run=run_show)
    show.add_argument("model", help="a model file, or lenet5")

    check = commands.add_parser("check", help="say whether a model can be explained, layer by layer")
    check.set_defaults(run=run_check)
    check.add_argument("model", help="a model file, or lenet5")

    convert = commands.add_parser("convert", help="write a model of another format as refcrp's own HDF5")
    convert.set_defaults(run=run_convert)
    convert.add_argument("model", help="a model file")
    convert.add_argument("out", type=Path, help="the HDF5 file to write")
    add_normalization(convert, "kept in the file; default: as in the model's file, or")


def run_show(options: argparse.Namespace) -> Answer:
    """Write a table of the layers."""
    model = load_model(options.model)
    lines = []
    if model.input_shape is not None:
        lines.append(f"input {show_shape(model.input_shape)}")
    if model.normalization is not None:
        lines.append(f"pixels, 0 to 1, become {model.normalization.formula}")
    rows: list[tuple[str, ...]] = [("", "name", "layer", "output", "parameters", "reads")]
    for k, (node, shape) in enumerate(zip(model.nodes, model.shapes, strict=True)):
        output = "?" if shape is None else show_shape(shape)
        layer = f"{type(node.layer).__name__}({node.layer.summary()})"
        reads = ", ".join("input" if source == INPUT else str(source) for source in node.sources)
        rows.append((str(k), node.name, layer, output, f"{node.layer.parameter_count:,}", reads))
    rows.append(("", "", "", "", f"{model.parameter_count:,}", ""))
    if model.is_chain:
        rows = [row[:-1] for row in rows]
    lines += aligned(rows, ("  ",), right=(0, 4))
    return Answer("\n".join((*lines, f"{len(model)} layers, {model.dtype}")))


def run_check(options: argparse.Namespace) -> Answer:
    """Write what is supported of a model; the status is 1 if anything is not."""
    from refcrp.model_check import check_model  # noqa: PLC0415 - other commands start without it

    check = check_model(options.model)
    return Answer(str(check), 0 if check.ok else 1)


def run_convert(options: argparse.Namespace) -> Answer:
    """Read a model, and write it as our own HDF5."""
    model = with_normalization(load_model(options.model), options)
    save_model(model, options.out)
    kept = "" if model.normalization is None else f"; pixels become {model.normalization.formula}"
    size = f"{len(model)} layers, {model.parameter_count:,} parameters, {model.dtype}"
    return Answer(f"{options.out}: {size}{kept}")


def with_normalization(model: Model, options: argparse.Namespace) -> Model:
    """Give the model with the normalisation that was asked for."""
    wanted = normalization_of(options, model)
    return model if wanted is None else model.with_normalization(mean=wanted.mean, std=wanted.std)
