import h5py
import numpy as np
import pytest
from keras_files import functional, keras_input, layer, sequential, shared, write

import refcrp as rc
from refcrp.errors import ModelFormatError
from refcrp.io.keras_text import text_problem

DENSE = {"fc": {"kernel": np.ones((2, 3)), "bias": np.ones(3)}}
FC = layer("Dense", "fc")


def deep_json(depth):
    return '{"class_name": "Sequential", "config": ' + "[" * depth + "]" * depth + "}"


def chain(*parts, shape=(4, 4, 2)):
    return sequential([keras_input(shape), *parts])


BAD = {
    "a class": (chain(layer("Lambda", "l", function="import os")), {}, "layer 'l' .Lambda.: this class .* supported: Activation, .*Conv2D, "),
    "a model": ({"class_name": "MyNet", "config": {}}, {}, "class 'MyNet' is not supported"),
    "an activation": (chain(layer("Activation", "l", activation="mish")), {}, "activation 'mish' is not supported; supported: linear"),
    "a function": (chain(layer("Activation", "l", activation={"class_name": "Lambda"})), {}, "activation .* is not supported"),
    "order of axes": (chain(layer("MaxPooling2D", "k", data_format="channels_last"), layer("MaxPooling2D", "l", data_format="channels_first")), {}, "layer 'l' .* data_format is 'channels_first', expected 'channels_last'"),
    "a call that is not there": (functional([keras_input((2,)), shared("ReLU", "r", "img", ("r", 2))]), {}, "layers r read what no layer gives"),
    "a sequence for an image": (chain(layer("Conv1D", "l", kernel_size=[3])), {}, "input is .2, 4, 4., expected a sequence"),
    "an image for a sequence": (chain(layer("MaxPooling1D", "k", pool_size=[1]), layer("MaxPooling2D", "l"), shape=(4, 2)), {}, "layer 'l' .*input is .2, 1, 4., expected an image"),
    "a product": (functional([keras_input((2,)), layer("Multiply", "l", "img", "img")]), {}, "Multiply.: the relevance of a product of branches is not defined here"),
    "a maximum": (functional([keras_input((2,)), layer("Maximum", "l", "img", "img")]), {}, "no layer that takes the largest or smallest"),
    "softmax of columns": (chain(layer("MaxPooling2D", "k", data_format="channels_first"), layer("Activation", "l", activation="softmax")), {}, "softmax along the last axis"),
    "groups": (chain(layer("GroupNormalization", "l", groups=3)), {"l": {"gamma": np.ones(2), "beta": np.ones(2)}}, "2 channels do not fall into 3 groups"),
    "axes": (chain(layer("Permute", "l", dims=[1, 2, 2])), {}, "dims is .1, 2, 2., expected 1 to 3 in some order"),
    "circle": (functional([keras_input((2,)), layer("Add", "a", "img", "b"), layer("ReLU", "b", "a")]), {}, "layers a, b read what no layer gives"),
    "flattened output": (chain(layer("Flatten", "f")), {}, "ends with a flattened image"),
    "dense on an image": (chain(FC), DENSE, "input is .2, 4, 4., expected a vector"),
    "cropping": (chain(layer("Cropping2D", "l")), {}, "no layer that crops images"),
    "axis": (chain(layer("BatchNormalization", "l", axis=1)), {}, "axis is 1, expected 3, the channels"),
    "no axis": (chain(layer("Concatenate", "l", axis=4)), {}, "axis is 4"),
    "no kernel": (chain(FC, shape=(2,)), {"fc": {"bias": np.ones(3)}}, "array 'kernel' is missing"),
    "no group": (chain(FC, shape=(2,)), {}, "group 'fc' is missing"),
    "kernel of another shape": (chain(FC, shape=(4,)), DENSE, r"array 'kernel' has shape .2, 3., expected .4, \?"),
    "an array too many": (chain(FC, shape=(2,)), {"fc": DENSE["fc"] | {"extra": np.ones(2)}}, "arrays extra have no place"),
    "two kernels": (chain(FC, shape=(2,)), {"fc": DENSE["fc"] | {"kernel_1": np.ones(2)}}, "several arrays could be 'kernel'"),
    "NaN": (chain(FC, shape=(2,)), {"fc": DENSE["fc"] | {"bias": [1, np.nan, 1]}}, "contains NaN"),
    "a forged input": (chain(layer("Rescaling", "l"), shape=(2**40,)), {}, "input shape"),
    "a forged vector": (chain(layer("Flatten", "f"), layer("Rescaling", "l"), shape=(2**20, 2**20, 2**20)), {}, "at most 4194304 channels"),
    "a forged kernel": (chain(layer("Conv2D", "l", kernel_size=[2**40, 1])), {}, "kernel_size is"),
    "text for a number": (chain(layer("LeakyReLU", "l", alpha="1")), {}, "alpha is '1', expected a number"),
    "unknown height": (chain(layer("Conv2D", "l", kernel_size=3, strides=2, padding="same"), shape=(None, 4, 2)), {}, "needs an input of known height and width"),
    "rows and columns": (chain(layer("BatchNormalization", "l"), shape=(4, 4)), {}, "axis is -1"),
    "broken JSON": ('{"class_name":', {}, "model_config: not readable as JSON"),
    "NaN in JSON": ('{"class_name": NaN}', {}, "NaN is no JSON"),
    "a list": ("[]", {}, "expected a JSON object, got a list"),
    "deep JSON": (deep_json(300), {}, "nested more than 200 levels deep"),
    "very deep JSON": (deep_json(100_000), {}, "model_config: not readable as JSON"),
    "long JSON": ('{"class_name": "' + "a" * 9_000_000 + '"}', {}, "text of 9000018 bytes, more than 8388608"),
    "not UTF-8": (b"\xff\xfe", {}, "model_config' is not UTF-8 text"),
    "no layers": ({"class_name": "Sequential", "config": {"layers": []}}, {}, "expected a list of layers"),
    "only an input": (chain(), {}, "no layers that compute"),
    "a missing input": (sequential([FC]), DENSE, "input shape None; expected"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files(tmp_path, name):
    config, weights, message = BAD[name]
    path = write(tmp_path / "net.h5", config, weights)
    with pytest.raises(ModelFormatError, match=message) as error:
        rc.load_model(path)
    assert str(path) in str(error.value)


def test_two_inputs(tmp_path):
    config = functional([keras_input((2,)), keras_input((2,), "other"), layer("Add", "a", "img", "other")])
    config["config"]["input_layers"] = [["img", 0, 0], ["other", 0, 0]]
    with pytest.raises(ModelFormatError, match="the model has 2 inputs, expected 1"):
        rc.load_model(write(tmp_path / "net.h5", config, {}))


def test_models_shared_in_models_are_not_followed_for_ever(tmp_path):
    part = layer("ReLU", "r", "img")
    for k in range(9):
        inner = functional([keras_input((2,)), part], name=f"m{k}")
        inner["config"]["output_layers"] = [[part["name"], 0, 0]]
        calls = ["img", *((f"m{k}", n) for n in range(99))]
        part = inner | {"sources": calls[:1], "more": calls[1:]}
    with pytest.raises(ModelFormatError, match="more than 5000 layers"):
        rc.load_model(write(tmp_path / "net.h5", functional([keras_input((2,)), part]), {}))


def test_two_outputs(tmp_path):
    config = functional([keras_input((2,)), layer("ReLU", "r", "img")])
    config["config"]["output_layers"] = [["r", 0, 0], ["img", 0, 0]]
    with pytest.raises(ModelFormatError, match="has 2 outputs, expected one"):
        rc.load_model(write(tmp_path / "net.h5", config, {}))


def replaced(member):
    def change(file):
        del file["model_weights/fc/kernel"]
        member(file["model_weights/fc"])

    return change


HOSTILE = {
    "external link": (replaced(lambda g: g.__setitem__("kernel", h5py.ExternalLink("o.h5", "/k"))), "is a link"),
    "soft link": (replaced(lambda g: g.__setitem__("kernel", h5py.SoftLink("/model_weights"))), "is a link"),
    "external storage": (
        replaced(lambda g: g.create_dataset("kernel", (2, 3), "f4", external=[("/etc/passwd", 0, 24)])),
        "lies in another file",
    ),
    "huge": (
        replaced(lambda g: g.create_dataset("kernel", (2**20, 2**20), "f4", chunks=(1, 64))),
        "more than the file holds",
    ),
    "integers": (replaced(lambda g: g.create_dataset("kernel", (2, 3), "i4")), "element type int32"),
    "references": (replaced(lambda g: g.create_dataset("kernel", (2, 3), h5py.ref_dtype)), "element type object"),
    "groups in a circle": (lambda file: file["model_weights/fc"].__setitem__("loop", file["model_weights"]), "nested more than"),
    "weights only": (lambda file: file.attrs.__delitem__("model_config"), "the file holds weights only"),
    "a number": (lambda file: file.attrs.__setitem__("model_config", 3), "is not text"),
    "texts": (lambda file: file.attrs.__setitem__("model_config", ["a", "b"]), "is not text"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(tmp_path, name):
    change, message = HOSTILE[name]
    path = write(tmp_path / "net.h5", chain(FC, shape=(2,)), DENSE)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(ModelFormatError, match=message):
        rc.load_model(path)


def test_a_damaged_heap_is_found_before_the_library_loops_in_it(tmp_path):
    path = write(tmp_path / "net.h5", chain(FC, shape=(2,)), DENSE)
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    place = heap + 16
    while data[place : place + 2] != b"\0\0":  # the free space at the end
        place += 16 + -(-int.from_bytes(data[place + 8 : place + 16], "little") // 8) * 8
    data[place + 8 : place + 16] = bytes(8)
    path.write_bytes(data)
    with pytest.raises(ModelFormatError, match=f"damaged heap of texts at byte {heap}"):
        rc.load_model(path)


@pytest.mark.parametrize("libver", ["earliest", "v110"])
def test_a_text_said_to_be_long_is_refused_before_memory_is_taken(tmp_path, libver):
    """The two ways in which HDF5 writes attributes; in one of them damage breaks a checksum, too."""
    path = tmp_path / "net.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file.attrs["model_config"] = "{}"
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    place = data.index(heap.to_bytes(8, "little") + (1).to_bytes(4, "little"))
    data[place - 4 : place] = (2**32 - 8).to_bytes(4, "little")
    assert text_problem(path, "model_config", 100) is None
    assert text_problem(path, "model_config", 1) == "text of 2 bytes, more than 1"
    path.write_bytes(data)
    assert text_problem(path, "model_config", 100) == "text of 4294967288 bytes, more than 100"
    with pytest.raises(ModelFormatError):
        rc.load_model(path)


def test_damaged_files_are_refused_or_fine(tmp_path, rng):
    path = write(tmp_path / "net.h5", chain(FC, shape=(2,)), DENSE)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    used = np.flatnonzero(data)
    refused = 0
    for k in range(200):
        damaged = data.copy()
        places = rng.choice(used, 1 if k % 2 else 8)
        damaged[places] = (
            rng.integers(32, 127, len(places)) if k % 4 < 2 else rng.integers(0, 256, len(places))
        )
        path.write_bytes(damaged.tobytes()[: None if k % 10 else rng.integers(len(data))])
        try:
            rc.load_model(path)
        except ModelFormatError:
            refused += 1
    assert 50 < refused < 200
