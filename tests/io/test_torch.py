import copy

import numpy as np
import pytest

import refcrp as rc
from refcrp import layers as L
from refcrp.errors import ModelFormatError, ParameterError

torch = pytest.importorskip("torch")
import torch_nets as nets  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from refcrp.io.state import load_state  # noqa: E402
from refcrp.io.torch import from_torch  # noqa: E402

NETS = {
    "vgg": nets.VGG,
    "resnet": nets.ResNet,
    "densenet": nets.DenseNet,
    "inception": nets.Inception,
    "functional": nets.Functional,
}
SIZE = {"resnet": 40, "functional": 12}


def made(name, seed=0):
    torch.manual_seed(seed)
    size = SIZE.get(name, 16)
    return nets.randomized(NETS[name]()), torch.randn(2, 3, size, size)


class Calls(nn.Module):
    """A module that computes one expression."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.function(self, x)


def agree(module, x, tolerance=1e-12):
    module = module.eval()
    model = from_torch(module, x[:1])
    with torch.no_grad():
        expected = module(x.clone()).numpy()
    y = model.forward(x.numpy())
    assert y.dtype == expected.dtype
    assert y.shape == expected.shape
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=tolerance * max(1, np.abs(expected).max()))
    return model


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_whole_networks_compute_the_same(name, dtype, tolerance):
    module, x = made(name)
    model = agree(module.to(dtype), x.to(dtype), tolerance)
    assert model.input_shape == tuple(x.shape[1:])


def test_layers_have_the_names_of_the_modules():
    module, x = made("resnet")
    names = from_torch(module, x).names
    assert names[:6] == ("conv1", "bn1", "relu", "maxpool", "layer1.0.conv1", "layer1.0.bn1")
    assert {"layer1.0.relu", "layer1.0.relu_1", "layer2.0.downsample.0", "add", "add_1", "flatten", "fc"} <= {
        *names
    }


def test_the_module_stays_as_it_was():
    module, x = made("vgg")
    module.train()
    before, x_before = copy.deepcopy(module.state_dict()), x.clone()
    model = from_torch(module, x)
    assert module.training
    assert all(part.training for part in module.modules())
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert torch.equal(x, x_before)
    with torch.no_grad():
        module.features[0].weight.zero_()  # nor does the model change with it
    assert model["features.0"].weight.any()


x4 = torch.randn(3, 4, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

EXPRESSIONS = {
    "leaky": lambda m, x: F.leaky_relu(x),
    "gelu": lambda m, x: F.gelu(x, approximate="tanh"),
    "gelu_exact": lambda m, x: F.gelu(x),
    "silu": lambda m, x: F.silu(x),
    "sigmoid": lambda m, x: x.sigmoid(),
    "softmax": lambda m, x: x.mean((2, 3)).softmax(-1),
    "relu_method": lambda m, x: x.relu(),
    "mean_keepdim": lambda m, x: x.mean([2, 3], keepdim=True),
    "mean_negative": lambda m, x: x.mean(dim=(-1, -2)),
    "amax": lambda m, x: torch.amax(x, (2, 3)),
    "pool_to_one": lambda m, x: F.adaptive_max_pool2d(x, 1),
    "pool_padded": lambda m, x: F.avg_pool2d(x, 3, 2, 1, False, False),
    "max_pool_positional": lambda m, x: F.max_pool2d(x, 3, 1, 1),
    "flatten": lambda m, x: x.flatten(1),
    "flatten_negative": lambda m, x: x.flatten(-3),
    "reshape": lambda m, x: x.reshape(len(x) if isinstance(x, torch.Tensor) else x.shape[0], 144),
    "view_minus_one": lambda m, x: x.view(-1, 144),
    "permute": lambda m, x: x.permute(0, 2, 3, 1),
    "permute_tuple": lambda m, x: torch.permute(x, (0, -1, 1, 2)),
    "transpose": lambda m, x: x.transpose(1, -1).flatten(1),
    "view_of_groups": lambda m, x: x.view(-1, 2, 2, 36),
    "pad": lambda m, x: F.pad(x, (1, 0, 2, 1)),
    "interpolate": lambda m, x: F.interpolate(x, scale_factor=(2.0, 3.0)),
    "interpolate_by_half": lambda m, x: F.interpolate(
        x, scale_factor=1.5, mode="bilinear", align_corners=False
    ),
    "clipped": lambda m, x: F.hardtanh(F.relu6(x), 0, 1),
    "squeeze": lambda m, x: F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1),
    "cat_last": lambda m, x: torch.cat((x, x * 2), dim=-1),
    "twice": lambda m, x: x + x,
    "radd": lambda m, x: 1 + x,
    "rsub": lambda m, x: 1 - x,
    "div": lambda m, x: x / 3,
    "sum_of_list": lambda m, x: sum([x, x.relu(), x * 3]),
    "constant_of_channels": lambda m, x: (
        x * torch.arange(1.0, 5, dtype=x.dtype).view(4, 1, 1) if isinstance(x, torch.Tensor) else x * m.c
    ),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions(name):
    module = Calls(EXPRESSIONS[name])
    module.register_buffer("c", torch.arange(1.0, 5, dtype=torch.float64).view(4, 1, 1))
    agree(module, x4)


MODULES = {
    "conv": nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
    "depthwise": nn.Conv2d(4, 8, 3, groups=4, bias=False),
    "valid": nn.Conv2d(4, 2, 3, padding="valid"),
    "batchnorm": nn.BatchNorm2d(4, eps=1e-3),
    "plain_batchnorm": nn.BatchNorm2d(4, affine=False),
    "layernorm": nn.LayerNorm((6, 6)),
    "same_even": nn.Conv2d(4, 2, (2, 4), padding="same", dilation=(1, 1)),
    "transposed": nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2),
    "groupnorm": nn.GroupNorm(2, 4),
    "instancenorm": nn.InstanceNorm2d(4, affine=True),
    "instancenorm_running": nn.InstanceNorm2d(4, track_running_stats=True),
    "adaptive_avg": nn.AdaptiveAvgPool2d((4, 3)),
    "adaptive_max": nn.AdaptiveMaxPool2d((4, None)),
    "relu6": nn.ReLU6(),
    "hardtanh": nn.Hardtanh(-0.2, 0.3),
    "prelu": nn.PReLU(4, 0.1),
    "pad": nn.ZeroPad2d((1, 2, 0, 3)),
    "nearest": nn.Upsample(scale_factor=2),
    "bilinear": nn.Upsample((9, 8), mode="bilinear"),
    "corners": nn.UpsamplingBilinear2d(scale_factor=3),
    "identity": nn.Identity(),
    "avg": nn.AvgPool2d(2, ceil_mode=True),
    "max": nn.MaxPool2d(2, ceil_mode=True),
    "avg_rounded_up": nn.AvgPool2d((2, 4), (3, 3), ceil_mode=True),
    "avg_rounded_up_padded": nn.AvgPool2d(4, 5, 1, ceil_mode=True, count_include_pad=False),
    "max_rounded_up": nn.MaxPool2d((3, 4), (2, 3), ceil_mode=True),
    "max_rounded_up_padded": nn.MaxPool2d(4, (3, 5), (0, 1), ceil_mode=True),
    "global_max": nn.AdaptiveMaxPool2d(1),
    "elu": nn.ELU(0.5),
    "softmax": nn.Softmax(dim=1),
    "normalized": nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 5, 3)),
}


@pytest.mark.filterwarnings("ignore:Using padding")
@pytest.mark.parametrize("name", MODULES)
def test_modules(name):
    module = MODULES[name].double()
    agree(nn.Sequential(module, nn.Identity(), nn.ReLU()), x4)
    assert agree(module, x4).names[-1] == type(module).__name__.lower()


FUNCTIONS = {
    "conv": lambda m, x: F.conv2d(x, m.weight, None, 2, padding=1),
    "linear": lambda m, x: F.linear(torch.flatten(x, 1), m.matrix, bias=m.c),
    "batchnorm": lambda m, x: F.batch_norm(x, m.c, m.c + 1, bias=m.c),
    "layernorm": lambda m, x: F.layer_norm(x, (6, 6), eps=1e-3),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_that_take_parameters(name):
    module = Calls(FUNCTIONS[name])
    shapes = {"weight": (4, 4, 3, 3), "matrix": (4, 144), "c": (4,)}
    for k, (key, shape) in enumerate(shapes.items()):
        generator = torch.Generator().manual_seed(k)
        setattr(module, key, nn.Parameter(torch.rand(shape, dtype=torch.float64, generator=generator)))
    agree(module, x4)


SEQUENCES = {
    "conv": nn.Conv1d(4, 6, 3, 2, 1),
    "same": nn.Conv1d(4, 6, 4, padding="same", dilation=3, groups=2),
    "max": nn.MaxPool1d(3, 2, 1),
    "avg": nn.AvgPool1d(3, padding=1, count_include_pad=False),
    "max_rounded_up": nn.MaxPool1d(4, 3, ceil_mode=True),
    "batchnorm": nn.BatchNorm1d(4),
}


@pytest.mark.filterwarnings("ignore:Using padding")
@pytest.mark.parametrize("name", SEQUENCES)
def test_modules_on_sequences(name):
    model = agree(Calls(lambda m, x: m.it(x), it=SEQUENCES[name]).double(), x4.flatten(2))
    assert type(model["it"]) in (L.Conv2d, L.MaxPool, L.AvgPool, L.BatchNorm)


def test_batchnorm_of_features():
    agree(nn.Sequential(nn.Flatten(), nn.Linear(144, 7), nn.BatchNorm1d(7)).double(), x4)


def test_layers_that_lead_nowhere_are_left_out():
    module = Calls(
        lambda m, x: (m.used(x), m.unused(x))[0], used=nn.Conv2d(4, 2, 1), unused=nn.Conv2d(4, 2, 1)
    ).double()
    assert agree(module, x4).names == ("used",)


def test_one_module_called_twice_makes_two_layers():
    conv = nn.Conv2d(4, 4, 3, padding=1)
    model = agree(Calls(lambda m, x: m.conv(m.act(m.conv(m.act(x)))), conv=conv, act=nn.ReLU()).double(), x4)
    assert model.names == ("act", "conv", "act_1", "conv_1")


def test_names_that_the_model_needs_itself_get_a_number():
    model = agree(Calls(lambda m, x: m.y(m.x(x)), x=nn.ReLU(), y=nn.Tanh()), x4)
    assert model.names == ("x_1", "y_1")


def test_a_numpy_array_is_an_example_too():
    module, x = made("vgg")
    assert from_torch(module, x.numpy().astype(np.float64)).dtype == np.float32


REFUSED = {
    "unsupported module": (lambda m, x: m.p(x), "'PixelShuffle' at 'p'.*supported: .*Conv2d"),
    "unsupported function": (lambda m, x: torch.cumsum(x, 1), "'cumsum' at 'cumsum'.*max_pool2d"),
    "unsupported method": (lambda m, x: x.cumsum(1), "'cumsum'"),
    "control flow": (lambda m, x: x if x.sum() > 0 else -x, "cannot be traced"),
    "two outputs": (lambda m, x: (x.relu(), x.tanh()), "returns a tuple"),
    "a constant": (lambda m, x: m.c, "returns a constant"),
    "dropping": (lambda m, x: F.dropout(x, 0.5), "training=self.training"),
    "dilated pool": (lambda m, x: F.max_pool2d(x, 2, dilation=2), "dilation"),
    "rounding up": (lambda m, x: F.max_pool2d(x, 5, ceil_mode=True), "ceil_mode=True puts 4 of 5 pixels"),
    "counting what is rounded up": (
        lambda m, x: F.avg_pool2d(x, 4, 5, 1, True),
        "ceil_mode=True with padding",
    ),
    "pooling features": (
        lambda m, x: F.max_pool2d(x.flatten(2), 2),
        r"\(4, 36\), expected channels and 2 more",
    ),
    "indices": (lambda m, x: F.max_pool2d(x, 2, return_indices=True)[0], "max_pool2d_with_indices"),
    "the mean of rows": (lambda m, x: x.mean(2), r"expected \(2, 3\)"),
    "softmax of rows": (lambda m, x: x.softmax(3), "expected the channels"),
    "joining samples": (lambda m, x: torch.cat([x, x]), "first axis must stay the batch"),
    "flattening samples": (lambda m, x: x.flatten(0, 1), "first axis must stay the batch"),
    "a product": (
        lambda m, x: x * x.sigmoid(),
        "operator 'mul' at 'mul': relevance of a product of branches is not",
    ),
    "a quotient": (lambda m, x: x / (1 + x.sigmoid()), "divided by what depends on the input"),
    "a difference": (lambda m, x: x - x.sigmoid(), "must not depend on the input"),
    "a sum that broadcasts": (lambda m, x: x + x.mean((2, 3), keepdim=True), "'add'"),
    "a constant of pixels": (lambda m, x: x * m.pixels, "one for each channel"),
    "changed in place": (lambda m, x: [y := x * 2, y.relu_(), y][2], "in place"),
    "by the batch": (lambda m, x: x / x.shape[0], "depend on the batch"),
    "statistics of the batch": (lambda m, x: m.bn(x), "no running statistics"),
    "reflected": (lambda m, x: m.reflect(x), "padding_mode='reflect'"),
    "padded with ones": (lambda m, x: F.pad(x, (1, 1), value=1.0), "value=1.0"),
    "cubic": (lambda m, x: F.interpolate(x, scale_factor=2, mode="bicubic"), "'nearest' or 'bilinear'"),
    "samples moved": (lambda m, x: x.permute(1, 0, 2, 3), "first axis|batch"),
    "nothing at all": (lambda m, x: x, "layer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_layer_is_refused(name):
    function, message = REFUSED[name]
    module = Calls(
        function,
        p=nn.PixelShuffle(2),
        bn=nn.BatchNorm2d(4, track_running_stats=False),
        reflect=nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    ).double()
    module.register_buffer("c", torch.zeros(1, 2))
    module.register_buffer("pixels", torch.rand(6, 6))
    with pytest.raises(ModelFormatError, match=message):
        from_torch(module, x4)


def test_what_is_no_module_or_no_batch_is_refused():
    with pytest.raises(ParameterError, match=r"torch\.nn\.Module"):
        from_torch(lambda x: x, x4)
    with pytest.raises(ParameterError, match="a batch"):
        from_torch(nn.ReLU(), torch.zeros(3))
    with pytest.raises(ModelFormatError, match=r"module\.float"):
        from_torch(nn.Conv2d(4, 2, 1).half(), x4)
    with pytest.raises(ParameterError, match="input2"):
        from_torch(nn.Bilinear(2, 2, 2), torch.zeros(1, 2))


def test_a_state_dict_fills_a_known_architecture():
    module = nets.randomized(
        nn.Sequential(nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 2))
    )
    blank = rc.Sequential(
        [
            L.Conv2d(np.zeros((3, 4, 3, 3), np.float32), np.zeros(3, np.float32), name="0"),
            L.BatchNorm(*np.ones((4, 3), np.float32), name="1"),
            L.Flatten(),
            L.Dense(np.zeros((2, 48), np.float32), np.zeros(2, np.float32), name="3"),
        ]
    )
    model = load_state(blank, module.state_dict())
    x = x4.float()
    np.testing.assert_allclose(model.forward(x.numpy()), module(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    plain = {key: value.numpy() for key, value in module.state_dict().items()}
    assert np.array_equal(load_state(blank, plain)["1"].mean, plain["1.running_mean"])
    assert not blank["3"].weight.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.bias": None}, "'0.bias' is missing"),
        ({"2.bias": np.zeros(2)}, "'2.bias' belongs to no layer"),
        ({"0.weight": np.zeros((3, 3))}, r"\(3, 3\), expected \(2, 3\)"),
        ({"0.weight": np.full((2, 3), np.nan)}, "0.weight|'0'"),
    ],
)
def test_a_state_dict_must_fit(change, message):
    model = rc.Sequential([L.Dense(np.zeros((2, 3)), np.zeros(2), name="0")])
    state = {"0.weight": np.ones((2, 3)), "0.bias": np.ones(2)} | change
    with pytest.raises(ModelFormatError, match=message):
        load_state(model, {key: value for key, value in state.items() if value is not None})
