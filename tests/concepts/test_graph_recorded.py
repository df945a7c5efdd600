"""What zennit-crp's AttributionGraph really gave (record_attribution_graph.py), against its dialect."""

import json
from pathlib import Path

import pytest

import refcrp as rc

RECORDED = json.loads(Path(__file__).with_name("attribution_graph.json").read_text())["cases"]


def graph_of(case, lenet5, digits, **options):
    lrp = rc.LRP(lenet5, getattr(rc, case["composite"])(), dialect="zennit-crp", dtype="float64")
    where = {name: case[name] for name in ("layer", "channel", "width")}
    return rc.attribution_graph(lrp, digits[0][case["sample"]][None], case["target"], **where, **options)


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: f"{case['layer']}-{len(case['width'])}")
def test_edges_are_what_was_recorded(case, lenet5, digits):
    graph = graph_of(case, lenet5, digits, along_path=False)
    ours = {(edge.source, edge.target): edge for edge in graph.edges}
    theirs = {((a, i), (b, j)): numbers for a, i, b, j, *numbers in case["edges"]}
    none = {ends for ends, (relevance, _) in theirs.items() if relevance == 0}
    assert not none & set(ours)
    assert set(ours) == set(theirs) - none
    for ends, edge in ours.items():
        relevance, share = theirs[ends]
        assert edge.relevance == pytest.approx(relevance, rel=1e-9), ends
        assert edge.share == pytest.approx(share, rel=1e-7), ends


def test_the_recorded_numbers_tell_the_ways_apart(lenet5, digits):
    """Along the path, edges of the third level carry less: only what came through the graph's own nodes."""
    case = next(case for case in RECORDED if len(case["width"]) == 3)
    graph = graph_of(case, lenet5, digits, along_path=True)
    theirs = {((a, i), (b, j)): relevance for a, i, b, j, relevance, _ in case["edges"]}
    second = [
        edge for edge in graph.edges if edge.source[0] == "conv2" and (edge.source, edge.target) in theirs
    ]
    assert second
    assert all(edge.relevance < 0.9 * theirs[edge.source, edge.target] for edge in second)


def test_some_recorded_relevance_is_negative_and_some_is_none():
    relevances = [edge[4] for case in RECORDED for edge in case["edges"]]
    assert min(relevances) < 0
    assert 0 in relevances
