"""Directives that document the public names of modules, and a check that no public name is missing.

A page says ``{public-names} refcrp.rules`` and gets every public name that lives there, in the order of the
module; ``{public-module} refcrp.layers`` gets every name of a module that is public itself. A public name
that is on no page is a warning, which fails the build.
"""

import importlib
import inspect
import re
from typing import Protocol

from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import refcrp
from refcrp.dialects import REFCRP

# The modules among the public names: their own names are public too.
MODULES = [name for name, home in refcrp.MODULES.items() if home == "refcrp"]
DATA = ("__version__",)


def public_names():
    """Give the full names that users write, ``refcrp.LRP``, ``refcrp.layers.Dense``, with their objects."""
    names = {}
    for name in refcrp.__all__:
        value = getattr(refcrp, name)
        if name in MODULES:
            for inner in value.__all__:
                names[f"refcrp.{name}.{inner}"] = getattr(value, inner)
        elif name not in DATA:
            names[f"refcrp.{name}"] = value
    # ConvLayer is refcrp.ConvLayer and refcrp.layers.ConvLayer: the shorter name counts.
    short = {id(value) for name, value in names.items() if name.count(".") == 1}
    return {name: value for name, value in names.items() if name.count(".") == 1 or id(value) not in short}


def line_of(value):
    """Give the line where an object is written, for the order on the page."""
    return inspect.getsourcelines(value)[1]


def documented(name, value):
    """Give the reStructuredText that documents one object."""
    if inspect.isclass(value):
        based = set(value.__bases__) - {object, Protocol}
        return [f".. autoclass:: {name}", "   :members:", *["   :show-inheritance:"] * bool(based), ""]
    if inspect.isfunction(value):
        return [f".. autofunction:: {name}", ""]
    return [f".. autodata:: {name}", "   :no-value:", ""]


class PublicNames(SphinxDirective):
    """Document the public names whose home is one of the modules that are given."""

    required_arguments = 1
    final_argument_whitespace = True

    def names(self, module):
        """Give the public names that live in a module."""
        home = importlib.import_module(module)
        short = {f"refcrp.{name}" for name, where in refcrp.MODULES.items() if where == module}
        names = {name: value for name, value in public_names().items() if name in short}
        return {n: v for n, v in names.items() if not inspect.isroutine(v) and not inspect.isclass(v)} | dict(
            sorted(
                ((n, v) for n, v in names.items() if inspect.isroutine(v) or inspect.isclass(v)),
                key=lambda item: (inspect.getmodule(item[1]) is not home, line_of(item[1])),
            )
        )

    def run(self):
        """Make the nodes."""
        lines = []
        for module in self.arguments[0].split():
            names = self.names(module)
            if not names:
                raise self.error(f"no public name lives in {module}")
            for name, value in names.items():
                lines += documented(name, value)
                self.env.refcrp_documented.setdefault(self.env.docname, set()).add(name)
        return self.parse_text_to_nodes("\n".join(["```{eval-rst}", *lines, "```"]))


class Literature(SphinxDirective):
    """The references of modules' docstrings, each once, which docstrings cite from everywhere."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        """Make the nodes."""
        docstrings = [inspect.getdoc(importlib.import_module(name)) for name in self.arguments[0].split()]
        text = "\n".join(docstring.partition("References\n----------\n")[2] for docstring in docstrings)
        entries = dict.fromkeys(entry.strip() for entry in re.split(r"^(?=\.\. )", text, flags=re.MULTILINE))
        return self.parse_text_to_nodes("\n".join(["```{eval-rst}", *entries, "```"]))


class PublicModule(PublicNames):
    """Document the names of a public module that have no shorter public name."""

    def names(self, module):
        """Give the names of a public module."""
        return {n: v for n, v in public_names().items() if n.rpartition(".")[0] == module}


def forget(app, env, docname):
    """Forget what a page documented, when it is read again."""
    env.refcrp_documented.pop(docname, None)


def merge(app, env, docnames, other):
    """Take over what other processes have read."""
    env.refcrp_documented.update({k: v for k, v in other.refcrp_documented.items() if k in docnames})


def prepare(app):
    """Have a place for what the pages document."""
    if not hasattr(app.env, "refcrp_documented"):
        app.env.refcrp_documented = {}


def check(app, env):
    """Warn of public names that no page documents."""
    found = set().union(*env.refcrp_documented.values())
    for name in sorted(set(public_names()) - found):
        logging.getLogger(__name__).warning("public name %s is on no page of docs/reference/", name)


def shorten(app, what, name, obj, options, signature, returns):
    """Show a dialect that is a default as what one would type."""
    if signature:
        signature = signature.replace(repr(REFCRP), "'refcrp'").replace("=REFCRP", "='refcrp'")
    return signature, returns


def setup(app):
    """Register with Sphinx."""
    app.add_directive("public-names", PublicNames)
    app.add_directive("public-module", PublicModule)
    app.add_directive("literature", Literature)
    app.connect("autodoc-process-signature", shorten)
    app.connect("builder-inited", prepare)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
    app.connect("env-check-consistency", check)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
