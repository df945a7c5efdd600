"""What a collection was made with, in a form that JSON can keep and that shows what differs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from refcrp.concepts.scoring import Scorer
from refcrp.concepts.sources import Data
from refcrp.errors import ReferenceFileError
from refcrp.lrp import LRP

__all__ = ["analyzer_settings", "check_same", "described", "described_request", "differences"]


def described_request(
    scorer: Scorer, data: Data, *, n: int, neurons: int, counts: Mapping[str, int], threads: str
) -> dict[str, Any]:
    """Describe everything on which the result depends."""
    names = scorer.lrp.model.names
    return analyzer_settings(scorer.lrp) | {
        "layers": {
            names[k]: described(concept) for k, concept in zip(scorer.layers, scorer.concepts, strict=True)
        },
        "concepts": dict(counts),
        "abs_norm": scorer.abs_norm,
        "per_class": scorer.per_class,
        "targets": described(scorer.targets.choice),
        "max_targets": scorer.targets.most,
        "n": n,
        "neurons": neurons,
        "samples explained together": scorer.chunk,
        "threads of BLAS": threads,
        "data": data.described(),
    }


def analyzer_settings(lrp: LRP) -> dict[str, Any]:
    """Describe what explains."""
    names = lrp.model.names
    return {
        "model": {
            node.name: {"sources": list(node.sources)} | described(node.layer) for node in lrp.model.nodes
        },
        "rules": {name: described(rule) for name, rule in zip(names, lrp.rules, strict=True)},
        "dialect": described(lrp.spoken),
        "relevance starts at one": lrp.starts_at_one(None),
        "element type": str(lrp.dtype or lrp.model.dtype),
    }


def described(value: Any) -> Any:
    """Describe a value: settings as they are, arrays and long lists by a checksum."""
    if isinstance(value, np.ndarray):
        content = repr(value.tolist()).encode() if value.dtype == object else value.tobytes()
        return f"{value.dtype} {list(value.shape)} {hashlib.sha256(content).hexdigest()}"
    if isinstance(value, Mapping):
        return {str(key): described(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        items = [described(item) for item in value]
        return items if len(items) < 20 else hashlib.sha256(repr(items).encode()).hexdigest()
    if hasattr(value, "__qualname__"):
        return name_of(value)
    if is_dataclass(value) or hasattr(value, "__dict__"):
        given = (
            {f.name: getattr(value, f.name) for f in fields(value) if f.init}
            if is_dataclass(value)
            else vars(value)
        )
        return {"class": name_of(type(value))} | described(given)
    return value if isinstance(value, (bool, int, float, str, type(None))) else repr(value)


def name_of(thing: Any) -> str:
    """Give the full name of a class or a function."""
    return f"{thing.__module__}.{thing.__qualname__}"


def differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """Say what differs between two descriptions, by path."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from differences(old.get(key), new.get(key), f"{where}/{key}" if where else key)
    elif old != new:
        yield f"{where}: {old!r:.100} there, {new!r:.100} here"


def check_same(old: Mapping[str, Any], new: Mapping[str, Any], what: str) -> None:
    """Raise `ReferenceFileError` unless two collections can be one."""
    different = list(differences(old, new))
    if different:
        more = f" (and {len(different) - 3} more)" if len(different) > 3 else ""
        raise ReferenceFileError(f"{what}: made with other settings: {'; '.join(different[:3])}{more}")
