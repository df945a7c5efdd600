import contextlib

import h5py
import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ModelFormatError
from refcrp.io import hdf5


def more_layers(rng):
    """Those that can stand anywhere between images of four channels; the last gives an even image."""
    return [
        L.GroupNorm(2, np.ones(4), epsilon=1e-3),
        L.InstanceNorm(),
        L.InstanceNorm(np.ones(4), np.zeros(4)),
        L.ZeroPad((0, 1, 2, 3)),
        L.AdaptiveAvgPool((3, 4)),
        L.ConvTranspose2d(
            rng.normal(size=(4, 2, 3, 3)),
            rng.normal(size=4),
            stride=(2, 3),
            padding=1,
            dilation=(1, 2),
            groups=2,
            output_padding=(1, 2),
            activation="relu6",
        ),
        L.UpsampleNearest(1.5),
        L.UpsampleNearest((1, 2)),
        L.UpsampleBilinear(size=(7, 5), align_corners=True),
        L.AdaptiveMaxPool(4),
        L.Permute((0, 1, 3, 2)),
        L.Reshape((4, -1, 2)),
        L.ReLU6(),
        L.HardTanh(-0.5, 2),
        L.PReLU(rng.normal(size=4)),
        L.Conv2d(rng.normal(size=(4, 4, 2, 1)), padding=(1, 0, 0, 0)),
        L.Identity(),
    ]


