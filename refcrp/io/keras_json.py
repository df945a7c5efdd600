"""The JSON of a Keras file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from refcrp.errors import ModelFormatError

__all__ = ["Fail", "Json", "children", "parse_json"]

MAX_DEPTH = 200  # nested models of ten levels need less than half of it

Fail = Callable[[str, str], ModelFormatError]  # (where, what) to the error that names the file too
Json = dict[str, Any]


def parse_json(text: str, fail: Fail) -> Json:
    """Parse the JSON of a model; refuses what is no object, too deep, or has NaN in it."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    try:
        config = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise fail("model_config", f"not readable as JSON: {error}") from error
    level = [config]
    for _ in range(MAX_DEPTH):
        level = [child for value in level for child in children(value)]
        if not level:
            break
    else:
        raise fail("model_config", f"JSON nested more than {MAX_DEPTH} levels deep")
    if not isinstance(config, dict):
        raise fail("model_config", f"expected a JSON object, got a {type(config).__name__}")
    return config


def children(value: Any) -> Iterator[Any]:
    """Go through the values in a list or object."""
    if isinstance(value, dict):
        return iter(value.values())
    return iter(value if isinstance(value, list) else ())
