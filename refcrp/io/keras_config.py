"""The `model_config` of a Keras file: from nested JSON, in two formats, to one flat list of layer calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from refcrp.errors import ModelFormatError
from refcrp.model import INPUT_NAME, OUTPUT_NAME

__all__ = ["Call", "Fail", "Unfolded", "parse_json", "unfold"]

MAX_DEPTH = 200  # of JSON; nested models of ten levels need less than half of it
MAX_NESTING = 10  # of models in models
MAX_LAYERS = 5000
MAX_LENGTH = 2**22  # of one axis of an input
MODELS = ("Sequential", "Functional", "Model")

Fail = Callable[[str, str], ModelFormatError]  # (where, what) to the error that names the file too
Json = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A layer that computes, and what it reads.

    Parameters
    ----------
    path : tuple of str
        The names of the models it is in, from the outermost but the whole, and its own.
    class_name : str
    config : dict
    sources : tuple of str
        Names of other calls, or `INPUT_NAME`.
    """

    path: tuple[str, ...]
    class_name: str
    config: Json
    sources: tuple[str, ...]

    @property
    def name(self) -> str:
        """Give the dotted name; the two that the model needs for itself get an underscore."""
        name = ".".join(self.path)
        return f"{name}_" if name in (INPUT_NAME, OUTPUT_NAME) else name


@dataclass(frozen=True)
class Unfolded:
    """A model without models in it: calls in the order in which they compute.

    Parameters
    ----------
    calls : list of Call
    output : str
        The name of the call that gives the output.
    input_shape : tuple of int or None
        Of one sample, as Keras has it: (height, width, channels).
    """

    calls: list[Call]
    output: str
    input_shape: tuple[int | None, ...]


