"""Declare the Cython extensions; everything else is in pyproject.toml."""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

# -ffp-contract=off: a fused multiply-add rounds once where the NumPy path rounds twice, and the two
# must agree. Never -ffast-math: it would let the compiler reorder sums and ignore NaN.
COMPILE_ARGUMENTS = [] if os.name == "nt" else ["-O3", "-ffp-contract=off"]

extensions = [
    Extension(
        f"refcrp.kernels.{name}",
        [f"refcrp/kernels/{name}.pyx"],
        extra_compile_args=COMPILE_ARGUMENTS,
        optional=True,  # without a C compiler the package installs all the same and runs on NumPy
    )
    for name in ("_conv", "_pool")
]

setup(ext_modules=cythonize(extensions, language_level=3))
