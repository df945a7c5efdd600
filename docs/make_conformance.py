"""Write docs/conformance.md from what ``refcrp verify`` reports of refcrp, zennit, zennit-crp and Captum.

python docs/make_conformance.py    # needs the libraries, as data/conformance/record_libraries.py does
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import refcrp as rc
from refcrp.dialects import DIALECTS

ROOT = Path(__file__).parent.parent
PAGE = Path(__file__).with_name("conformance.md")
ADAPTERS = "refcrp.conformance.adapters"
DTYPES = ("float64", "float32")
BACKENDS = {"Cython": {"REFCRP_REQUIRE_COMPILED": "1"}, "NumPy": {"REFCRP_FORCE_NUMPY": "1"}}
LIBRARIES = {"zennit": "zennit", "zennit-crp": "zennit_crp", "captum": "captum"}  # and their adapters
COMPOSITES = {
    "EpsilonPlus": rc.EpsilonPlus(),
    "EpsilonPlusFlat": rc.EpsilonPlusFlat(),
    "EpsilonGammaBox": rc.EpsilonGammaBox(0, 1),
    "EpsilonAlpha2Beta1": rc.EpsilonAlpha2Beta1(),
    "EpsilonAlpha2Beta1Flat": rc.EpsilonAlpha2Beta1Flat(),
    "default": None,
}

HEAD = """\
# Conformance

How closely each implementation meets the [test vectors](conformance-schema.md) in its own
[dialect](dialects.md). The expected relevances are exact and rounded once; the other libraries are the real
ones, run by the adapters in `refcrp/conformance/adapters/`. The numbers of the first two tables come from the
reports of `refcrp verify`; `docs/make_conformance.py` runs it and puts them together.

The vectors are those whose layers and rules the dialect has. Errors are the largest of them, in units of
u·scale: u is 2⁻⁵³ for float64 and 2⁻²⁴ for float32, and the scale of a value says how far it moves when
everything that enters it is off by 1 relative. About 1 is what rounding costs; a vector fails
above {tolerance:g}.
"""
RULES = """\
## By rule and layer

The largest error in float64 and in float32, of each implementation in its own dialect; a dash where it does
not have the rule or the layer.
"""
LENET5 = """\
## LeNet-5 under the libraries' own composites

