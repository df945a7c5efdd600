"""refcrp: Layer-wise and Concept Relevance Propagation, to be read, to be relied on, and fast.

>>> import refcrp as rc
>>> model = rc.load_model("lenet5")
>>> x, labels = rc.load_digits()
>>> crp = rc.CRP(rc.LRP(model, rc.EpsilonPlusFlat()), layer="conv2", features=rc.TopNFeatures(3))
>>> crp(x[:2]).relevance.shape
(6, 1, 28, 28)
"""

import ast
import importlib
from pathlib import Path
from typing import Any

__version__ = "0.1.0"


def public_names() -> dict[str, str]:
    """Give the module of each public name, as ``__init__.pyi`` imports it for type checkers and editors."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = (node for node in stub.body if isinstance(node, ast.ImportFrom))
    return {alias.name: node.module or "" for node in imports for alias in node.names}


MODULES = public_names()
__all__ = sorted((*MODULES, "__version__"))  # noqa: PLE0605 - the stub has the list for readers of code


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import refcrp`` costs next to nothing."""
    if name not in MODULES:
        raise AttributeError(f"module 'refcrp' has no attribute {name!r}")
    module = MODULES[name]
    found = importlib.import_module(f"refcrp.{name}" if module == "refcrp" else module)
    value = found if module == "refcrp" else getattr(found, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
