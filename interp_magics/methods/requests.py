"""The requests of all methods as one tagged union: what a client may ask of a pool."""

from .capture.request import CaptureRequest
from .comparison.request import ComparisonRequest
from .evaluate.request import EvaluateRequest
from .features.request import FeaturesRequest
from .generate.request import GenerateRequest
from .lens.request import LensRequest
from .program.request import ProgramRequest
from .search.request import SearchRequest
from .side_effects.request import SideEffectsRequest
from .steerability.request import SteerabilityRequest
from .tokenize.request import TokenizeRequest
from .train.request import TrainRequest
from .vector.request import VectorRequest

Request = (
    LensRequest
    | CaptureRequest
    | GenerateRequest
    | TokenizeRequest
    | ProgramRequest
    | VectorRequest
    | SteerabilityRequest
    | SideEffectsRequest
    | ComparisonRequest
    | TrainRequest
    | EvaluateRequest
    | FeaturesRequest
    | SearchRequest
)
