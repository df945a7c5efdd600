import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ModelFormatError

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from refcrp.io.onnx import is_onnx, read_onnx  # noqa: E402

RNG = np.random.default_rng(7)
FLOATS = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float64): TensorProto.DOUBLE}


def weights(*shape, dtype=np.float32):
    return RNG.normal(size=shape).astype(dtype)


def network(nodes, constants=None, shape=("n", 3, 8, 8), opset=17, dtype=np.float32):
    """Build a model whose nodes are (operator, inputs, attributes), each giving its own number as output."""
    names = [str(k) for k in range(len(nodes))]
    made = [
        helper.make_node(kind, inputs.split(), [name], name=f"{kind.lower()}{name}", **attributes)
        for name, (kind, inputs, attributes) in zip(names, nodes, strict=True)
    ]
    element = FLOATS[np.dtype(dtype)]
    graph = helper.make_graph(
        made,
        "net",
        [helper.make_tensor_value_info("input", element, shape)],
        [helper.make_tensor_value_info(names[-1], element, None)],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def read(tmp_path, model):
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return read_onnx(path)


C = {
    "w": weights(4, 3, 3, 3),
    "b": weights(4),
    "deep": weights(6, 1, 3, 3),
    "up": weights(3, 2, 3, 3),
    "gamma": weights(3),
    "beta": weights(3),
    "mean": weights(3),
    "variance": weights(3) ** 2 + 1,
    "slope": weights(3, 1, 1),
    "half": np.float32(0.5),
    "six": np.float32(6),
    "zero": np.float32(0),
    "dense": weights(192, 5),
    "turned": weights(5, 192),
    "five": weights(5),
    "channels": weights(1, 3, 1, 1),
    "pads": np.array([0, 0, 1, 2, 0, 0, 0, 1]),
    "axes": np.array([2, 3]),
    "rows": np.array([0, -1]),
    "open": np.array([-1, 192]),
    "groups": np.array([0, 3, 4, -1]),
    "first": np.array(0),
    "zeroth": np.array([0]),
    "second": np.array([2]),
    "rows_of_8": weights(3, 8, 8),
    "of_8": weights(8),
    "of_groups": weights(2),
    "of_groups_too": weights(2),
    "six_channels": weights(6, 3, 1, 1),
    "of_six": weights(6),
    "of_six_too": weights(6),
    "as_sequence": np.array([0, 3, 64]),
    "filters": weights(4, 3, 5),
    "filters_up": weights(3, 2, 4),
    "seq_scale": np.array([1, 1, 2], np.float32),
    "twice": np.array([1, 1, 2, 2], np.float32),
    "stretched": np.array([1, 1, 3, 1.5], np.float32),
    "half_more": np.array([1, 1, 1.5, 1.5], np.float32),
    "twice_inside": np.array([2, 2], np.float32),
    "halves": np.array([1, 1, 0.5, 0.5], np.float32),
    "ten_by_sixteen": np.array([2, 3, 10, 16]),
    "inside": np.array([10, 12]),
    "lengths": np.array([13, 5]),
    "none": np.array([], np.float32),
    "minus": np.array([-1]),
}
SAME = {"auto_pad": "SAME_UPPER", "kernel_shape": [3, 3]}

GRAPHS = {
    "conv": [("Conv", "input w b", {"pads": [1, 1, 1, 1], "strides": [2, 1]})],
    "conv_uneven": [("Conv", "input w b", {"pads": [0, 1, 2, 1]})],
    "conv_same": [("Conv", "input w", {**SAME, "strides": [2, 2]})],
    "conv_same_lower": [("Conv", "input w", {"auto_pad": "SAME_LOWER", "strides": [2, 2]})],
    "depthwise": [("Conv", "input deep", {"group": 3, "dilations": [2, 1]})],
    "transposed": [("ConvTranspose", "input up", {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]})],
    "batchnorm": [("BatchNormalization", "input gamma beta mean variance", {"epsilon": 1e-3})],
    "instancenorm": [("InstanceNormalization", "input gamma beta", {})],
    "maxpool": [("MaxPool", "input", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]})],
    "maxpool_stride_1": [("MaxPool", "input", {"kernel_shape": [2, 2]})],
    "avgpool": [("AveragePool", "input", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]})],
    "avgpool_counting": [("AveragePool", "input", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1})],
    "same_pool": [("MaxPool", "input", SAME)],
    "global": [("GlobalAveragePool", "input", {}), ("Flatten", "0", {})],
    "global_max": [("GlobalMaxPool", "input", {}), ("Squeeze", "0 axes", {})],
    "reduce": [("ReduceMean", "input", {"axes": [2, 3], "keepdims": 0})],
    "activations": [("LeakyRelu", "input", {"alpha": 0.2}), ("Elu", "0", {}), ("Tanh", "1", {}), ("Sigmoid", "2", {})],
    "prelu": [("PRelu", "input slope", {})],
    "relu6": [("Clip", "input zero six", {})],
    "clip": [("Clip", "input zero half", {})],
    "silu": [("Sigmoid", "input", {}), ("Mul", "input 0", {})],
    "residual": [("Conv", "input w b", {"pads": [1, 1, 1, 1]}), ("Relu", "0", {}), ("Add", "0 1", {})],
    "inception": [("Relu", "input", {}), ("MaxPool", "input", SAME), ("Concat", "0 1 input", {"axis": 1})],
    "sum": [("Relu", "input", {}), ("Sum", "input 0 input", {})],
    "preprocessing": [("Sub", "input channels", {}), ("Div", "0 half", {}), ("Mul", "1 channels", {})],
    "from_constant": [("Sub", "half input", {})],
    "gemm": [("Flatten", "input", {}), ("Gemm", "0 dense five", {"alpha": 0.5, "beta": 2.0})],
    "gemm_turned": [("Reshape", "input rows", {}), ("Gemm", "0 turned", {"transB": 1})],
    "matmul_add": [("Reshape", "input open", {}), ("MatMul", "0 dense", {}), ("Add", "1 five", {}), ("Softmax", "2", {})],
    "matmul_read_twice": [("Flatten", "input", {}), ("MatMul", "0 dense", {}), ("Add", "1 five", {}), ("Add", "1 2", {})],
    "pad": [("Pad", "input pads", {}), ("Identity", "0", {}), ("Dropout", "1", {})],
    "channels_last": [("Transpose", "input", {"perm": [0, 2, 3, 1]}), ("Relu", "0", {}), ("Transpose", "1", {"perm": [0, 3, 1, 2]})],
    "groups": [("Reshape", "input groups", {}), ("Flatten", "0", {})],
    "pool_uneven": [("MaxPool", "input", {"kernel_shape": [3, 3], "pads": [0, 0, 1, 1]})],
    "pool_uneven_average": [("AveragePool", "input", {"kernel_shape": [3, 2], "pads": [0, 0, 1, 1], "count_include_pad": 1})],
    "pool_rounded_up": [("MaxPool", "input", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1})],
    "pool_rounded_up_average": [("AveragePool", "input", {"kernel_shape": [4, 3], "strides": [3, 2], "ceil_mode": 1})],
    "pool_that_would_start_outside": [("MaxPool", "input", {"kernel_shape": [2, 2], "strides": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1})],
    "sequence": [
        ("Reshape", "input as_sequence", {}),
        ("Conv", "0 filters b", {"pads": [1, 2], "strides": [2], "dilations": [1]}),
        ("MaxPool", "1", {"kernel_shape": [3], "strides": [2], "ceil_mode": 1}),
        ("AveragePool", "2", {"kernel_shape": [2]}),
    ],
    "sequence_up": [
        ("Reshape", "input as_sequence", {}),
        ("ConvTranspose", "0 filters_up", {"pads": [1, 1], "strides": [3], "output_padding": [1]}),
        ("Resize", "1 none seq_scale", {"mode": "linear"}),
        ("ReduceMean", "2", {"axes": [2], "keepdims": 0}),
    ],
    "sequence_global": [("Reshape", "input as_sequence", {}), ("GlobalMaxPool", "0", {})],
    "sequence_same": [("Reshape", "input as_sequence", {}), ("Conv", "0 filters", {"auto_pad": "SAME_UPPER", "strides": [3]})],
    "layernorm": [("LayerNormalization", "input of_8", {})],
    "layernorm_of_all": [("LayerNormalization", "input rows_of_8 rows_of_8", {"axis": 1, "epsilon": 1e-3})],
    "groupnorm": [("Conv", "input six_channels", {}), ("GroupNormalization", "0 of_groups of_groups_too", {"num_groups": 2})],
    "nearest": [("Resize", "input none twice", {"mode": "nearest"})],
    "nearest_as_pytorch": [("Resize", "input none stretched", {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"})],
    "nearest_smaller": [("Resize", "input none halves", {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"})],
    "bilinear": [("Resize", "input none half_more", {"mode": "linear"})],
    "bilinear_smaller": [("Resize", "input none halves", {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"})],
    "bilinear_to_size": [("Resize", "input none none ten_by_sixteen", {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"})],
    "bilinear_corners": [("Resize", "input none none ten_by_sixteen", {"mode": "linear", "coordinate_transformation_mode": "align_corners"})],
    "computed_size": [
        ("Shape", "input", {}),
        ("Slice", "0 zeroth second", {}),
        ("Cast", "1", {"to": TensorProto.INT64}),
        ("Concat", "2 lengths", {"axis": 0}),
        ("Resize", "input none none 3", {"mode": "linear"}),
    ],
    "computed_shape": [
        ("Shape", "input", {}),
        ("Gather", "0 first", {"axis": 0}),
        ("Unsqueeze", "1 zeroth", {}),
        ("Concat", "2 minus", {"axis": 0}),
        ("Reshape", "input 3", {}),
    ],
}  # fmt: skip


SCALES = {"none", "seq_scale", "twice", "stretched", "half_more", "halves", "twice_inside"}
FIXED = {"shape": (2, 3, 8, 8)}
SETTINGS = {
    "bilinear_to_size": FIXED,
    "bilinear_corners": FIXED,
    "groupnorm": {"opset": 18},
    "resize_of_axes": {"opset": 18},
    "upsample": {"opset": 9},
    "resize_of_old": {"opset": 10},
    "groupnorm_of_channels": {"opset": 21},
}
GRAPHS |= {
    "resize_of_axes": [("Resize", "input none none inside", {"axes": [2, 3], "mode": "linear"})],
    "upsample": [("Upsample", "input twice", {"mode": "nearest"})],
    "resize_of_old": [("Resize", "input stretched", {"mode": "nearest"})],
    "groupnorm_of_channels": [("Conv", "input six_channels", {}), ("GroupNormalization", "0 of_six of_six_too", {"num_groups": 3})],
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", GRAPHS)
def test_operators_compute_as_onnxruntime_does(name, dtype, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    nodes = GRAPHS[name]
    used = {key for _, inputs, _ in nodes for key in inputs.split()}
    constants = {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in C.items() if k in used}
    settings = SETTINGS.get(name, {})
    if dtype == np.float64:  # scales are float32 always
        constants |= {k: C[k] for k in used & SCALES}
    proto = network(nodes, constants, dtype=dtype, **settings)
    x = weights(2, 3, 8, 8, dtype=dtype)
    try:
        session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    except runtime.capi.onnxruntime_pybind11_state.NotImplemented:
        pytest.skip("onnxruntime does not compute this in float64")
    (expected,) = session.run(None, {"input": x})
    model = read(tmp_path, proto)
    y = model.forward(x)
    assert y.dtype == dtype
    assert y.shape == expected.shape
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


WAYS = [
    {"mode": mode, "coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    for mode, roundings in (("nearest", ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")), ("linear", ("floor",)))
    for coordinates in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
    for rounding in roundings
]  # fmt: skip


@pytest.mark.parametrize("lengths", [(16, 32), (12, 8), (4, 4), (20, 11), (1, 3)])
def test_a_way_of_resizing_is_refused_or_the_same(lengths, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    x = weights(2, 3, 8, 8)
    sizes = {"none": C["none"], "lengths": np.array([2, 3, *lengths])}
    accepted, messages = set(), []
    for way in WAYS:
        proto = network([("Resize", "input none none lengths", way)], sizes, shape=(2, 3, 8, 8))
        try:
            y = read(tmp_path, proto).forward(x)
        except ModelFormatError as error:
            messages.append(str(error))
            continue
        session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(
            y, session.run(None, {"input": x})[0], rtol=1e-5, atol=1e-5, err_msg=str(way)
        )
        accepted.add(tuple(way.values()))
    assert {
        ("nearest", "asymmetric", "floor"),
        ("linear", "half_pixel", "floor"),
        ("linear", "align_corners", "floor"),
    } <= accepted
    assert ("nearest", "align_corners", "ceil") not in accepted
    assert all("reads other pixels" in message for message in messages)


def constants_of(nodes):
    return {key: C[key] for _, inputs, _ in nodes for key in inputs.split() if key in C}


def test_matmul_and_add_are_one_dense_layer(tmp_path):
    model = read(tmp_path, network(GRAPHS["matmul_add"], constants_of(GRAPHS["matmul_add"])))
    assert [type(layer) for layer in model] == [L.Flatten, L.Dense, L.Softmax]
    assert np.array_equal(model["matmul1"].bias, C["five"])


def test_a_file_is_recognised_by_content(tmp_path):
    path = tmp_path / "no extension"
    path.write_bytes(network(GRAPHS["gemm"], constants_of(GRAPHS["gemm"])).SerializeToString())
    assert is_onnx(path)
    rc.save_model(rc.Sequential([L.ReLU()]), tmp_path / "net.h5")
    assert not is_onnx(tmp_path / "net.h5")
    e = rc.LRP(rc.load_model(path), rc.EpsilonPlus())(weights(1, 3, 8, 8))
    assert e.relevance.shape == (1, 3, 8, 8)


REFUSED = {
    "unsupported": ([("LSTM", "input w b", {})], {}, "'LSTM' at 'lstm0' is not supported; supported: Add, Average"),
    "old": ([("Relu", "input", {})], {"opset": 8}, "opset 8"),
    "open shape": ([("Relu", "input", {})], {"shape": ("n", 3, "h", "w")}, "no fixed shape"),
    "nowhere": ([("Relu", "nothing", {})], {}, "reads 'nothing'"),
    "product": ([("Relu", "input", {}), ("Mul", "input 0", {})], {}, "'Mul' at 'mul1': relevance of a product of branches is not defined"),
    "a sum with constants": ([("Relu", "input", {}), ("Sum", "0 channels input", {})], {}, "must not hold constants"),
    "uneven pool": ([("MaxPool", "input", {"kernel_shape": [3, 3], "pads": [1, 1, 0, 0]})], {}, "more at the top"),
    "uneven adjoint": ([("ConvTranspose", "input up", {"pads": [0, 0, 1, 1]})], {}, "differ between"),
    "rounding up": ([("MaxPool", "input", {"kernel_shape": [3, 3], "strides": [4, 7], "ceil_mode": 1})], {}, "ceil_mode=1 puts 2 of 3"),
    "rounding up what counts": ([("AveragePool", "input", {"kernel_shape": [4, 4], "strides": [7, 7], "pads": [1, 1, 1, 1], "ceil_mode": 1, "count_include_pad": 1})], {}, "ceil_mode=1 with padding"),
    "cubic": ([("Resize", "input none twice", {"mode": "cubic"})], {}, "'Resize' at 'resize0': mode='cubic'"),
    "other coordinates": ([("Resize", "input none twice", {"coordinate_transformation_mode": "tf_crop_and_resize"})], {}, "tf_crop_and_resize"),
    "other pixels": ([("Resize", "input none half_more", {"nearest_mode": "ceil"})], {}, "reads other pixels than UpsampleNearest"),
    "other mixtures": ([("Resize", "input none twice", {"mode": "linear", "coordinate_transformation_mode": "asymmetric"})], {}, "reads other pixels than"),
    "smoothed": ([("Resize", "input none halves", {"mode": "linear", "antialias": 1})], {"opset": 18}, "antialias=1"),
    "more channels": ([("Resize", "input none channels", {})], {}, "scales="),
    "more samples": ([("Resize", "input none none ten_by_sixteen", {})], {}, "change the batch"),
    "normalised samples": ([("LayerNormalization", "input rows_of_8", {"axis": 0})], {}, "axis=0"),
    "normalised otherwise": ([("LayerNormalization", "input rows_of_8", {"axis": 2})], {}, r"expected \(8, 8\)"),
    "unequal groups": ([("GroupNormalization", "input of_groups of_groups_too", {"num_groups": 2})], {"opset": 18}, "3 channels"),
    "a quotient": ([("Relu", "input", {}), ("Div", "input 0", {})], {}, "'Div' at 'div1': something is divided by"),
    "attention": ([("Relu", "input", {}), ("MatMul", "input 0", {})], {}, "'MatMul' at 'matmul1': relevance of a product"),
    "joining samples": ([("Flatten", "input", {"axis": 0})], {}, "axis=0"),
    "samples moved": ([("Transpose", "input", {"perm": [1, 0, 2, 3]})], {}, "batch"),
    "reflected": ([("Pad", "input pads", {"mode": "reflect"})], {}, "mode='reflect'"),
    "channels": ([("Conv", "input up", {})], {}, "channels|shape"),
    "softmax of columns": ([("Softmax", "input", {"axis": 3})], {}, "axis=3"),
    "too large a constant": ([("Reshape", "input rows", {"allowzero": 1})], {}, "allowzero"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_layer_is_refused(name, tmp_path):
    nodes, settings, message = REFUSED[name]
    with pytest.raises(ModelFormatError, match=message):
        read(tmp_path, network(nodes, constants_of(nodes), **settings))


def test_data_in_other_files_and_false_sizes_are_refused(tmp_path):
    nodes = [("Conv", "input w", {})]
    outside = network(nodes, {"w": C["w"]})
    tensor = outside.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    with pytest.raises(ModelFormatError, match="lies in another file"):
        read(tmp_path, outside)
    for dims in ([2**40, 2**40, 3, 3], [-4, 3, 3, -3], [4, 3, 3]):
        false = network(nodes, {"w": C["w"]})
        del false.graph.initializer[0].dims[:]
        false.graph.initializer[0].dims.extend(dims)
        with pytest.raises(ModelFormatError, match="108 values"):
            read(tmp_path, false)


@pytest.mark.parametrize(
    "name",
    [
        "computed_shape",
        "matmul_add",
        "pad",
        "inception",
        "conv_uneven",
        "computed_size",
        "sequence",
        "groupnorm",
    ],
)
def test_damaged_files_are_refused_and_nothing_else_happens(name, tmp_path):
    whole = network(GRAPHS[name], constants_of(GRAPHS[name])).SerializeToString()
    path = tmp_path / "damaged.onnx"
    rng = np.random.default_rng(11)
    for _ in range(150):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            data[place] = rng.integers(0, 256)
        path.write_bytes(data[: rng.integers(1, len(data))] if rng.random() < 0.2 else data)
        try:
            read_onnx(path)
        except ModelFormatError:
            continue
