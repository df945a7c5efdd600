"""Rules of the house: who may import whom, what an import loads, how long a file may be."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import refcrp

ROOT = Path(refcrp.__file__).parent

# From the bottom up; a file imports only from rooms below its own (and, inside a room, from its own).
ROOMS = [
    ["errors", "tables"],
    ["checks"],
    ["arrays", "dialects"],
    ["kernels"],
    ["modifiers", "pull"],
    ["propagation"],
    ["rule"],
    ["rules", "input_rules"],
    ["layers"],
    ["normalization"],
    ["model", "folding", "speech"],
    ["building", "primitive"],
    ["selection", "canonization", "primitives", "ledger"],
    ["composite", "conditions", "batches", "concept", "drawing"],
    ["explanation", "trace"],
    ["presets", "lrp"],
    ["crp"],
    ["estimates"],
    ["concepts"],
    # these stand beside, and nobody below imports them
    ["io", "datasets", "heatmaps", "images"],
    ["conformance", "model_check"],
    ["__init__"],
    ["commands"],
    ["cli"],
    ["__main__"],
]
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
FILES = sorted(ROOT.rglob("*.py"))


def room_of(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "refcrp":
            if node.module == "refcrp":
                for alias in node.names:
                    yield f"refcrp.{alias.name}" if alias.name in LEVEL else "refcrp"
            else:
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == "refcrp")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downwards_only(path):
    here = path.relative_to(ROOT).with_suffix("").parts[0]
    for module in imports_of(path):
        room = room_of(module)
        assert room == here or LEVEL[room] < LEVEL[here], f"{here} imports {module}"


@pytest.mark.parametrize("path", [*FILES, *ROOT.rglob("*.pyx")], ids=lambda p: str(p.relative_to(ROOT)))
def test_files_stay_short(path):
    assert len(path.read_text().splitlines()) <= 320


def modules_after(code):
    answer = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in answer.stdout.split()}


def test_import_loads_nothing_but_numpy():
    extra = modules_after("import refcrp; refcrp.LRP") - modules_after(
        "import numpy, importlib.resources, difflib, tempfile"
    )
    ours = {"refcrp", "cython_runtime"} | {name for name in extra if name.startswith("_cython_")}
    assert {name for name in extra if name not in sys.stdlib_module_names} <= ours
    assert not extra & {"h5py", "scipy", "matplotlib", "PIL", "argparse", "subprocess", "unittest"}


def test_public_names():
    assert sorted(refcrp.__all__) == sorted(set(refcrp.__all__))
    for name in refcrp.__all__:
        assert getattr(refcrp, name) is not None
    assert (ROOT / "py.typed").exists()


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert version("refcrp") == refcrp.__version__


# A module compiled for an instruction set that this machine lacks must not even be imported.
MODULES = [
    m.name
    for m in pkgutil.walk_packages([str(ROOT)], "refcrp.")
    if not m.name.endswith("__main__") and "._simd_" not in m.name
]


@pytest.mark.parametrize("name", ["refcrp", *MODULES])
def test_doctests(name):
    try:
        module = importlib.import_module(name)
    except refcrp.errors.MissingDependencyError as error:
        pytest.skip(str(error))
    assert doctest.testmod(module).failed == 0


def public_objects():
    for name in refcrp.__all__:
        value = getattr(refcrp, name)
        if inspect.ismodule(value):
            yield from ((f"{name}.{inner}", getattr(value, inner)) for inner in value.__all__)
        elif inspect.isclass(value) or inspect.isfunction(value):
            yield name, value


def test_every_public_name_has_an_example():
    """On a class it may be at one of its methods. Bases say instead where one is."""
    elsewhere = {"LinearLayer", "MergeLayer", "OwnRelevanceLayer", "SampleNorm", "WeightedLayer"}
    without = set()
    for name, value in public_objects():
        own = [value, *vars(value).values()] if inspect.isclass(value) else [value]
        if not any(re.search(r">>> |\bExamples\n", str(getattr(o, "__doc__", ""))) for o in own):
            without.add(name)
    errors = {n for n in without if n.startswith("errors.")}  # RefcrpError has the one for all
    assert without - errors == {f"layers.{name}" for name in elsewhere}
    assert "errors.RefcrpError" not in errors


def test_no_module_is_called_like_a_public_name():
    """Importing a submodule sets it as an attribute of the package, and would hide the name."""
    modules = {path.stem for path in ROOT.glob("*.py")} | {
        path.name for path in ROOT.iterdir() if path.is_dir()
    }
    assert {name for name in refcrp.__all__ if name in modules} == {
        "conformance",
        "errors",
        "layers",
    }  # which are the modules


def test_import_alone_loads_nothing_more():
    assert not modules_after("import refcrp") & {"numpy", "scipy", "h5py", "matplotlib"}


def test_explaining_the_built_in_model_loads_no_importer_and_no_checker():
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import refcrp.cli, refcrp, sys; refcrp.load_model('lenet5'); print(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"refcrp.conformance", "refcrp.io.keras", "refcrp.io.onnx"} & set(loaded)
