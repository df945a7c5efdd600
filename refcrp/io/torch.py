"""Models from PyTorch modules, by tracing them."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from refcrp.arrays import Array
from refcrp.errors import ModelFormatError, ParameterError, RefcrpError
from refcrp.io.assembly import Assembly, unsupported
from refcrp.io.own_layers import OwnLayers, converters
from refcrp.io.torch_call import Call, Value, as_numpy
from refcrp.io.torch_operators import FUNCTIONS, MODULES, Builder, settings_of
from refcrp.io.torch_trace import needed_torch, trace
from refcrp.model import INPUT_NAME, Model

__all__ = ["from_torch"]

TOLERANCE = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-9}  # relative to the largest output
OWN_MODULES = ("torch", "_operator", "builtins")  # where the functions in the table come from


def from_torch(module: Any, example_input: Any, *, layers: OwnLayers | None = None) -> Model:
    """Make a model of a PyTorch module, at inference.

    The module is copied, traced symbolically with `torch.fx` and run on the example; the model computes the
    same, which is checked. Layers have the dotted names of the modules, and functions those of the trace
    (``flatten``, ``add_1``).

    Parameters
    ----------
    module : torch.nn.Module
        With parameters in float32 or float64.
    example_input : (batch, ...) tensor or array
        Says what shape inputs have; the values matter only for the check.
    layers : mapping, optional
        Layers of your own, before refcrp's: from a class of modules, a function, or the name of a method, to
        a function from a `Call` to a layer, or several (docs/write-a-layer.md). Such modules and functions
        are not looked into.

    Raises
    ------
    ModelFormatError
        If the module cannot be traced, holds an operator that has no layer here (the error names it and
        those that have), or comes out different.
    ParameterError
        If it is no module, or does not take the example.
    MissingDependencyError
        If PyTorch is not installed.

    Examples
    --------
    With PyTorch installed::

        import refcrp as rc
        import torch

        module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU())
        model = rc.from_torch(module, torch.zeros(1, 3))
        model.names  # ('0', '1'), as in the module
    """
    torch = needed_torch()
    if not isinstance(module, torch.nn.Module):
        raise ParameterError(f"from_torch: expected a torch.nn.Module, got {module!r:.200}")
    own = converters(layers)
    example = as_example(torch, module, example_input)
    run = start(torch, module, len(example), own)
    with torch.no_grad():
        expected = output_of(run.module, example)
        model = run.model(torch.cat([example, example]))
    check_equal(model, example.detach().cpu().numpy(), expected.detach().cpu().numpy())
    return model


def start(torch: Any, module: Any, batch: int, own: Mapping[Any, Builder]) -> Run:
    """Trace a copy of a module, to be run on two copies of each of `batch` samples.

    So sizes of the batch in the trace differ from those of the example itself.
    """
    module, traced = trace(torch, copy.deepcopy(module).eval(), own)
    return Run(torch, module, traced, 2 * batch, own)


def as_example(torch: Any, module: Any, example: Any) -> Any:
    """Give the example as a tensor of the module's own type, on its device."""
    example = torch.as_tensor(example)
    if example.ndim < 2 or 0 in example.shape:
        raise ParameterError(
            f"from_torch: example_input has shape {tuple(example.shape)}, expected a batch, "
            "such as (1, 3, 224, 224)"
        )
    parameters = (p for p in module.parameters() if p.is_floating_point())
    like = next(parameters, example if example.is_floating_point() else torch.zeros(()))
    if like.dtype not in (torch.float32, torch.float64):
        raise ModelFormatError(f"from_torch: the module is {like.dtype}; module.float() makes it float32")
    return example.to(like)


def output_of(module: Any, example: Any) -> Any:
    """Run the module on the example."""
    try:
        return module(example.clone())  # it may change its input in place
    except Exception as error:
        shape = tuple(example.shape)
        raise ParameterError(
            f"from_torch: the module does not take example_input, {shape}: {error}"
        ) from error


def check_equal(model: Model, x: Array, expected: Array) -> None:
    """Raise unless the model computes what the module computed."""
    y = model.forward(x)
    size = max(float(np.abs(expected).max(initial=0)), 1e-30)
    if y.shape != expected.shape or np.abs(y - expected).max(initial=0) > TOLERANCE[expected.dtype] * size:
        raise ModelFormatError(
            "from_torch: the model does not compute what the module does; it may change a value in place "
            "that is read again later, or depend on the batch"
        )


