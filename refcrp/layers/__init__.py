"""The layers: one short file for each kind, forward and relevance side by side."""

from refcrp.layers.activation import (
    ELU,
    GELU,
    Activation,
    HardTanh,
    LeakyReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from refcrp.layers.adaptive import AdaptiveAvgPool, AdaptiveMaxPool
from refcrp.layers.base import (
    ConvLayer,
    DropoutLayer,
    Layer,
    NormalizationLayer,
    PoolingLayer,
    ReshapingLayer,
)
from refcrp.layers.conv import Conv2d, conv1d, depthwise_conv2d, separable_conv2d
from refcrp.layers.conv_transpose import ConvTranspose2d
from refcrp.layers.dense import Dense
from refcrp.layers.linear import LinearLayer
from refcrp.layers.merge import Add, Concat, MergeLayer, Multiply
from refcrp.layers.norm import BatchNorm, Scale
from refcrp.layers.own import OwnRelevanceLayer
from refcrp.layers.padding import ZeroPad
from refcrp.layers.pool import AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from refcrp.layers.prelu import PReLU
from refcrp.layers.sample_norm import GroupNorm, InstanceNorm, LayerNorm, SampleNorm
from refcrp.layers.shape import Dropout, Flatten, Identity, Permute, Reshape
from refcrp.layers.upsample import UpsampleBilinear, UpsampleNearest
from refcrp.layers.weighted import WeightedLayer

__all__ = [
    "ELU",
    "GELU",
    "Activation",
    "AdaptiveAvgPool",
    "AdaptiveMaxPool",
    "Add",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Conv2d",
    "ConvLayer",
    "ConvTranspose2d",
    "Dense",
    "Dropout",
    "DropoutLayer",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "HardTanh",
    "Identity",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LinearLayer",
    "MaxPool",
    "MergeLayer",
    "Multiply",
    "NormalizationLayer",
    "OwnRelevanceLayer",
    "PReLU",
    "Permute",
    "PoolingLayer",
    "ReLU",
    "ReLU6",
    "Reshape",
    "ReshapingLayer",
    "SampleNorm",
    "Scale",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "UpsampleBilinear",
    "UpsampleNearest",
    "WeightedLayer",
    "ZeroPad",
    "conv1d",
    "depthwise_conv2d",
    "separable_conv2d",
]
