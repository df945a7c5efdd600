"""The public names, and where they live; `refcrp/__init__.py` reads this file."""

from refcrp import conformance, errors, layers
from refcrp.arrays import exact
from refcrp.building import Parallel, Residual, Sequential
from refcrp.canonization import canonize, strip_softmax
from refcrp.composite import Composite
from refcrp.crp import CRP
from refcrp.datasets import load_digits
from refcrp.dialects import DIALECTS, Dialect
from refcrp.errors import RefcrpError
from refcrp.estimates import ErrorEstimate, error_estimate
from refcrp.explanation import Explanation
from refcrp.heatmaps import heatmap
from refcrp.io import load_model, save_model
from refcrp.io.state import load_state
from refcrp.io.torch import from_torch
from refcrp.kernels import backend, show_config
from refcrp.layers import ConvLayer, DropoutLayer, NormalizationLayer, PoolingLayer, ReshapingLayer
from refcrp.ledger import Ledger
from refcrp.lrp import LRP
from refcrp.model import Graph, Model
from refcrp.presets import (
    EpsilonAlpha2Beta1,
    EpsilonAlpha2Beta1Flat,
    EpsilonGammaBox,
    EpsilonPlus,
    EpsilonPlusFlat,
)
from refcrp.primitives import (
    FirstLayerMap,
    FirstLayerTypeMap,
    FirstNTypeMap,
    GlobalMap,
    GlobalTypeMap,
    LastLayerMap,
    LastLayerTypeMap,
    LayerMap,
    RangeMap,
    RangeTypeMap,
)
from refcrp.propagation import Contribution, Share
from refcrp.rule import Rule
from refcrp.rules import (
    AlphaBetaRule,
    EpsilonRule,
    FlatRule,
    GammaRule,
    GeneralizedGammaRule,
    LayerNormRule,
    PassRule,
    WSquareRule,
    ZBoxRule,
    ZeroRule,
    ZPlusRule,
)
from refcrp.selection import IndexedFeatures, IndexSelector, MaxActivationSelector, TopNFeatures
from refcrp.trace import Trace

__version__: str

__all__ = [
    "CRP",
    "DIALECTS",
    "LRP",
    "AlphaBetaRule",
    "Composite",
    "Contribution",
    "ConvLayer",
    "Dialect",
    "DropoutLayer",
    "EpsilonAlpha2Beta1",
    "EpsilonAlpha2Beta1Flat",
    "EpsilonGammaBox",
    "EpsilonPlus",
    "EpsilonPlusFlat",
    "EpsilonRule",
    "ErrorEstimate",
    "Explanation",
    "FirstLayerMap",
    "FirstLayerTypeMap",
    "FirstNTypeMap",
    "FlatRule",
    "GammaRule",
    "GeneralizedGammaRule",
    "GlobalMap",
    "GlobalTypeMap",
    "Graph",
    "IndexSelector",
    "IndexedFeatures",
    "LastLayerMap",
    "LastLayerTypeMap",
    "LayerMap",
    "LayerNormRule",
    "Ledger",
    "MaxActivationSelector",
    "Model",
    "NormalizationLayer",
    "Parallel",
    "PassRule",
    "PoolingLayer",
    "RangeMap",
    "RangeTypeMap",
    "RefcrpError",
    "ReshapingLayer",
    "Residual",
    "Rule",
    "Sequential",
    "Share",
    "TopNFeatures",
    "Trace",
    "WSquareRule",
    "ZBoxRule",
    "ZPlusRule",
    "ZeroRule",
    "__version__",
    "backend",
    "canonize",
    "conformance",
    "error_estimate",
    "errors",
    "exact",
    "from_torch",
    "heatmap",
    "layers",
    "load_digits",
    "load_model",
    "load_state",
    "save_model",
    "show_config",
    "strip_softmax",
]
