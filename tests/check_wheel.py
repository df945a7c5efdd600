"""Check what is in a wheel: ``python tests/check_wheel.py refcrp-....whl``; used by .ci/run."""

import sys
import zipfile

NEEDED = {
    "refcrp/py.typed",
    "refcrp/kernels/_conv.pyi",
    "refcrp_data/__init__.py",
    "refcrp_data/lenet5.h5",
    "refcrp_data/digits.h5",
}


def main(path):
    names = set(zipfile.ZipFile(path).namelist())
    missing = sorted(NEEDED - names)
    sources = sorted(n for n in names if n.endswith((".pyx", ".c", ".h")))
    compiled = sorted(n for n in names if n.endswith((".so", ".pyd")))
    strangers = sorted({n.partition("/")[0] for n in names} - {"refcrp", "refcrp_data"})
    strangers = [n for n in strangers if not n.endswith(".dist-info")]
    problems = {
        "missing": missing,
        "sources that should not be there": sources,
        "not of this package": strangers,
        "no compiled kernels": [] if len(compiled) == 2 else [str(compiled)],
    }
    for what, found in problems.items():
        if found:
            sys.exit(f"{path}: {what}: {', '.join(found)}")
    print(f"{len(names)} files, {', '.join(compiled)}")


if __name__ == "__main__":
    main(sys.argv[1])
