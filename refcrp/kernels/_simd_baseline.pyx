# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: freethreading_compatible=True
"""The driver of convolution, compiled for one instruction set; setup.py says for which."""

include "convolution.pxi"
