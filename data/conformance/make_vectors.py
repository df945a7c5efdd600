"""Make data/conformance/vectors.h5: the cases of vectors_*.py beside this file, and what is right for them.

Run from a checkout, with refcrp installed::

    python data/conformance/make_vectors.py

Expected relevances come from the exact oracle, `refcrp.conformance.exact`, and are rounded once. The same
arrays come out each time; it takes some minutes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import vectors_edges
import vectors_graphs
import vectors_hand
import vectors_layers
import vectors_more_layers
import vectors_more_networks
import vectors_more_weightless
import vectors_networks
import vectors_pooling

from refcrp.conformance.cases import Case
from refcrp.conformance.exact import explain, rounded, sensitivity
from refcrp.conformance.flags import FLAGS, MAX_CONDITION, has, implied_flags, needs_float64
from refcrp.conformance.schema import lint
from refcrp.conformance.vectors import write_vectors
from refcrp.dialects import DIALECTS

PARTS = (
    *(vectors_layers, vectors_edges, vectors_pooling, vectors_hand, vectors_networks, vectors_graphs),
    *(vectors_more_layers, vectors_more_weightless, vectors_more_networks),
)
DESTINATION = Path(__file__).parent / "vectors.h5"


def all_cases() -> Iterator[Case]:
    """Give the cases, without what is expected."""
    for part in PARTS:
        yield from part.cases()


def complete(case: Case) -> Case:
    """Give a case with what is expected, its scale, and the flags that follow from them."""
    dialects = [dialect for dialect in DIALECTS.values() if has(dialect, case)]
    expected = {dialect.name: rounded(explain(case, dialect)) for dialect in dialects}
    case = replace(case, expected=expected, scale=sensitivity(case))
    flags = set(case.flags) | implied_flags(case)
    if needs_float64(case) or any(is_ill_conditioned(case, name) for name in expected):
        flags.add("float64-only")
    return replace(case, flags=tuple(flag for flag in FLAGS if flag in flags))


def is_ill_conditioned(case: Case, dialect: str) -> bool:
    """Tell whether what a dialect expects is beyond float32."""
    largest = np.abs(case.expected[dialect]).max()
    return bool(sensitivity(case, dialect).max() > MAX_CONDITION * largest)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=DESTINATION)
    path = parser.parse_args().output
    start = time.perf_counter()
    with multiprocessing.Pool() as pool:
        cases = pool.map(complete, list(all_cases()), chunksize=4)
    path.parent.mkdir(exist_ok=True)
    write_vectors(cases, path)
    print(f"{path}: {len(cases)} vectors, {path.stat().st_size:,} bytes, {time.perf_counter() - start:.0f} s")
    if problems := lint(path):
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