@pytest.fixture
def every_layer(rng):
    """A model with every layer class and every kind of setting; its shapes need not make sense to a reader."""
    return rc.Sequential(
        [
            L.Conv2d(
                rng.normal(size=(4, 2, 3, 3)),
                rng.normal(size=4),
                stride=(1, 2),
                padding=(1, 2),
                activation="relu",
            ),
            L.BatchNorm(np.zeros(4), np.ones(4), np.ones(4), epsilon=1e-3),
            L.Conv2d(
                rng.normal(size=(4, 2, 2, 2)),
                groups=2,
                dilation=2,
                activation=L.LeakyReLU(0.2),
                name="grouped",
            ),
            L.Scale(np.ones(4)),
            L.MaxPool(2, stride=1, padding=1),
            L.AvgPool((2, 1), count_include_pad=False),
            L.Dropout(0.25),
            *(
                L.ReLU(),
                L.LeakyReLU(0.3),
                L.ELU(0.5),
                L.GELU(approximate=True),
                L.SiLU(),
                L.Tanh(),
                L.Sigmoid(),
            ),
            L.LayerNorm(np.ones(6), np.zeros(6), epsilon=1e-6),
            *more_layers(rng),
            L.GlobalMaxPool(),
            L.GlobalAvgPool(),
            L.Multiply(0.5),
            L.Flatten(),
            L.Dense(rng.normal(size=(3, 4)), activation=L.ELU(2.0)),
            L.Softmax(),
        ],
        input_shape=(2, 12, 12),
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_trip(every_layer, tmp_path, rng, dtype):
    model = every_layer.astype(dtype)
    rc.save_model(model, tmp_path / "net.h5")
    again = rc.load_model(str(tmp_path / "net.h5"))
    assert repr(again) == repr(model)
    assert again.input_shape == model.input_shape
    for before, after in zip(model, again, strict=True):
        assert repr(before.settings()) == repr(after.settings())
        assert before.arrays().keys() == after.arrays().keys()
        for name, array in before.arrays().items():
            np.testing.assert_array_equal(array, after.arrays()[name])
            assert array.dtype == after.arrays()[name].dtype == dtype
    x = rng.normal(size=(2, 2, 12, 12)).astype(dtype)
    np.testing.assert_array_equal(model.forward(x), again.forward(x))


MERGING = {"Add", "Concat"}  # of graphs: tests/test_graphs.py


def test_every_layer_class_is_covered(every_layer):
    assert {type(layer).__name__ for layer in every_layer} == set(hdf5.LAYER_CLASSES) - MERGING


@pytest.mark.parametrize("sources", [[-1, 0], [0, 1], [], [5], "x", 0.5])
def test_sources_that_are_none(sources, tmp_path):
    rc.save_model(rc.Graph([("act", L.ReLU(), ["x"]), ("sum", L.Add(), ["act", "x"])]), tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5", "r+") as file:
        file["layers/0000"].attrs["sources"] = sources
    with pytest.raises(ModelFormatError):
        rc.load_model(tmp_path / "net.h5")


def test_a_chain_has_no_sources(small_model, tmp_path):
    rc.save_model(small_model, tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5", "r+") as file:
        assert file.attrs["version"] == 1
        file["layers/0001"].attrs["sources"] = [0]
    with pytest.raises(ModelFormatError, match="'sources' need format version 2"):
        rc.load_model(tmp_path / "net.h5")


def test_a_file_written_by_the_schema_alone(tmp_path):
    """What docs/hdf5-schema.md says, with nothing of ours: as another language would write it."""
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file.attrs["format"] = np.bytes_("refcrp-model")
        file.attrs["version"] = np.int32(1)
        layers = file.create_group("layers")
        conv = layers.create_group("0000")
        conv.attrs["class"] = np.bytes_("Conv2d")
        conv.attrs["name"] = np.bytes_("first")
        conv.attrs["stride"] = np.array([2, 2], dtype=">i8")
        conv.attrs["padding"] = np.uint8(1)
        conv.attrs["activation"] = np.bytes_("leaky_relu")
        conv.attrs["activation.negative_slope"] = 0.5
        conv.create_dataset("weight", data=np.ones((1, 1, 3, 3), ">f4"), chunks=True, compression="gzip")
        layers.create_group("0001").attrs["class"] = np.bytes_("Flatten")
    model = rc.load_model(tmp_path / "foreign.h5")
    assert model.names == ("first", "flatten1")
    assert model[0].activation.negative_slope == 0.5
    assert model[0].stride == (2, 2)
    np.testing.assert_array_equal(model.forward(-np.ones((1, 1, 3, 3), "f4")), [[-2, -2, -2, -2]])


# Bad files --------------------------------------------------------------------------------------------------


@pytest.fixture
def path(small_model, tmp_path):
    rc.save_model(small_model, tmp_path / "net.h5")
    return tmp_path / "net.h5"


def replace(group, key, **dataset):
    del group[key]
    group.create_dataset(key, **dataset)


def external_link(file):
    del file["layers/0000/weight"]
    file["layers/0000/weight"] = h5py.ExternalLink("other.h5", "/weight")


def soft_link(file):
    del file["layers/0000/bias"]
    file["layers/0000/bias"] = h5py.SoftLink("/nowhere")


def external_storage(file):
    replace(file["layers/0000"], "weight", shape=(4, 2, 3, 3), dtype="f8", external=[("/etc/passwd", 0, 576)])


def virtual(file):
    layout = h5py.VirtualLayout(shape=(4,), dtype="f8")
    layout[:] = h5py.VirtualSource("other.h5", "bias", shape=(4,))
    del file["layers/0000/bias"]
    file["layers/0000"].create_virtual_dataset("bias", layout)


def huge(file):
    replace(file["layers/0000"], "weight", shape=(2**20, 2**20, 3, 3), dtype="f4", chunks=(1, 1, 3, 3))


def rename(old, new):
    return lambda file: file.move(old, new)


def attribute(where, key, value):
    value = np.bytes_(value) if isinstance(value, str) else value
    return lambda file: file[where].attrs.__setitem__(key, value)


def dataset(key, data):
    return lambda file: replace(file["layers/0000"], key, data=data)


DAMAGES = [
    ("unknown format", attribute("/", "format", "keras"), "attribute 'format' is 'keras', expected 'refcrp-model'"),
    ("no format", lambda f: f.attrs.__delitem__("format"), "/: attribute 'format' is missing"),
    ("other version", attribute("/", "version", 4), "/: format version 4, this refcrp reads up to 3"),
    ("version as text", attribute("/", "version", "1"), "attribute 'version' is '1', expected int"),
    ("no layers", lambda f: f.__delitem__("layers"), "/: group 'layers' is missing"),
    ("no layer at all", lambda f: f["layers"].clear(), "/layers: expected groups 0000, 0001, ..."),
    ("a gap", lambda f: f.__delitem__("layers/0002"), "/layers: expected groups 0000, 0001, ... without gaps"),
    ("no class", lambda f: f["layers/0001"].attrs.__delitem__("class"), "/layers/0001: attribute 'class' is missing"),
    ("unknown class", attribute("layers/0001", "class", "MaxPol"), "unknown layer class 'MaxPol'; did you mean 'MaxPool'"),
    ("abstract class", attribute("layers/0001", "class", "ConvLayer"), "unknown layer class 'ConvLayer'"),
    ("missing weight", lambda f: f.__delitem__("layers/0000/weight"), "/layers/0000: dataset 'weight' is missing"),
    ("missing setting", lambda f: f["layers/0001"].attrs.__delitem__("kernel_size"), "'kernel_size' is missing"),
    ("unknown setting", attribute("layers/0000", "strides", 2), "unexpected attribute 'strides'; did you mean 'stride'"),
    ("bad setting", attribute("layers/0000", "stride", 0), "stride: expected an integer >= 1"),
    ("text for a number", attribute("layers/0000", "stride", "2"), "stride: expected an integer >= 1"),
    ("variable-length text", lambda f: f.attrs.__setitem__("format", "refcrp-model"), "or text of a fixed length"),
    ("a long attribute", attribute("layers/0000", "stride", np.ones(1000)), "attribute 'stride': expected a number"),
    ("list of numbers", attribute("layers/0000", "stride", [1.5, 2]), "attribute 'stride' is"),
    ("object attribute", attribute("layers/0000", "name", np.zeros((2, 2))), "attribute 'name' is"),
    ("unknown activation", attribute("layers/0000", "activation", "rely"), "no activation function 'rely'; did you mean"),
    ("bad activation", attribute("layers/0000", "activation.slope", 1.0), "activation 'relu'"),
    (
        "bad number of an activation",
        lambda f: f["layers/0000"].attrs.update({"activation": np.bytes_("elu"), "activation.alpha": np.nan}),
        "/layers/0000: activation 'elu': ELU: alpha must be a number",
    ),
    ("extra dataset", lambda f: f["layers/0001"].create_dataset("w", data=[1.0]), "unexpected 'w'; MaxPool has no data"),
    ("wrong type", dataset("weight", np.ones((4, 2, 3, 3), int)), "/layers/0000/weight: element type int64"),
    ("text for weights", dataset("weight", np.bytes_("abc")), "/layers/0000/weight: element type"),
    ("a second group", lambda f: f.create_group("more"), "/: expected nothing but the group 'layers', found more"),
    ("attributes of the group", attribute("layers", "order", 1), "found layers: order"),
    ("wrong rank", dataset("weight", np.ones((4, 2, 3))), "weight (out, in / groups, kh, kw): got shape (4, 2, 3)"),
    ("wrong shape", dataset("bias", np.ones(5)), "bias (out,): got shape (5,), expected (4,)"),
    ("wrong channels", dataset("weight", np.ones((4, 3, 3, 3))), "/layers: layer 0, Conv2d"),
    ("NaN", dataset("bias", np.array([0, np.nan, 0, 0])), "/layers/0000/bias: contains NaN"),
    ("infinity", dataset("bias", np.array([0, np.inf, 0, 0])), "/layers/0000/bias: contains NaN or infinity"),
    ("empty", dataset("weight", h5py.Empty("f8")), "/layers/0000/weight: shape None"),
    ("external link", external_link, "/layers/0000: 'weight' is a link; expected a dataset of this file"),
    ("dangling link", soft_link, "/layers/0000: 'bias' is a link"),
    ("external storage", external_storage, "/layers/0000/weight: its data lies in another file"),
    ("virtual data set", virtual, "/layers/0000/bias: its data lies in another file"),
    ("more than the file holds", huge, "is more than the file holds"),
    ("group for a dataset", rename("layers/0001", "layers/0000/w"), "/layers: expected groups"),
    ("dataset for a group", lambda f: (f.__delitem__("layers"), f.create_dataset("layers", data=1.0)), "'layers' is not a group"),
    ("same name twice", attribute("layers/0002", "name", "conv1"), "/layers: 2 layers are called 'conv1'"),
    ("wrong input shape", attribute("/", "input_shape", [2, 12, 12]), "/layers: layer 4, Dense"),
    ("bad input shape", attribute("/", "input_shape", "2x8x8"), "attribute 'input_shape' is '2x8x8', expected tuple"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), [row[1:] for row in DAMAGES], ids=[row[0] for row in DAMAGES])
def test_damaged_files(path, damage, message):
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(ModelFormatError) as error:
        rc.load_model(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)


def test_truncated_and_overwritten_files(path, small_model, small_input):
    """Whatever is cut off or scribbled over: our error, or the model as it was; never another, never a hang."""
    whole = path.read_bytes()
    expected = small_model.forward(small_input)
    rng = np.random.default_rng(0)
    for length in [0, 1, 100, *range(512, len(whole), 997)]:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFormatError):
            rc.load_model(path)
    for count in 100 * [1, 8]:
        scribbled = bytearray(whole)
        for place in rng.integers(0, len(whole), size=count):
            scribbled[place] = rng.integers(256)
        path.write_bytes(scribbled)
        with contextlib.suppress(ModelFormatError):
            np.testing.assert_array_equal(rc.load_model(path).forward(small_input), expected)


def test_not_there(tmp_path):
    with pytest.raises(ModelFormatError, match=r"no such file, nor a built-in model \(lenet5\)"):
        rc.load_model("lenet6")
    with pytest.raises(ModelFormatError):
        rc.load_model(tmp_path)
