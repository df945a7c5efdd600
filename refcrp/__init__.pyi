"""The public names, and where they live; `refcrp/__init__.py` reads this file."""

from refcrp import conformance, errors, layers
from refcrp.arrays import exact
from refcrp.building import Parallel, Residual, Sequential
from refcrp.canonization import canonize, flatten, strip_softmax
from refcrp.composite import Composite
from refcrp.concept import ChannelConcept, Concept, NeuronConcept, SubspaceConcept
from refcrp.concepts.atlas import ConceptAtlas, concept_atlas
from refcrp.concepts.comparison import PrototypeComparison
from refcrp.concepts.curves import FlippingCurve
from refcrp.concepts.flipping import concept_flipping
from refcrp.concepts.graph import attribution_graph
from refcrp.concepts.graph_result import AttributionGraph
from refcrp.concepts.local import LocalConcepts, local_concepts
from refcrp.concepts.localisation import mass_accuracy, pointing_game, rank_accuracy
from refcrp.concepts.measures import Conservation, complexity, conservation, sparseness
from refcrp.concepts.perturbation import pixel_flipping
from refcrp.concepts.pictures import concept_grid
from refcrp.concepts.prototypes import Prototypes
from refcrp.concepts.receptive import receptive_field
from refcrp.concepts.references import ReferenceSamples
from refcrp.concepts.report import Report, report
from refcrp.concepts.sources import HDF5Data
from refcrp.concepts.vectors import ConceptVectors, concept_vectors
from refcrp.crp import CRP
from refcrp.datasets import load_digits, load_references
from refcrp.dialects import DIALECTS, Dialect
from refcrp.errors import RefcrpError
from refcrp.estimates import ErrorEstimate, error_estimate
from refcrp.explanation import Explanation
from refcrp.heatmaps import heatmap
from refcrp.input_rules import FlatRule, WSquareRule, ZBoxRule
from refcrp.io import load_model, save_model
from refcrp.io.state import load_state
from refcrp.io.torch import from_torch
from refcrp.kernels import backend, show_config
from refcrp.layers import ConvLayer, DropoutLayer, NormalizationLayer, PoolingLayer, ReshapingLayer
from refcrp.ledger import Ledger
from refcrp.lrp import LRP
from refcrp.model import Graph, Model
from refcrp.model_check import ModelCheck, check_model
from refcrp.normalization import Normalization
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
    GammaRule,
    GeneralizedGammaRule,
    LayerNormRule,
    PassRule,
    ZeroRule,
    ZPlusRule,
)
from refcrp.selection import (
    GivenFeatures,
    IndexedFeatures,
    IndexSelector,
    MaxActivationSelector,
    TopNFeatures,
)
from refcrp.trace import Trace

__version__: str

__all__ = [
    "CRP",
    "DIALECTS",
    "LRP",
    "AlphaBetaRule",
    "AttributionGraph",
    "ChannelConcept",
    "Composite",
    "Concept",
    "ConceptAtlas",
    "ConceptVectors",
    "Conservation",
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
    "FlippingCurve",
    "GammaRule",
    "GeneralizedGammaRule",
    "GivenFeatures",
    "GlobalMap",
    "GlobalTypeMap",
    "Graph",
    "HDF5Data",
    "IndexSelector",
    "IndexedFeatures",
    "LastLayerMap",
    "LastLayerTypeMap",
    "LayerMap",
    "LayerNormRule",
    "Ledger",
    "LocalConcepts",
    "MaxActivationSelector",
    "Model",
    "ModelCheck",
    "NeuronConcept",
    "Normalization",
    "NormalizationLayer",
    "Parallel",
    "PassRule",
    "PoolingLayer",
    "PrototypeComparison",
    "Prototypes",
    "RangeMap",
    "RangeTypeMap",
    "RefcrpError",
    "ReferenceSamples",
    "Report",
    "ReshapingLayer",
    "Residual",
    "Rule",
    "Sequential",
    "Share",
    "SubspaceConcept",
    "TopNFeatures",
    "Trace",
    "WSquareRule",
    "ZBoxRule",
    "ZPlusRule",
    "ZeroRule",
    "__version__",
    "attribution_graph",
    "backend",
    "canonize",
    "check_model",
    "complexity",
    "concept_atlas",
    "concept_flipping",
    "concept_grid",
    "concept_vectors",
    "conformance",
    "conservation",
    "error_estimate",
    "errors",
    "exact",
    "flatten",
    "from_torch",
    "heatmap",
    "layers",
    "load_digits",
    "load_model",
    "load_references",
    "load_state",
    "local_concepts",
    "mass_accuracy",
    "pixel_flipping",
    "pointing_game",
    "rank_accuracy",
    "receptive_field",
    "report",
    "save_model",
    "show_config",
    "sparseness",
    "strip_softmax",
]
