"""Writing files as Keras does, without Keras."""

import io
import json
import zipfile

import h5py
import numpy as np


def layer(kind, name, *sources, **config):
    return {"class_name": kind, "name": name, "config": {"name": name, **config}, "sources": sources}


def shared(kind, name, *calls, **config):
    """A layer that is called several times; each call is the name of what it reads, and which call of that."""
    return layer(kind, name, calls[0], **config) | {"more": calls[1:]}


def keras_input(shape, name="img"):
    return layer("InputLayer", name, batch_input_shape=[None, *shape])


def source(given):
    return given if isinstance(given, tuple) else (given, 0)


def tensor(given):
    return {"class_name": "__keras_tensor__", "config": {"shape": [], "keras_history": [*source(given), 0]}}


def entry(part, version):
    """A layer as it stands in a functional model; several inputs are one list in Keras 3."""
    part = dict(part)
    sources = part.pop("sources")
    part["inbound_nodes"] = [node(sources, version)] if sources else []
    part["inbound_nodes"] += [node([call], version) for call in part.pop("more", ())]
    if version == 3 and "batch_input_shape" in part["config"]:
        part["config"] = {"batch_shape": part["config"]["batch_input_shape"], "name": part["name"]}
    return part


def node(sources, version):
    if version == 2:
        return [[*source(given), 0, {}] for given in sources]
    tensors = [tensor(given) for given in sources]
    return {"args": [tensors] if len(tensors) > 1 else tensors, "kwargs": {"mask": None}}


def functional(parts, version=3, name="net", head="img", output=None):
    config = {
        "name": name,
        "layers": [entry(p, version) for p in parts],
        "input_layers": [[head, 0, 0]] if version == 2 else [head, 0, 0],
        "output_layers": [[output or parts[-1]["name"], 0, 0]],
    }
    return {"class_name": "Model" if version == 2 else "Functional", "name": name, "config": config}


def sequential(parts, version=3, name="chain"):
    layers = [{k: v for k, v in entry(p, version).items() if k in ("class_name", "config")} for p in parts]
    config = layers if version == 2 else {"name": name, "layers": layers}
    return {"class_name": "Sequential", "name": name, "config": config}


def write(path, config, weights):
    """`weights`: layer to name to array; names may hold slashes."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "3.0.0"
        file.attrs["model_config"] = config if isinstance(config, (str, bytes)) else json.dumps(config)
        group = file.create_group("model_weights")
        for name, arrays in weights.items():
            for key, array in arrays.items():
                group[f"{name}/{key}"] = np.asarray(array, "f4")
    return path


def write_zip(path, config, weights, compression=zipfile.ZIP_STORED):
    """`weights`: group of a layer to its arrays, in order."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        for group, arrays in weights.items():
            for k, array in enumerate(arrays):
                file[f"{group}/vars/{k}"] = np.asarray(array, "f4")
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", config if isinstance(config, (str, bytes)) else json.dumps(config))
        archive.writestr("model.weights.h5", memory.getvalue())
    return path


def one_layer(part, shape, weights=None):
    return sequential([keras_input(shape), part]), {part["name"]: weights or {}}
