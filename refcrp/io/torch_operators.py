"""The table: which function makes layers of which operator of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from refcrp import layers as L
from refcrp.io.assembly import Part
from refcrp.io.torch_arithmetic import (
    add,
    concatenate,
    divide,
    dropout,
    multiply,
    nothing,
    permute,
    reshape,
    softmax,
    subtract,
    transpose,
    zero_pad,
)
from refcrp.io.torch_call import Call
from refcrp.io.torch_pools import (
    adaptive_avg_pool,
    adaptive_max_pool,
    amax,
    avg_pool,
    avg_pool1d,
    max_pool,
    max_pool1d,
    mean,
    upsample,
)
from refcrp.io.torch_weights import (
    batch_norm,
    conv1d,
    conv2d,
    conv_transpose2d,
    dense,
    group_norm,
    instance_norm,
    layer_norm,
)

__all__ = ["FUNCTIONS", "MODULES", "Builder", "settings_of"]

Builder = Callable[[Call], Part]

ACTIVATIONS: Mapping[str, Builder] = {
    "relu": lambda call: L.ReLU(),
    "relu6": lambda call: L.ReLU6(),
    "hardtanh": lambda call: L.HardTanh(call.get("min_val", -1.0), call.get("max_val", 1.0)),
    "prelu": lambda call: L.PReLU(call.needed("weight")),
    "leaky_relu": lambda call: L.LeakyReLU(call.get("negative_slope", 0.01)),
    "elu": lambda call: L.ELU(call.get("alpha", 1.0)),
    "gelu": lambda call: L.GELU(call.get("approximate", "none") == "tanh"),
    "silu": lambda call: L.SiLU(),
    "tanh": lambda call: L.Tanh(),
    "sigmoid": lambda call: L.Sigmoid(),
    "softmax": softmax,
}

# Modules of torch.nn, whose settings are their attributes.
MODULES: Mapping[str, Builder] = {
    "AdaptiveAvgPool2d": adaptive_avg_pool,
    "AdaptiveMaxPool2d": adaptive_max_pool,
    "AvgPool1d": avg_pool1d,
    "AvgPool2d": avg_pool,
    "BatchNorm1d": batch_norm,
    "BatchNorm2d": batch_norm,
    "Conv1d": conv1d,
    "Conv2d": conv2d,
    "ConvTranspose2d": conv_transpose2d,
    "Dropout": dropout,
    "Dropout1d": dropout,
    "Dropout2d": dropout,
    "ELU": ACTIVATIONS["elu"],
    "Flatten": reshape,
    "GELU": ACTIVATIONS["gelu"],
    "GroupNorm": group_norm,
    "Hardtanh": ACTIVATIONS["hardtanh"],
    "Identity": lambda call: L.Identity(),
    "InstanceNorm2d": instance_norm,
    "LayerNorm": layer_norm,
    "LeakyReLU": ACTIVATIONS["leaky_relu"],
    "Linear": dense,
    "MaxPool1d": max_pool1d,
    "MaxPool2d": max_pool,
    "PReLU": ACTIVATIONS["prelu"],
    "ReLU": ACTIVATIONS["relu"],
    "ReLU6": ACTIVATIONS["relu6"],
    "SiLU": ACTIVATIONS["silu"],
    "Sigmoid": ACTIVATIONS["sigmoid"],
    "Softmax": softmax,
    "Tanh": ACTIVATIONS["tanh"],
    "Unflatten": reshape,
    "Upsample": upsample,
    "UpsamplingBilinear2d": upsample,
    "UpsamplingNearest2d": upsample,
    "ZeroPad2d": zero_pad,
}

# Functions of torch and torch.nn.functional, operators and methods, by the names of their arguments; one with
# a star takes all that are left.
BINARY = "input other"
POOL = "input kernel_size stride padding"
CONV = "input weight bias stride padding"
FUNCTIONS: Mapping[str, tuple[str, Builder]] = {
    **{name: ("input", ACTIVATIONS[name]) for name in ("relu", "relu6", "silu", "tanh", "sigmoid")},
    "hardtanh": ("input min_val max_val", ACTIVATIONS["hardtanh"]),
    "leaky_relu": ("input negative_slope", ACTIVATIONS["leaky_relu"]),
    "prelu": ("input weight", ACTIVATIONS["prelu"]),
    "elu": ("input alpha", ACTIVATIONS["elu"]),
    "gelu": ("input approximate", ACTIVATIONS["gelu"]),
    "softmax": ("input dim", softmax),
    "linear": ("input weight bias", dense),
    "conv1d": (f"{CONV} dilation groups", conv1d),
    "conv2d": (f"{CONV} dilation groups", conv2d),
    "conv_transpose2d": (f"{CONV} output_padding groups dilation", conv_transpose2d),
    "batch_norm": ("input running_mean running_var weight bias training momentum eps", batch_norm),
    "layer_norm": ("input normalized_shape weight bias eps", layer_norm),
    "group_norm": ("input num_groups weight bias eps", group_norm),
    "max_pool1d": (f"{POOL} dilation ceil_mode return_indices", max_pool1d),
    "max_pool2d": (f"{POOL} dilation ceil_mode return_indices", max_pool),
    "avg_pool1d": (f"{POOL} ceil_mode count_include_pad", avg_pool1d),
    "avg_pool2d": (f"{POOL} ceil_mode count_include_pad divisor_override", avg_pool),
    "adaptive_avg_pool2d": ("input output_size", adaptive_avg_pool),
    "adaptive_max_pool2d": ("input output_size return_indices", adaptive_max_pool),
    "mean": ("input dim keepdim", mean),
    "amax": ("input dim keepdim", amax),
    "interpolate": ("input size scale_factor mode align_corners recompute_scale_factor", upsample),
    **dict.fromkeys(("flatten", "view", "reshape", "squeeze", "unsqueeze"), ("input", reshape)),
    "permute": ("input *dims", permute),
    "transpose": ("input dim0 dim1", transpose),
    "pad": ("input pad mode value", zero_pad),
    **dict.fromkeys(("contiguous", "clone", "detach"), ("input", nothing)),
    "dropout": ("input p training", dropout),
    **dict.fromkeys(("cat", "concat", "concatenate"), ("tensors dim", concatenate)),
    **dict.fromkeys(("add", "iadd"), (BINARY, add)),
    **dict.fromkeys(("sub", "isub", "subtract"), (BINARY, subtract)),
    **dict.fromkeys(("mul", "imul", "multiply"), (BINARY, multiply)),
    **dict.fromkeys(("div", "truediv", "itruediv", "divide"), (BINARY, divide)),
}


def settings_of(arguments: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Give the arguments of a call by their names."""
    *names, last = arguments.split()
    if last.startswith("*"):
        bound = dict(zip(names, args, strict=False)) | {last[1:]: tuple(args[len(names) :])}
        return {key: value for key, value in bound.items() if value != ()} | dict(kwargs)
    return dict(zip((*names, last), args, strict=False)) | dict(kwargs)
