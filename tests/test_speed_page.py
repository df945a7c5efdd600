"""The table of docs/speed.md: how many products each rule needs, counted."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.layers.base import array_field

PAGE = Path(__file__).parent.parent / "docs" / "speed.md"
ARGUMENTS = {"ZBoxRule": (-3, 3)}

products = []


@dataclass(frozen=True, eq=False, repr=False)
class Counted(L.LinearLayer):
    """A dense layer that takes down its products."""

    kind = "counted"
    weight: np.ndarray = array_field()
    bias: np.ndarray | None = array_field(default=None)

    def output_shape(self, shape):
        return (len(self.weight),)

    def linear(self, x, weight, bias):
        products.append("forward")
        return x @ weight.T + (0 if bias is None else bias)

    def transpose(self, s, weight, input_shape):
        products.append("back")
        return s @ weight


def counts_on_the_page():
    """Give (rule, for inputs >= 0, for inputs of both signs), as the page has it."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if re.match(r"\| `\w+Rule`", line):
            names, *counts = (cell.strip() for cell in line.strip("|").split("|"))
            for name in re.findall(r"\w+", names):
                yield name, *counts


@pytest.mark.parametrize(
    ("name", "nonnegative", "signed"), list(counts_on_the_page()), ids=lambda value: value[:12]
)
def test_products_are_as_many_as_the_page_says(name, nonnegative, signed):
    rng = np.random.default_rng(0)
    layer = Counted(rng.normal(size=(5, 4)), rng.normal(size=5))
    lrp = rc.LRP(rc.Sequential([layer]), getattr(rc, name)(*ARGUMENTS.get(name, ())))
    for a, said in ((rng.random((3, 4)), nonnegative), (rng.normal(size=(3, 4)), signed)):
        lrp(a)  # some denominators are kept from the first call on
        products.clear()
        lrp(a)
        assert f"{products.count('forward')} forward, {products.count('back')} back" == said


def test_the_page_has_all_rules_that_multiply():
    with_weights = {name for name in rc.__all__ if name.endswith("Rule") and name != "Rule"}
    assert {name for name, *_ in counts_on_the_page()} == with_weights - {"PassRule", "LayerNormRule"}
