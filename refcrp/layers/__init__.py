"""The layers: one short file for each kind, forward and relevance side by side."""

from refcrp.layers.activation import (
    ELU,
    GELU,
    Activation,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from refcrp.layers.base import (
    ConvLayer,
    DropoutLayer,
    Layer,
    NormalizationLayer,
    PoolingLayer,
    ReshapingLayer,
)
from refcrp.layers.conv import Conv2d
from refcrp.layers.dense import Dense
from refcrp.layers.linear import LinearLayer
from refcrp.layers.merge import Add, Concat, MergeLayer, Multiply
from refcrp.layers.norm import BatchNorm, LayerNorm, Scale
from refcrp.layers.own import OwnRelevanceLayer
from refcrp.layers.pool import AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool
from refcrp.layers.shape import Dropout, Flatten
from refcrp.layers.weighted import WeightedLayer

__all__ = [
    "ELU",
    "GELU",
    "Activation",
    "Add",
    "AvgPool",
    "BatchNorm",
    "Concat",
    "Conv2d",
    "ConvLayer",
    "Dense",
    "Dropout",
    "DropoutLayer",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LinearLayer",
    "MaxPool",
    "MergeLayer",
    "Multiply",
    "NormalizationLayer",
    "OwnRelevanceLayer",
    "PoolingLayer",
    "ReLU",
    "ReshapingLayer",
    "Scale",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "WeightedLayer",
]
