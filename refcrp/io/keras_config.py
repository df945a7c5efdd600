"""The `model_config` of a Keras file: from nested JSON, in two formats, to one flat list of layer calls."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from refcrp.errors import ModelFormatError
from refcrp.io.keras_json import Fail, Json
from refcrp.io.keras_wires import TensorName, Wires, inbound, tensors
from refcrp.model import INPUT_NAME, OUTPUT_NAME

__all__ = ["MODELS", "Call", "Unfolded", "unfold"]

MAX_NESTING = 10  # of models in models
MAX_LAYERS = 5000
MAX_LENGTH = 2**22  # of one axis of an input
MODELS = ("Sequential", "Functional", "Model")


@dataclass(frozen=True)
class Call:
    """A layer that computes, and what it reads.

    Parameters
    ----------
    name : str
        The dotted path; with an underscore, or a number, if that is taken. No two calls have the same.
    path : tuple of str
        The names of the models it is in, from the outermost but the whole, and its own. Calls of the same
        layer have the same.
    class_name : str
    config : dict
    sources : tuple of str
        Names of other calls, or `INPUT_NAME`.
    """

    name: str
    path: tuple[str, ...]
    class_name: str
    config: Json
    sources: tuple[str, ...]


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


def unfold(config: Json, fail: Fail) -> Unfolded:
    """Give all calls of a model, those of the models in it included."""
    unfolder = Unfolder(fail)
    kind = unfolder.part(config, "class_name", str, "model_config")
    if kind not in MODELS:
        raise fail("model_config", f"class {kind!r} is not supported; supported are {', '.join(MODELS)}")
    outputs = unfolder.model(config, (), (INPUT_NAME,))
    if len(outputs) != 1:
        raise fail(
            "model_config",
            f"the model has {len(outputs)} outputs, expected one: save a model for each of them",
        )
    needed = set(outputs)
    calls = []
    for call in reversed(unfolder.calls):
        if call.name in needed:
            needed.update(call.sources)
            calls.append(call)
    names = final_names(calls[::-1])
    renamed = [
        replace(call, name=names[call.name], sources=tuple(names[source] for source in call.sources))
        for call in reversed(calls)
    ]
    return Unfolded(renamed, names[outputs[0]], unfolder.input_shape(config))


def final_names(calls: list[Call]) -> dict[str, str]:
    """Name each call as its layer, and further calls of it with a number: ``name_1``, ``name_2``, ..."""
    names, taken = {INPUT_NAME: INPUT_NAME}, {INPUT_NAME, OUTPUT_NAME}
    for call in sorted(calls, key=use_of):  # first calls first: they keep their names
        dotted = ".".join(call.path)
        name = f"{dotted}_" if dotted in (INPUT_NAME, OUTPUT_NAME) else dotted
        numbered = (f"{dotted}_{k}" for k in itertools.count(max(use_of(call), 1)))
        names[call.name] = name if name not in taken else next(n for n in numbered if n not in taken)
        taken.add(names[call.name])
    return names


def use_of(call: Call) -> int:
    """Tell the how-manieth call of its layer it is, from 0; the name starts with it while models unfold."""
    return int(call.name.partition(":")[0])


class Unfolder:
    """Collects the calls of one file."""

    def __init__(self, fail: Fail) -> None:
        self.fail = fail
        self.calls: list[Call] = []
        self.uses: Counter[tuple[str, ...]] = Counter()  # by path
        self.count = 0  # of layers, models included: these may be shared, in models that are shared

    def failing(self, path: tuple[str, ...]) -> Callable[[str], ModelFormatError]:
        """Give what makes the errors for a place."""
        return partial(self.fail, ".".join(path))

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
        heads = tensors(config.get("input_layers"), self.failing((where, "input_layers")))
        if len(heads) != len(inputs):
            raise self.fail(where, f"the model has {len(heads)} inputs, expected {len(inputs)}")
        tails = tensors(config.get("output_layers"), self.failing((where, "output_layers")))
        known = {name: (source,) for (name, _, _), source in zip(heads, inputs, strict=True)}
        waiting = {
            (name, use): read
            for name, entry in entries.items()
            if name not in known
            for use, read in enumerate(inbound(entry.get("inbound_nodes"), self.failing((*path, name))))
        }
        if len(waiting) > MAX_LAYERS:
            raise self.fail(where, f"more than {MAX_LAYERS} layers")
        wires = Wires(known, waiting, tails)
        while waiting:
            before = len(waiting)
            for name, use in list(waiting):
                if all(wires.is_known(tensor) for tensor in waiting[name, use]):
                    read = tuple(self.output(wires, t, name) for t in waiting.pop((name, use)))
                    wires.outputs[name, use] = self.layer(entries[name], (*path, name), read)
            if len(waiting) == before:
                stuck = ", ".join(name for name, _ in list(waiting)[:5])
                raise self.fail(where, f"layers {stuck} read what no layer gives")
        return tuple(self.output(wires, tail, where) for tail in tails)

    def output(self, wires: Wires, tensor: TensorName, where: str) -> str:
        """Look up an output of a layer."""
        outputs = wires.outputs.get(wires.use(tensor), ())
        name, _, index = tensor
        if not 0 <= index < len(outputs):
            raise self.fail(where, f"there is no output {index} of a layer {name!r}")
        return outputs[index]

    def layer(self, entry: Json, path: tuple[str, ...], inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Unfold one layer, or a model in the place of one."""
        where = ".".join(path)
        kind = self.part(entry, "class_name", str, where)
        use = self.uses[path]
        self.uses[path] += 1
        self.count += 1
        if self.count > MAX_LAYERS:
            raise self.fail(where, f"more than {MAX_LAYERS} layers")
        if kind in MODELS:
            return self.model(entry, path, inputs)
        if kind == "InputLayer":
            return inputs
        call = Call(f"{use}:{where}", path, kind, self.part(entry, "config", dict, where), inputs)
        self.calls.append(call)
        return (call.name,)

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
                heads = tensors(entry["config"].get("input_layers"), self.failing(("input_layers",)))
                ((name, _, _),) = heads
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