def parse_json(text: str, fail: Fail) -> Json:
    """Parse the JSON of a model; refuses what is no object, too deep, or has NaN in it."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    try:
        config = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise fail("model_config", f"not readable as JSON: {error}") from error
    level = [config]
    for _ in range(MAX_DEPTH):
        level = [child for value in level for child in children(value)]
        if not level:
            break
    else:
        raise fail("model_config", f"JSON nested more than {MAX_DEPTH} levels deep")
    if not isinstance(config, dict):
        raise fail("model_config", f"expected a JSON object, got a {type(config).__name__}")
    return config


def children(value: Any) -> Iterator[Any]:
    """Go through the values in a list or object."""
    if isinstance(value, dict):
        return iter(value.values())
    return iter(value if isinstance(value, list) else ())


def unfold(config: Json, fail: Fail) -> Unfolded:
    """Give all calls of a model, those of the models in it included."""
    unfolder = Unfolder(fail)
    kind = unfolder.part(config, "class_name", str, "model_config")
    if kind not in MODELS:
        raise fail("model_config", f"class {kind!r} is not supported; supported are {', '.join(MODELS)}")
    outputs = unfolder.model(config, (), (INPUT_NAME,))
    if len(outputs) != 1:
        raise fail("model_config", f"the model has {len(outputs)} outputs, expected one")
    needed = set(outputs)
    calls = []
    for call in reversed(unfolder.calls):
        if call.name in needed:
            needed.update(call.sources)
            calls.append(call)
    return Unfolded(calls[::-1], outputs[0], unfolder.input_shape(config))


class Unfolder:
    """Collects the calls of one file."""

    def __init__(self, fail: Fail) -> None:
        self.fail = fail
        self.calls: list[Call] = []

    def part(self, value: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
        """Give ``value[key]``, which must be of a type."""
        found = value.get(key) if isinstance(value, dict) else None
        if not isinstance(found, kind):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            expected = " or ".join(k.__name__ for k in kinds)
            raise self.fail(where, f"{key!r} is {found!r:.100}, expected {expected}")
        return found

    # Models ----------------------------------------------------------------------------------------------

    def model(self, entry: Json, path: tuple[str, ...], inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Unfold a model that reads `inputs`; gives the names of its outputs."""
        where = ".".join(path) or "model_config"
        if len(path) > MAX_NESTING:
            raise self.fail(where, f"models nested more than {MAX_NESTING} deep")
        if entry["class_name"] == "Sequential":
            return self.sequential(entry, path, inputs)
        return self.functional(self.part(entry, "config", dict, where), path, inputs)

    def layers(self, entry: Json, where: str) -> list[Json]:
        """Give the layers in a model's configuration; of a Sequential it may be nothing but the list."""
        config = self.part(entry, "config", (dict, list), where)
        layers: list[Json] = (
            config if isinstance(config, list) else self.part(config, "layers", list, f"{where}: config")
        )
        if not layers or not all(isinstance(layer, dict) for layer in layers):
            raise self.fail(where, "expected a list of layers, each with class_name and config")
        return layers

    def sequential(self, entry: Json, path: tuple[str, ...], inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Unfold a chain."""
        for k, layer in enumerate(self.layers(entry, ".".join(path) or "model_config")):
            where = ".".join((*path, str(k)))
            config = self.part(layer, "config", (dict, list), where)
            name = config.get("name") if isinstance(config, dict) else layer.get("name")
            if len(inputs) != 1:
                raise self.fail(where, f"reads {len(inputs)} outputs, in a chain expected one")
            inputs = self.layer(layer, (*path, name if isinstance(name, str) else f"model{k}"), inputs)
        return inputs

    def functional(self, config: Json, path: tuple[str, ...], inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Unfold a graph, in whatever order its layers stand."""
        where = ".".join(path) or "model_config"
        entries = {self.part(e, "name", str, where): e for e in self.layers({"config": config}, where)}
        if len(entries) != len(config["layers"]):
            raise self.fail(where, "two layers have the same name")
        heads = self.tensors(config.get("input_layers"), f"{where}: input_layers")
        if len(heads) != len(inputs):
            raise self.fail(where, f"the model has {len(heads)} inputs, expected {len(inputs)}")
        outputs: dict[str, tuple[str, ...]] = {
            name: (source,) for (name, _), source in zip(heads, inputs, strict=True)
        }
        waiting = {name: self.inbound(e, (*path, name)) for name, e in entries.items() if name not in outputs}
        while waiting:
            before = len(waiting)
            for name in list(waiting):
                if all(source in outputs for source, _ in waiting[name]):
                    read = tuple(self.output(outputs, t, name) for t in waiting.pop(name))
                    outputs[name] = self.layer(entries[name], (*path, name), read)
            if len(waiting) == before:
                raise self.fail(where, f"layers {', '.join(list(waiting)[:5])} read what no layer gives")
        tails = self.tensors(config.get("output_layers"), f"{where}: output_layers")
        return tuple(self.output(outputs, tail, where) for tail in tails)

    def output(self, outputs: dict[str, tuple[str, ...]], tensor: tuple[str, int], where: str) -> str:
        """Look up an output of a layer."""
        name, index = tensor
        if name not in outputs or not 0 <= index < len(outputs[name]):
            raise self.fail(where, f"there is no output {index} of a layer {name!r}")
        return outputs[name][index]

    def layer(self, entry: Json, path: tuple[str, ...], inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Unfold one layer, or a model in the place of one."""
        where = ".".join(path)
        kind = self.part(entry, "class_name", str, where)
        if kind in MODELS:
            return self.model(entry, path, inputs)
        if kind == "InputLayer":
            return inputs
        call = Call(path, kind, self.part(entry, "config", dict, where), inputs)
        self.calls.append(call)
        if len(self.calls) > MAX_LAYERS:
            raise self.fail(where, f"more than {MAX_LAYERS} layers")
        return (call.name,)

    # Connections -----------------------------------------------------------------------------------------

    def inbound(self, entry: Json, path: tuple[str, ...]) -> list[tuple[str, int]]:
        """Give what a layer reads: pairs of a layer's name and which of its outputs."""
        where = ".".join(path)
        nodes = self.part(entry, "inbound_nodes", list, where)
        if len(nodes) != 1:
            is_what = f"is used {len(nodes)} times (a shared layer)" if nodes else "reads nothing"
            raise self.fail(where, f"the layer {is_what}; supported are layers used once")
        if isinstance(nodes[0], dict):  # Keras 3
            found = list(keras3_tensors([nodes[0].get("args"), nodes[0].get("kwargs")]))
        else:
            found = nodes[0]
        tensors = self.tensors(found, where)
        if not tensors:
            raise self.fail(where, "the layer reads nothing")
        return tensors

    def tensors(self, value: Any, where: str) -> list[tuple[str, int]]:
        """Read [name, node, output], or a list of these; the node counts its uses."""
        rows = [value] if isinstance(value, list) and value and isinstance(value[0], str) else value
        if not isinstance(rows, list):
            raise self.fail(where, f"expected [layer, node, output], or a list of these, got {rows!r:.100}")
        for row in rows:
            is_row = isinstance(row, list) and len(row) in (3, 4) and isinstance(row[0], str)
            if not is_row or any(type(n) is not int for n in row[1:3]):
                raise self.fail(where, f"expected [layer, node, output], got {row!r:.100}")
        return [(row[0], row[2]) for row in rows]

    # The input -------------------------------------------------------------------------------------------

    def input_shape(self, entry: Json) -> tuple[int | None, ...]:
        """Find the input's shape, without the batch axis."""
        for _ in range(MAX_NESTING + 1):
            layers = self.layers(entry, "model_config")
            shape = None
            first = layers[0]
            if entry["class_name"] == "Sequential":
                config = entry["config"]
                shape = config.get("build_input_shape") if isinstance(config, dict) else None
            else:
                ((name, _),) = self.tensors(entry["config"].get("input_layers"), "model_config: input_layers")
                first = next((layer for layer in layers if layer.get("name") == name), first)
            if first.get("class_name") not in MODELS:
                config = self.part(first, "config", dict, "the first layer")
                shape = config.get("batch_shape") or config.get("batch_input_shape") or shape
            if shape is not None or first.get("class_name") not in MODELS:
                return self.sample_shape(shape)
            entry = first
        raise self.fail("model_config", f"models nested more than {MAX_NESTING} deep")

    def sample_shape(self, shape: Any) -> tuple[int | None, ...]:
        """Check a shape with batch axis, and take that off."""
        is_shape = isinstance(shape, list) and 2 <= len(shape) <= 4
        good = is_shape and all(n is None or (type(n) is int and 1 <= n <= MAX_LENGTH) for n in shape)
        if not good:
            raise self.fail(
                "model_config",
                f"input shape {shape!r:.100}; expected [null, height, width, channels] or [null, features], "
                "as batch_shape or batch_input_shape of the first layer",
            )
        return tuple(shape[1:])


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
