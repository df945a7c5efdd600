"""What reads what in a Keras model: by layer, which call of the layer, and which output of the call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from refcrp.errors import ModelFormatError
from refcrp.io.keras_json import children

__all__ = ["TensorName", "Wires", "inbound", "tensors"]

FailHere = Callable[[str], ModelFormatError]
TensorName = tuple[str, int, int]  # a layer, which call of it, which output of the call
Use = tuple[str, int]  # a layer, which call of it


class Wires:
    """The outputs of each call of each layer of one model, as far as they are known.

    Parameters
    ----------
    inputs : mapping
        The outputs of the input layers.
    reads : mapping
        From all other calls to what they read.
    tails : list of TensorName
        What the model gives.
    """

    def __init__(
        self,
        inputs: Mapping[str, tuple[str, ...]],
        reads: Mapping[Use, list[TensorName]],
        tails: list[TensorName],
    ) -> None:
        self.outputs: dict[Use, tuple[str, ...]] = {(name, 0): given for name, given in inputs.items()}
        self.calls: dict[str, int] = dict.fromkeys(inputs, 1)
        for name, _ in reads:
            self.calls[name] = self.calls.get(name, 0) + 1
        self.last: dict[str, int] = {}
        for name, node, _ in [*tails, *(tensor for read in reads.values() for tensor in read)]:
            self.last[name] = max(node, self.last.get(name, 0))

    def use(self, tensor: TensorName) -> Use:
        """Tell which call of a layer gives a tensor.

        Keras 2 counts the calls of a model from 1, as making it is its first; for a layer that is called once
        the number says nothing.
        """
        name, node, _ = tensor
        calls = self.calls.get(name, 0)
        first = 1 if self.last[name] == calls else 0
        return name, 0 if calls == 1 else node - first

    def is_known(self, tensor: TensorName) -> bool:
        """Tell whether the call that gives a tensor has been unfolded."""
        return self.use(tensor) in self.outputs


def inbound(nodes: Any, fail: FailHere) -> Iterator[list[TensorName]]:
    """Give what a layer reads, for each time it is called."""
    if not isinstance(nodes, list):
        raise fail(f"'inbound_nodes' is {nodes!r:.100}, expected list")
    if not nodes:
        raise fail("the layer reads nothing")
    for node in nodes:
        if isinstance(node, dict):  # Keras 3
            found: Any = list(keras3_tensors([node.get("args"), node.get("kwargs")]))
        else:
            found = node
        read = tensors(found, fail)
        if not read:
            raise fail("the layer reads nothing")
        yield read


def tensors(value: Any, fail: FailHere) -> list[TensorName]:
    """Read [name, node, output], or a list of these; the node counts its calls."""
    rows = [value] if isinstance(value, list) and value and isinstance(value[0], str) else value
    if not isinstance(rows, list):
        raise fail(f"expected [layer, node, output], or a list of these, got {rows!r:.100}")
    for row in rows:
        is_row = isinstance(row, list) and len(row) in (3, 4) and isinstance(row[0], str)
        if not is_row or any(type(n) is not int for n in row[1:3]):
            raise fail(f"expected [layer, node, output], got {row!r:.100}")
    return [(row[0], row[1], row[2]) for row in rows]


def keras3_tensors(value: Any) -> Iterator[Any]:
    """Go through the `keras_history` of all tensors among the arguments of a call."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            config = value.get("config")
            yield config.get("keras_history") if isinstance(config, dict) else None
        else:
            stack.extend(reversed(list(children(value))))
