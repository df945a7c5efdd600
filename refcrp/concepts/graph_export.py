"""Attribution graphs as text: JSON, DOT, GraphML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from refcrp.concepts.graph_result import AttributionGraph, GraphNode

__all__ = ["to_dot", "to_graphml", "to_json"]

POSITIVE, NEGATIVE = "#b2182b", "#2166ac"
Values = Mapping[str, str | int | float]

GRAPHML = "http://graphml.graphdrawing.org/xmlns"
GRAPHML_KEYS = {
    "node": {"layer": "string", "channel": "int", "relevance": "double", "level": "int"},
    "edge": {"relevance": "double", "share": "double"},
    "graph": {"output": "int"},
}


def identifier(key: tuple[str, int]) -> str:
    """Name a node: ``conv2:3``; after the last colon comes the channel."""
    return f"{key[0]}:{key[1]}"


def node_values(node: GraphNode) -> Values:
    """Give what a node holds; fractions as floats."""
    return {
        "layer": node.layer,
        "channel": node.channel,
        "relevance": float(node.relevance),
        "level": node.level,
    }


def to_json(graph: AttributionGraph) -> str:
    """Write a graph as JSON, in networkx's form of nodes and edges."""
    document = {
        "directed": True,
        "multigraph": False,
        "graph": {"output": graph.output},
        "nodes": [{"id": identifier(node.key), **node_values(node)} for node in graph.nodes],
        "edges": [
            {
                "source": identifier(edge.source),
                "target": identifier(edge.target),
                "relevance": float(edge.relevance),
                "share": float(edge.share),
            }
            for edge in graph.edges
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_dot(graph: AttributionGraph) -> str:
    """Write a graph in Graphviz' language."""
    lines = ["digraph attribution {", '  node [shape=box, style=rounded, fontname="sans-serif"];']
    for node in graph.nodes:
        label = f"{dot_text(node.layer)} [{node.channel}]\\n{float(node.relevance):.3g}"
        lines.append(f'  "{dot_text(identifier(node.key))}" [label="{label}"];')
    for edge in graph.edges:
        share = float(edge.share)
        ends = f'"{dot_text(identifier(edge.source))}" -> "{dot_text(identifier(edge.target))}"'
        style = [f'label="{100 * share:.1f} %"', f"penwidth={0.5 + 6 * abs(share):.2f}"]
        colour = POSITIVE if share >= 0 else NEGATIVE
        lines.append(f'  {ends} [{", ".join(style)}, color="{colour}"];')
    return "\n".join([*lines, "}", ""])


def dot_text(text: str) -> str:
    """Escape text for a quoted string: in it a backslash would begin an escape sequence."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def to_graphml(graph: AttributionGraph) -> str:
    """Write a graph as GraphML."""
    root = ElementTree.Element("graphml", xmlns=GRAPHML)
    for domain, keys in GRAPHML_KEYS.items():
        for name, kind in keys.items():
            attributes = {"id": f"{domain}-{name}", "for": domain, "attr.name": name, "attr.type": kind}
            ElementTree.SubElement(root, "key", attributes)
    body = ElementTree.SubElement(root, "graph", edgedefault="directed")
    add_data(body, "graph", {"output": graph.output})
    for node in graph.nodes:
        element = ElementTree.SubElement(body, "node", id=identifier(node.key))
        add_data(element, "node", node_values(node))
    for edge in graph.edges:
        ends = {"source": identifier(edge.source), "target": identifier(edge.target)}
        element = ElementTree.SubElement(body, "edge", ends)
        add_data(element, "edge", {"relevance": float(edge.relevance), "share": float(edge.share)})
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text.decode() + "\n"


def add_data(element: ElementTree.Element, domain: str, values: Values) -> None:
    """Add values to a node, an edge or the graph."""
    for name, value in values.items():
        data = ElementTree.SubElement(element, "data", key=f"{domain}-{name}")
        data.text = value if isinstance(value, str) else repr(value)