The relevance of four digits that the library printed (`data/conformance/record_libraries.py`), and what
`rc.LRP(model, composite, dialect=...)` gives: the largest difference, relative to the largest value. That of
zennit-crp is under three conditions on channels of conv2.
"""


@dataclass(frozen=True)
class Run:
    """One call of ``refcrp verify``."""

    implementation: str
    adapter: str
    dialect: str
    dtype: str
    settings: tuple[tuple[str, str], ...] = ()

    def report(self, folder: Path) -> dict[str, Any]:
        """Call it, and give its report, whether all vectors pass or not."""
        name = "-".join((self.implementation, self.dialect, self.dtype)).replace(" ", "-")
        path = folder / f"{name}.json"
        options = ["--dialect", self.dialect, "--dtype", self.dtype, "--report", str(path)]
        call = [sys.executable, "-m", "refcrp", "verify", f"{ADAPTERS}.{self.adapter}", *options]
        env = os.environ | dict(self.settings)
        said = subprocess.run(call, env=env, capture_output=True, text=True, check=False)  # 1 for failures
        if not path.exists():
            raise RuntimeError(f"{' '.join(call)}:\n{said.stdout}{said.stderr}")
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        print(f"{name}: {report['verdict']}", flush=True)
        return report


def runs() -> Iterator[Run]:
    """Give refcrp in every dialect on both backends, and each library in its own; in both types."""
    for dtype in DTYPES:
        for backend, settings in BACKENDS.items():
            for dialect in DIALECTS:
                adapter = f"own:{dialect.replace('-', '_')}"
                yield Run(f"refcrp on {backend}", adapter, dialect, dtype, tuple(settings.items()))
        for library, adapter in LIBRARIES.items():
            yield Run(f"{library} {version(library)}", f"{adapter}:explain", library, dtype)


def page(reports: dict[Run, dict[str, Any]]) -> str:
    """Give the whole page."""
    first = next(iter(reports.values()))
    facts = "; ".join(f"{name} {fact}" for name, fact in first["facts"].items())
    torch = version("torch").partition("+")[0]
    parts = [
        HEAD.format(tolerance=first["tolerance"]),
        f"Made with {facts}; torch {torch}.\n",
        *whole(reports),
        RULES,
        *by_rule({run: report for run, report in reports.items() if is_of_itself(run)}),
        LENET5,
        *lenet5(),
    ]
    return "\n".join(parts)


def is_of_itself(run: Run) -> bool:
    """Tell whether a run is for the table by rules: an implementation in the dialect that it speaks."""
    return run.implementation.startswith(run.dialect) and "NumPy" not in run.implementation


def whole(reports: dict[Run, dict[str, Any]]) -> Iterator[str]:
    """Give one row for each implementation and dialect."""
    yield row("implementation", "dialect", "vectors", "fail", "not supported", *DTYPES, "largest in")
    yield row("---", "---", "---:", "---:", "---:", "---:", "---:", "---")
    for run in reports:
        if run.dtype == DTYPES[0]:
            both = [reports[in_dtype(run, dtype)] for dtype in DTYPES]
            failed = sum(report["counts"]["fail"] for report in both)
            unknown = both[0]["counts"]["not supported"]
            worst = [worst_of(report) for report in both]
            errors = [error(outcome) for outcome in worst]
            name = max(worst, key=lambda outcome: float(outcome["scaled"]))["id"]
            yield row(
                run.implementation,
                run.dialect,
                len(both[0]["outcomes"]),
                failed,
                unknown,
                *errors,
                f"`{name}`",
            )
    yield ""


def in_dtype(run: Run, dtype: str) -> Run:
    """Give the same run in another type."""
    return Run(run.implementation, run.adapter, run.dialect, dtype, run.settings)


def worst_of(report: dict[str, Any]) -> dict[str, Any]:
    """Give the outcome with the largest error."""
    measured = [outcome for outcome in report["outcomes"] if outcome["scaled"] is not None]
    return max(measured, key=lambda outcome: float(outcome["scaled"]))


def error(outcome: dict[str, Any] | None) -> str:
    """Write an error; a failure that gave no number, too."""
    if outcome is None or outcome["scaled"] is None:
        return "—"
    scaled = float(outcome["scaled"])  # the text "inf", too
    return "0" if scaled == 0 else f"{scaled:.2f}" if scaled < 100 else f"{scaled:.1e}"


def by_rule(reports: dict[Run, dict[str, Any]]) -> Iterator[str]:
    """Give one row for each rule on each kind of layer."""
    groups = {
        (group["rule"], group["layer"], run.implementation, run.dtype): group
        for run, report in reports.items()
        for group in report["groups"]
    }
    implementations = list(dict.fromkeys(run.implementation for run in reports))
    pairs = sorted({key[:2] for key in groups}, key=lambda pair: (pair[0] == "network", pair))
    yield row("rule", "layer", "vectors", *implementations)
    yield row("---", "---", "---:", *["---"] * len(implementations))
    for rule, layer in pairs:
        found = [[groups.get((rule, layer, name, dtype)) for dtype in DTYPES] for name in implementations]
        vectors = max(total(group) for both in found for group in both if group)
        yield row(rule, layer, vectors, *(cell(both) for both in found))
    yield ""


def total(group: dict[str, Any]) -> int:
    """Count the vectors of a group."""
    return sum(group[status] for status in ("pass", "fail", "not supported"))


def cell(groups: list[dict[str, Any] | None]) -> str:
    """Write the errors in both types, and say so if there is a failure."""
    if not any(group and group["pass"] + group["fail"] for group in groups):
        return "—"
    failures = sum(group["fail"] for group in groups if group)
    return ", ".join(error(group) for group in groups) + (f" **({failures} fail)**" if failures else "")


def lenet5() -> Iterator[str]:
    """Compare the engine with the relevances of LeNet-5 that were recorded."""
    yield row("library", "composite", "type", "difference")
    yield row("---", "---", "---", "---:")
    model, digits = rc.load_model("lenet5"), rc.load_digits()[0][:4]
    with h5py.File(ROOT / "data" / "conformance" / "recorded.h5", "r") as file:
        for library in LIBRARIES:
            for name, composite in COMPOSITES.items():
                for dtype in DTYPES:
                    item = file["lenet5"].get(f"{library}/{name}/{dtype}")
                    if item is not None:
                        conditions = json.loads(item.attrs.get("conditions", "null"))
                        lrp = rc.LRP(model.astype(dtype), composite, dialect=library)
                        off = lrp(digits.astype(dtype), conditions=conditions).relevance - item[()]
                        difference = np.abs(off).max() / np.abs(item).max()
                        yield row(library, name, dtype, f"{difference:.1e}")
    yield ""


def row(*cells: object) -> str:
    """Give one row of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Run everything, two at a time, and write the page."""
    todo = list(runs())
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        reports = dict(zip(todo, pool.map(lambda run: run.report(Path(folder)), todo), strict=True))
    PAGE.write_text(page(reports), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
