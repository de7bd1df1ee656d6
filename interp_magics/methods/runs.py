"""The run of each request, for workers."""

from collections.abc import Generator, Sequence
from types import ModuleType
from typing import cast

from ..engine.protocol import Engine, Objects, Outcome, Reading, RowOutcome
from ..program.language import Program
from .capture import run as capture
from .capture.request import CaptureRequest
from .comparison import run as comparison
from .comparison.request import ComparisonRequest
from .evaluate import run as evaluate
from .evaluate.request import EvaluateRequest
from .features import run as features
from .features.request import FeaturesRequest
from .generate import run as generate
from .generate.request import GenerateRequest
from .lens import run as lens
from .lens.request import LensRequest
from .program import run as program
from .program.request import ProgramRequest
from .requests import Request
from .search import run as search
from .search.request import SearchRequest
from .side_effects import run as side_effects
from .side_effects.request import SideEffectsRequest
from .steerability import run as steerability
from .steerability.request import SteerabilityRequest
from .tokenize import run as tokenize
from .tokenize.request import TokenizeRequest
from .train import run as train
from .train.request import TrainRequest
from .vector import run as vector
from .vector.request import VectorRequest

_RUNS: dict[type, ModuleType] = {
    LensRequest: lens,
    CaptureRequest: capture,
    GenerateRequest: generate,
    TokenizeRequest: tokenize,
    ProgramRequest: program,
    VectorRequest: vector,
    SteerabilityRequest: steerability,
    SideEffectsRequest: side_effects,
    ComparisonRequest: comparison,
    TrainRequest: train,
    EvaluateRequest: evaluate,
    FeaturesRequest: features,
    SearchRequest: search,
}


def programs(request: Request, engine: Engine) -> tuple[Program, ...]:
    """The programs of a request. Raises RequestError for what only the tokenizer can tell."""
    return cast(tuple[Program, ...], _RUNS[type(request)].programs(request, engine))


def result(request: Request, outcomes: Sequence[Outcome], engine: Engine) -> bytes:
    """The result of a request as a safetensors object, from the outcomes of its programs."""
    return cast(bytes, _RUNS[type(request)].result(request, outcomes, engine))


def works(request: Request) -> bool:
    """Whether there is long work after the passes, in `steps`, between which others may run."""
    return isinstance(request, TrainRequest | EvaluateRequest | FeaturesRequest | SearchRequest)


def steps(
    request: Request, outcomes: Sequence[Outcome], engine: Engine, objects: Objects
) -> Generator[None, None, bytes]:
    """That work, pausing now and then; what it returns is the result. (A training's goes on from what a worker holds.)"""
    made: Generator[None, None, bytes] = _RUNS[type(request)].steps(request, outcomes, engine, objects)
    return made


def partial(
    request: Request, number: int, rows: Sequence[RowOutcome], readings: Sequence[Reading], engine: Engine
) -> bytes | None:
    """What is there already of text `number` of a request that streams; None when rows of it hang together."""
    if not isinstance(request, LensRequest) or len(rows) != 1 or len(readings) != len(request.sites):
        return None
    return lens.partial(request, number, rows, readings, engine)
