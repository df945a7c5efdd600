"""Small networks as torchvision builds the large ones."""

import torch
import torch.nn.functional as F
from torch import nn


def conv_bn(inputs, outputs, kernel, **settings):
    """A convolution, its batch normalisation and ReLU, as Inception and MobileNet have them."""
    conv = nn.Conv2d(inputs, outputs, kernel, bias=False, **settings)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class VGG(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2, 2),
            nn.Conv2d(6, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2, 2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.classifier = nn.Sequential(nn.Linear(8, 12), nn.ReLU(True), nn.Dropout(), nn.Linear(12, 5))

    def forward(self, x):
        x = self.avgpool(self.features(x))
        return self.classifier(torch.flatten(x, 1))


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def sum(self, identity, out):
        return out + identity

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        identity = x if self.downsample is None else self.downsample(x)
        return self.relu(self.sum(identity, out))


class ResNet(nn.Module):
    """ResNet-18, with fewer channels."""

    def __init__(self, width=4, block=BasicBlock):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = width
        for k in range(4):
            outputs = width * 2**k
            first = block(inputs, outputs, 1 if k == 0 else 2)
            setattr(self, f"layer{k + 1}", nn.Sequential(first, block(outputs, outputs)))
            inputs = outputs
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(inputs, 10)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class DenseLayer(nn.Module):
    """One layer of a dense block, which reads all those before it."""

    def __init__(self, inputs, growth):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU(inplace=False)
        self.conv1 = nn.Conv2d(inputs, 2 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(2 * growth)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(2 * growth, growth, 3, padding=1, bias=False)

    def forward(self, features):
        x = self.conv1(self.relu1(self.norm1(torch.cat(features, 1))))
        return self.conv2(self.relu2(self.norm2(x)))


class DenseNet(nn.Module):
    def __init__(self, growth=3):
        super().__init__()
        self.conv0 = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm0 = nn.BatchNorm2d(6)
        self.relu0 = nn.ReLU(inplace=True)
        self.pool0 = nn.MaxPool2d(3, 2, 1)
        self.block = nn.ModuleList(DenseLayer(6 + k * growth, growth) for k in range(3))
        channels = 6 + 3 * growth
        self.transition = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 8, 1, bias=False), nn.AvgPool2d(2, 2)
        )
        self.norm5 = nn.BatchNorm2d(8)
        self.relu5 = nn.ReLU(inplace=True)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.classifier = nn.Linear(8, 5)

    def forward(self, x):
        features = [self.pool0(self.relu0(self.norm0(self.conv0(x))))]
        for layer in self.block:
            features.append(layer(features))
        x = self.norm5(self.transition(torch.cat(features, 1)))
        return self.classifier(torch.flatten(self.avgpool(self.relu5(x)), 1))


class Inception(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv_bn(3, 8, 3, stride=2)
        self.branch1 = conv_bn(8, 4, 1)
        self.branch3 = nn.Sequential(conv_bn(8, 4, 1), conv_bn(4, 6, (1, 3), padding=(0, 1)))
        self.branch5 = nn.Sequential(conv_bn(8, 3, 1), conv_bn(3, 4, 5, padding=2))
        self.branch_pool = nn.Sequential(nn.AvgPool2d(3, 1, 1), conv_bn(8, 3, 1))
        self.pool = nn.MaxPool2d(2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(17, 5)

    def forward(self, x):
        x = self.stem(x)
        x = torch.cat([self.branch1(x), self.branch3(x), self.branch5(x), self.branch_pool(x)], 1)
        return self.fc(torch.flatten(self.avgpool(self.pool(x)), 1))


class Functional(nn.Module):
    """Everything by functions and methods, with constants of its own."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding="same")
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.fc = nn.Linear(4 * 3 * 3, 6)
        self.register_buffer("mean", torch.rand(1, 3, 1, 1))
        self.register_buffer("std", torch.rand(3, 1, 1) + 0.5)
        self.gain = nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        x = (x - self.mean) / self.std
        x = F.relu(self.conv1(x))
        y = F.elu(self.conv2(x)) * 0.5
        x = torch.add(x, y).mul(self.gain)
        x += y
        x = F.max_pool2d(x, 2)
        x = F.avg_pool2d(x, kernel_size=2, stride=1)
        x = F.dropout(x, 0.3, training=self.training)
        x = F.adaptive_avg_pool2d(F.relu(x, inplace=True), (3, 3))
        x = x.view(x.size(0), -1) + 1
        return F.leaky_relu(self.fc(x), 0.2).tanh()


def randomized(module, seed=0):
    """Give a module, at inference, whose batch normalisations have seen something."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values, low in ((part.running_var, 0.5), (part.weight.data, 0.5)):
                values.copy_(torch.rand(values.shape, generator=generator) + low)
            for values in (part.running_mean, part.bias.data):
                values.copy_(torch.randn(values.shape, generator=generator) * 0.3)
    return module.eval()
