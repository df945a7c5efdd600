"""Test implementations of LRP and CRP: exact test vectors, and a checker that says what a failure looks like.

``refcrp verify MODULE:FUNCTION`` on the command line; `check` and `check_case` in a test suite
(`docs/test-your-implementation.md`).
"""

from refcrp.conformance.cases import Case, LayerSpec, RuleSpec
from refcrp.conformance.check import NotSupported, cases, check, check_case
from refcrp.conformance.report import Report
from refcrp.conformance.vectors import load_vectors

__all__ = [
    "Case",
    "LayerSpec",
    "NotSupported",
    "Report",
    "RuleSpec",
    "cases",
    "check",
    "check_case",
    "load_vectors",
]
