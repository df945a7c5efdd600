"""What zennit-crp really gave on graphs (recorded_graphs.py), against its dialect."""

from pathlib import Path

import graph_nets
import h5py
import numpy as np
import pytest


@pytest.fixture(scope="module")
def recorded():
    with h5py.File(Path(__file__).parent / "recorded_graphs.h5", "r") as file:
        yield file


@pytest.mark.parametrize("run", graph_nets.RUNS)
def test_conditional_relevance_is_what_was_recorded(recorded, run):
    name, question, alone = graph_nets.RUNS[run]
    arrays = {key: item[()] for key, item in recorded[name]["weights"].items()}
    ours = graph_nets.explained(name, arrays, recorded[name]["input"][()], question, alone)
    theirs = recorded[run]
    assert set(theirs) == set(ours)
    for layer, R in ours.items():
        expected = theirs[layer][()]
        np.testing.assert_allclose(R, expected, rtol=0, atol=1e-12 * np.abs(expected).max(), err_msg=layer)


@pytest.mark.parametrize("net", graph_nets.QUESTIONS)
def test_the_recorded_numbers_tell_the_ways_apart(recorded, net):
    """With branches beside the conditioned layers relevance is another."""
    runs = [
        (key, way)
        for key, (name, question, way) in graph_nets.RUNS.items()
        if name == net and len(question.ways) == 2
    ]
    pairs = [(recorded[key], recorded[key.replace("/alone", "/all")]) for key, way in runs if way]
    different = [not np.allclose(one["x"][()], other["x"][()], rtol=1e-3, atol=0) for one, other in pairs]
    assert any(different)
    assert not different[0]  # a condition on the output alone


def test_the_versions_are_said(recorded):
    found = {name: recorded.attrs[name].decode() for name in recorded.attrs}
    assert found == {"torch": "2.13.0", "zennit": "0.5.1", "zennit-crp": "0.6.0"}
