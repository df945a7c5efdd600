"""Declare the Cython extensions; everything else is in pyproject.toml."""

import os
import platform

from Cython.Build import cythonize
from setuptools import Extension, setup

KERNELS = "refcrp/kernels"

# Never -ffast-math: it would let the compiler reorder sums and ignore NaN. In the plain loops no fused
# multiply-add either (-ffp-contract=off): it rounds once where the NumPy path rounds twice. The
# micro-kernel's sums have their own order anyway, and are made of fused multiply-adds where there are any.
# Python's own -g is taken back: what it writes is four fifths of a wheel and a third of the time to build it.
COMMON = ["-O3", "-g0"]
PLAIN = [] if os.name == "nt" else [*COMMON, "-ffp-contract=off"]
FUSED = [] if os.name == "nt" else [*COMMON, "-ffp-contract=fast"]


def extension(name, arguments, *headers):
    """Describe one extension module."""
    sources = [f"{KERNELS}/{name}.pyx"]
    # Sources are named here too, because cythonize replaces them, and a source distribution needs them.
    depends = sources + [f"{KERNELS}/{header}" for header in headers]
    return Extension(f"refcrp.kernels.{name}", sources, depends=depends, extra_compile_args=arguments)


def simd(name, *arguments):
    """Describe the driver of convolution for one instruction set."""
    parts = ("convolution", "elements", "lists", "packing", "panels", "products", "relevance", "units")
    headers = ("microkernel.h", "tile.h", "rows.h", "packing.h", "cpu.h", "units.h", "_window.pxd")
    return extension(name, FUSED + list(arguments), *(f"{part}.pxi" for part in parts), *headers)


extensions = [
    extension("_pool", PLAIN, "_window.pxd"),
    simd("_simd_baseline"),
]
if platform.machine().lower() in ("x86_64", "amd64") and os.name != "nt":
    extensions += [simd("_simd_v3", "-march=x86-64-v3"), simd("_simd_v4", "-march=x86-64-v4")]

ext_modules = cythonize(extensions, language_level=3)
for module in ext_modules:
    # Without a C compiler the package installs all the same and runs on NumPy. (Set here, because
    # cythonize does not hand the argument on.)
    module.optional = True

setup(ext_modules=ext_modules, options={"build_ext": {"parallel": os.cpu_count()}})
