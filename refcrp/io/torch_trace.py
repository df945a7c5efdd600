"""Tracing PyTorch modules into graphs of operators."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from refcrp.errors import MissingDependencyError, ModelFormatError

__all__ = ["needed_torch", "trace"]


def needed_torch() -> Any:
    """Import torch, or raise `MissingDependencyError`."""
    try:
        import torch  # noqa: PLC0415
        import torch.fx  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError(
            f"from_torch needs PyTorch: pip install 'refcrp[torch]' ({error})"
        ) from error
    return torch


def trace(torch: Any, module: Any, own: Iterable[Any]) -> tuple[Any, Any]:
    """Give the module, in a Sequential if it is a single operator, and its trace.

    Classes and functions in `own` are operators that are not looked into.

    Raises
    ------
    ModelFormatError
        If it cannot be traced.
    """
    kinds = tuple(key for key in own if isinstance(key, type))
    functions = tuple(key for key in own if callable(key) and not isinstance(key, type))

    class Tracer(torch.fx.Tracer):  # type: ignore[misc,name-defined,unused-ignore]
        def is_leaf_module(self, module: Any, name: str) -> bool:
            return type(module) in kinds or bool(super().is_leaf_module(module, name))

    tracer = Tracer(autowrap_functions=functions)
    if tracer.is_leaf_module(module, ""):
        module = torch.nn.Sequential(OrderedDict({type(module).__name__.lower(): module}))
    try:
        graph = tracer.trace(module)
    except Exception as error:
        raise ModelFormatError(
            f"from_torch: {type(module).__name__} cannot be traced, its forward() decides on values: {error}"
        ) from error
    traced = torch.fx.GraphModule(module, graph)
    traced.graph.eliminate_dead_code()
    return module, traced
