"""Check what is in a wheel: ``python tests/check_wheel.py refcrp-....whl``; used by .ci/run."""

import platform
import sys
import zipfile

NEEDED = {
    "refcrp/py.typed",
    "refcrp/__init__.pyi",
    "refcrp/kernels/_pool.pyi",
    "refcrp_data/__init__.py",
    "refcrp_data/lenet5.h5",
    "refcrp_data/digits.h5",
    "refcrp_data/lenet5_references.h5",
    "refcrp_data/conformance/vectors.h5",
}


def main(path):
    names = set(zipfile.ZipFile(path).namelist())
    missing = sorted(NEEDED - names)
    sources = sorted(n for n in names if n.endswith((".pyx", ".pxd", ".pxi", ".c", ".h")))
    compiled = sorted(n for n in names if n.endswith((".so", ".pyd")))
    # pooling, and convolution for each instruction set
    expected = 4 if platform.machine().lower() in ("x86_64", "amd64") else 2
    strangers = sorted({n.partition("/")[0] for n in names} - {"refcrp", "refcrp_data"})
    strangers = [n for n in strangers if not n.endswith(".dist-info")]
    problems = {
        "missing": missing,
        "sources that should not be there": sources,
        "not of this package": strangers,
        "compiled kernels": [] if len(compiled) == expected else [str(compiled)],
    }
    for what, found in problems.items():
        if found:
            sys.exit(f"{path}: {what}: {', '.join(found)}")
    print(f"{len(names)} files, {', '.join(compiled)}")


if __name__ == "__main__":
    main(sys.argv[1])
