"""Outputs of the layers beside those of PyTorch, where it is installed."""

import numpy as np
import pytest

from refcrp import layers as L

torch = pytest.importorskip("torch")
nn = torch.nn

ROWS = [
    (lambda: nn.AdaptiveAvgPool2d((3, 4)), L.AdaptiveAvgPool((3, 4))),
    (lambda: nn.AdaptiveAvgPool2d((7, 11)), L.AdaptiveAvgPool((7, 11))),
    (lambda: nn.AdaptiveMaxPool2d((3, 4)), L.AdaptiveMaxPool((3, 4))),
    (lambda: nn.AdaptiveMaxPool2d((2, 7)), L.AdaptiveMaxPool((2, 7))),
    *[(lambda s=s: nn.Upsample(scale_factor=s), L.UpsampleNearest(s)) for s in (2, 1.5, 2.25, 0.5, 3)],
    *[(lambda s=s: nn.Upsample(s), L.UpsampleNearest(size=s)) for s in ((9, 20), (5, 3), (1, 1))],
    *[
        (
            lambda s=s, a=a: nn.Upsample(scale_factor=s, mode="bilinear", align_corners=a),
            L.UpsampleBilinear(s, align_corners=a),
        )
        for s in (2, 1.5, 0.5, (3, 1))
        for a in (False, True)
    ],
    *[
        (
            lambda s=s, a=a: nn.Upsample(s, mode="bilinear", align_corners=a),
            L.UpsampleBilinear(size=s, align_corners=a),
        )
        for s in ((9, 20), (5, 3), (1, 1))
        for a in (False, True)
    ],
    (lambda: nn.ZeroPad2d((3, 4, 1, 2)), L.ZeroPad((1, 2, 3, 4))),  # there left, right, top, bottom
    (nn.ReLU6, L.ReLU6()),
    (lambda: nn.Hardtanh(-2, 0.5), L.HardTanh(-2, 0.5)),
    (nn.InstanceNorm2d, L.InstanceNorm()),
]


@pytest.mark.parametrize(("make", "layer"), ROWS, ids=lambda v: repr(v) if isinstance(v, L.Layer) else "")
def test_without_parameters(make, layer, rng):
    x = 4 * rng.normal(size=(2, 4, 6, 10))
    module = make() if layer.kind != "instancenorm" else make(4)
    expected = module(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-12, atol=1e-12)


SETTINGS = [
    {},
    {"stride": 2, "padding": 1, "output_padding": 1},
    {"stride": (2, 3), "padding": (1, 0), "output_padding": (0, 2), "dilation": (1, 2), "groups": 2},
    {"groups": 4},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_transposed_convolution(settings, rng):
    module = nn.ConvTranspose2d(4, 8, (3, 2), **settings, dtype=torch.float64)
    weight, bias = (p.detach().numpy() for p in (module.weight, module.bias))
    layer = L.ConvTranspose2d(weight, bias, **settings)
    x = rng.normal(size=(2, 4, 5, 3))
    expected = module(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-12, atol=1e-12)
    single = layer.astype(np.float32).forward(x.astype(np.float32))
    np.testing.assert_allclose(single, expected, rtol=1e-4, atol=1e-5)


def test_one_dimension(rng):
    module = nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2, dtype=torch.float64)
    weight, bias = (p.detach().numpy() for p in (module.weight, module.bias))
    layer = L.conv1d(weight, bias, stride=2, padding=2, dilation=2, groups=2)
    x = rng.normal(size=(2, 4, 9))
    expected = module(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(layer.forward(x[:, :, None])[:, :, 0], expected, rtol=1e-12, atol=1e-12)


def test_parameters_by_channel(rng):
    x = rng.normal(size=(2, 4, 3, 5))
    w, b = rng.normal(size=4), rng.normal(size=4)
    for layer, module in [
        (L.GroupNorm(2, w, b, epsilon=1e-3), nn.GroupNorm(2, 4, eps=1e-3, dtype=torch.float64)),
        (L.InstanceNorm(w, b), nn.InstanceNorm2d(4, affine=True, dtype=torch.float64)),
        (L.PReLU(w), nn.PReLU(4, dtype=torch.float64)),
    ]:
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                parameter.copy_(torch.from_numpy({"weight": w, "bias": b}[name]))
            expected = module(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(layer.forward(x), expected, rtol=1e-10, atol=1e-12)
