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
        # Named here, because cythonize replaces them among the sources, and a source distribution needs them.
        depends=[f"refcrp/kernels/{name}.pyx", "refcrp/kernels/_window.pxd"],
        extra_compile_args=COMPILE_ARGUMENTS,
    )
    for name in ("_conv", "_pool")
]

ext_modules = cythonize(extensions, language_level=3)
for extension in ext_modules:
    # Without a C compiler the package installs all the same and runs on NumPy. (Set here, because
    # cythonize does not hand the argument on.)
    extension.optional = True

setup(ext_modules=ext_modules)
