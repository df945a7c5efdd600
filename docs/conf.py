"""How the site is built: ``python -m sphinx -W --keep-going -b html docs docs/_build/html``."""

import sys
from pathlib import Path

import refcrp

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "refcrp"
author = "the refcrp developers"
version = release = refcrp.__version__
copyright = author  # noqa: A001 - Sphinx's name; without a year, which would go stale

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "command_line",
    "mathml",
    "public_names",
    "repository_links",
]
# README.md is what a code host shows for this folder; index.md says the same here.
exclude_patterns = ["_build", "README.md", "**/.ipynb_checkpoints"]
nitpicky = True
nitpick_ignore_regex = [
    # NumPy's and Python's own names: the site must build without the network, so without intersphinx.
    ("py:.*", r"(numpy|np|typing|collections|abc|argparse|pathlib|matplotlib)\..*"),
    ("py:.*", r"(object|int|float|bool|str|tuple|list|dict|Exception|[A-Z][a-z]*Error|ABC|Protocol)"),
    # Bases that are no public names.
    ("py:class", r"refcrp\..*"),
]

# Every cell runs when the site is built, so that no figure or number can be older than the code.
nb_execution_mode = "force"
nb_execution_show_tb = True  # a cell that fails is a warning, and -W makes warnings errors
nb_execution_timeout = 120
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4

default_role = "code"
add_module_names = False
autodoc_typehints = "none"  # the numpydoc sections say types, and shapes
autodoc_class_signature = "mixed"
autodoc_default_options = {"special-members": "__call__"}
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
toc_object_entries_show_parents = "hide"
viewcode_line_numbers = True

html_math_renderer = "mathml"
html_theme = "furo"
html_title = "refcrp"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
pygments_style = "friendly"
