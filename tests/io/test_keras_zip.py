import io
import zipfile

import h5py
import numpy as np
import pytest
from keras_files import functional, keras_input, layer, sequential, write, write_zip

import refcrp as rc
from refcrp.errors import ModelFormatError

FC = sequential([keras_input((2,)), layer("Dense", "fc")])
DENSE = {"layers/dense": [np.arange(6).reshape(2, 3), np.ones(3)]}


def test_arrays_are_found_by_class_and_number(rng, tmp_path):
    """The same network in both kinds of files: layers of one class are counted in each model by itself."""
    inner = sequential([keras_input((4, 4, 3)), layer("Conv2D", "in1", kernel_size=2)], name="inner")
    inner["sources"] = ("c2",)
    parts = [
        keras_input((4, 4, 2)),
        layer("Conv2D", "c1", "img", kernel_size=1),
        layer("SeparableConv2D", "c2", "c1", kernel_size=3, padding="same"),
        inner,
        layer("BatchNormalization", "bn", "inner", scale=False),
        layer("GlobalAveragePooling2D", "gap", "bn"),
        layer("Normalization", "n", "gap"),
        layer("Dense", "d1", "n", activation="tanh"),
        layer("Dense", "d2", "d1", use_bias=False),
    ]
    w = {
        "c1": {"kernel": rng.normal(size=(1, 1, 2, 3)), "bias": rng.normal(size=3)},
        "c2": {
            "depthwise_kernel": rng.normal(size=(3, 3, 3, 1)),
            "pointwise_kernel": rng.normal(size=(1, 1, 3, 3)),
            "bias": rng.normal(size=3),
        },
        "inner": {"in1/kernel": rng.normal(size=(2, 2, 3, 3)), "in1/bias": rng.normal(size=3)},
        "bn": {
            "beta": rng.normal(size=3),
            "moving_mean": rng.normal(size=3),
            "moving_variance": rng.uniform(0.5, 2, 3),
        },
        "n": {"mean": rng.normal(size=3), "variance": rng.uniform(0.5, 2, 3), "count": np.array(7)},
        "d1": {"kernel": rng.normal(size=(3, 3)), "bias": rng.normal(size=3)},
        "d2": {"kernel": rng.normal(size=(3, 3))},
    }
    groups = {
        "c1": "conv2d", "c2": "separable_conv2d", "inner": "sequential/layers/conv2d",
        "bn": "batch_normalization", "n": "normalization", "d1": "dense", "d2": "dense_1",
    }  # fmt: skip
    numbered = {f"layers/{groups[name]}": list(arrays.values()) for name, arrays in w.items()}
    config = functional(parts)
    one = rc.load_model(write(tmp_path / "net.h5", config, w))
    x = rng.normal(size=(2, 2, 4, 4))
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        two = rc.load_model(write_zip(tmp_path / "any name", config, numbered, compression))
        assert two.names == one.names
        np.testing.assert_array_equal(two.forward(x), one.forward(x))


def archive(path, **members):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name.replace("_", "."), data)


def forged(path, size):
    """Say that the arrays have `size` bytes."""
    data = bytearray(write_zip(path, FC, DENSE, zipfile.ZIP_DEFLATED).read_bytes())
    place = data.rindex(b"PK\1\2")  # the last entry of the directory at the end
    data[place + 24 : place + 28] = size.to_bytes(4, "little")
    path.write_bytes(data)


def bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", "{}")
        file.writestr("model.weights.h5", bytes(10_000_000))


def long_config(path):
    write_zip(path, b'"' + b"a" * 9_000_000 + b'"', {})


def twice(path):
    write_zip(path, FC, DENSE)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("config.json", "{}")


def bzip2(path):
    write_zip(path, FC, DENSE, zipfile.ZIP_BZIP2)


BAD = {
    "another zip file": (lambda path: archive(path, data_pkl=b""), "0 files called 'config.json', expected one"),
    "no arrays": (lambda path: archive(path, config_json="{}"), "0 files called 'model.weights.h5'"),
    "no HDF5": (lambda path: write_zip(path, "{}", {}) and archive(path, config_json="{}", **{"model.weights.h5": b"abc"}), "not a readable Keras file"),
    "two configurations": (twice, "2 files called 'config.json'"),
    "a bomb": (bomb, "model.weights.h5 is said to have 10000000 bytes, which is more than .* 100 times"),
    "a forged size": (lambda path: forged(path, 2**31), "is said to have 2147483648 bytes"),
    "a small forged size": (lambda path: forged(path, 100), "not a readable Keras file: Bad CRC-32"),
    "a long configuration": (long_config, "config.json is said to have 9000002 bytes, which is more than 8388608"),
    "rare compression": (bzip2, "compressed in an unusual way"),
    "no JSON": (lambda path: write_zip(path, "{", DENSE), "not readable as JSON"),
    "not UTF-8": (lambda path: write_zip(path, b"\xff", DENSE), "not UTF-8"),
    "no kernel": (lambda path: write_zip(path, FC, {"layers/dense": []}), "group 'layers' is missing"),
    "no bias": (lambda path: write_zip(path, FC, {"layers/dense": DENSE["layers/dense"][:1]}), "array 'bias' is missing"),
    "an array too many": (lambda path: write_zip(path, FC, {"layers/dense": [*DENSE["layers/dense"], [1]]}), "layer 'fc': 1 arrays have no place"),
    "another shape": (lambda path: write_zip(path, FC, {"layers/dense": [np.ones((3, 2)), np.ones(3)]}), "array 'kernel' has shape"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files(tmp_path, name):
    make, message = BAD[name]
    path = tmp_path / "net.keras"
    make(path)
    with pytest.raises(ModelFormatError, match=message) as error:
        rc.load_model(path)
    assert str(path) in str(error.value)


def test_links_in_the_arrays_are_refused(tmp_path):
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file["layers/dense/vars/0"] = h5py.ExternalLink("other.h5", "/k")
    archive(tmp_path / "net", config_json="{}")
    path = write_zip(tmp_path / "net", FC, {})
    with zipfile.ZipFile(path) as file:
        config = file.read("config.json")
    archive(path, config_json=config, **{"model.weights.h5": memory.getvalue()})
    with pytest.raises(ModelFormatError, match="is a link"):
        rc.load_model(path)


def test_damaged_files_are_refused_or_fine(tmp_path, rng):
    path = write_zip(tmp_path / "net.keras", FC, DENSE)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    used = np.flatnonzero(data)
    refused = 0
    for k in range(200):
        damaged = data.copy()
        places = rng.choice(used, 1 if k % 2 else 8)
        damaged[places] = rng.integers(0, 256, len(places))
        path.write_bytes(damaged.tobytes()[: None if k % 10 else rng.integers(len(data))])
        try:
            rc.load_model(path)
        except ModelFormatError:
            refused += 1
    assert 50 < refused <= 200