@dataclass
class Run:
    """One run of a traced module on an example, in which each operator becomes layers.

    Parameters
    ----------
    torch
        The package.
    module : torch.nn.Module
    traced : torch.fx.GraphModule
    batch : int
        How many samples the example has.
    own : mapping
        What makes layers of the caller's own operators.
    """

    torch: Any
    module: Any
    traced: Any
    batch: int
    own: Mapping[Any, Builder] = field(default_factory=dict)
    values: dict[Any, Any] = field(default_factory=dict)  # of each node
    names: dict[Any, str] = field(default_factory=dict)  # of the layer that gives a node's value, if one does
    depends: set[Any] = field(default_factory=set)  # nodes whose values depend on the input

    def model(self, example: Any) -> Model:
        """Run all nodes, and give what they became."""
        assembly = Assembly("from_torch", tuple(example.shape[1:]))
        for node in self.operators(example):
            self.names[node] = self.add(assembly, node)
        return assembly.model(self.output())

    def operators(self, example: Any) -> Iterator[Any]:
        """Run all nodes; gives those that need a layer, whose names are to be set before going on."""
        for node in self.traced.graph.nodes:
            if node.op == "placeholder":
                self.placeholder(node, example)
            elif node.op != "output":
                self.values[node] = self.compute(node)
                if not self.depends.isdisjoint(node.all_input_nodes):
                    self.depends.add(node)
                    if holds_tensors(self.values[node], self.torch.Tensor):
                        yield node

    def placeholder(self, node: Any, example: Any) -> None:
        """Take in the input, the only one."""
        if self.names:
            self.values[node] = node.args[0]  # an optional argument that is not given
        else:
            self.values[node], self.names[node] = example, INPUT_NAME
            self.depends.add(node)

    def output(self) -> str:
        """Give the name of the layer whose value is the output."""
        node = next(node for node in self.traced.graph.nodes if node.op == "output").args[0]
        if node not in self.names:
            kind = type(node).__name__ if isinstance(node, (tuple, list, dict)) else "constant"
            raise ModelFormatError(
                f"from_torch: the module returns a {kind}, expected what one operator computes"
            )
        return self.names[node]

    def compute(self, node: Any) -> Any:
        """Compute a node as PyTorch does."""
        args, kwargs = (
            self.torch.fx.node.map_arg(a, self.values.__getitem__) for a in (node.args, node.kwargs)
        )
        if node.op == "get_attr":
            value = self.traced
            for part in node.target.split("."):
                value = getattr(value, part)
            return value
        if node.op == "call_module":
            return self.module.get_submodule(node.target)(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], node.target)(*args[1:], **kwargs)
        return node.target(*args, **kwargs)

    def add(self, assembly: Assembly, node: Any) -> str:
        """Turn one operator into layers."""
        operator, builder, settings = self.look_up(node)
        where = repr(node.target if node.op == "call_module" else node.name)
        if builder is None:
            known = [*MODULES, *FUNCTIONS, *(getattr(key, "__name__", str(key)) for key in self.own)]
            raise unsupported(assembly.source, operator, where, known)
        inputs = [self.names[source] for source in self.sources(node)]
        value = self.values[node]
        if not isinstance(value, self.torch.Tensor):
            raise ModelFormatError(
                f"from_torch: operator {operator!r} at {where} gives several values, expected one"
            )
        if value.ndim < 2 or len(value) != self.batch:
            raise ModelFormatError(
                f"from_torch: operator {operator!r} at {where} gives shape {tuple(value.shape)} for "
                f"{self.batch} samples; the first axis must stay the batch"
            )
        dtype = as_numpy(value[:0], f"from_torch: {where}").dtype
        shapes = tuple(assembly.shapes[name] for name in inputs)
        call = Call(operator, where, settings, shapes, tuple(value.shape[1:]), dtype)
        try:
            part = builder(call)
        except RefcrpError as error:
            raise ModelFormatError(f"from_torch: operator {operator!r} at {where}: {error}") from error
        name = assembly.add(part, inputs, node.target if node.op == "call_module" else node.name, where)
        if assembly.shapes[name] != call.output:
            raise ModelFormatError(
                f"from_torch: operator {operator!r} at {where} gives {call.output}, "
                f"its layer {assembly.shapes[name]}"
            )
        return name

    def look_up(self, node: Any) -> tuple[str, Builder | None, Any]:
        """Find an operator in the table: what it is called, what makes layers of it, and its settings."""
        if node.op == "call_module":
            module = self.module.get_submodule(node.target)
            kind: Any = type(module)
            if kind in self.own:
                return kind.__name__, self.own[kind], module
            # A module of a derived class is its parent, if it computes the same way.
            names = (c.__name__ for c in kind.__mro__ if c.__name__ in MODULES and kind.forward is c.forward)
            name = next(names, kind.__name__)
            return name, MODULES.get(name), module
        name = (
            node.target
            if isinstance(node.target, str)
            else getattr(node.target, "__name__", repr(node.target))
        )
        if node.target in self.own:
            return name, self.own[node.target], self.own_settings(node)
        origin = "torch" if isinstance(node.target, str) else str(getattr(node.target, "__module__", "torch"))
        plain = name.rstrip("_")
        if plain not in FUNCTIONS or origin.partition(".")[0] not in (*OWN_MODULES, "None"):
            return name, None, None
        parameters, builder = FUNCTIONS[plain]
        bound = settings_of(parameters, node.args, node.kwargs)
        return name, builder, SimpleNamespace(**{key: self.argument(value) for key, value in bound.items()})

    def own_settings(self, node: Any) -> Any:
        """Give the arguments of a function of the caller's table: `args` in order, and those with names."""
        named = dict(node.kwargs)
        with contextlib.suppress(TypeError, ValueError):  # those of C have no signature
            named = inspect.signature(node.target).bind(*node.args, **node.kwargs).arguments
        settings = {key: self.argument(value) for key, value in named.items()}
        return SimpleNamespace(**settings, args=tuple(self.argument(value) for value in node.args))

    def argument(self, value: Any) -> Any:
        """Give the value of an argument, if it does not depend on the input."""
        if isinstance(value, self.torch.fx.Node) and value in self.names:
            return Value(tuple(self.values[value].shape[1:]))
        return self.torch.fx.node.map_arg(value, self.values.__getitem__)

    def sources(self, node: Any) -> Iterator[Any]:
        """Give the nodes with layers that a node reads, in the order of its arguments, repeated ones too."""
        found: list[Any] = []
        self.torch.fx.node.map_arg((node.args, node.kwargs), found.append)
        return (source for source in found if source in self.names)


def holds_tensors(value: Any, kind: type) -> bool:
    """Tell whether a value is a tensor, or several."""
    return isinstance(value, kind) or (
        isinstance(value, (tuple, list)) and any(isinstance(v, kind) for v in value)
    )
