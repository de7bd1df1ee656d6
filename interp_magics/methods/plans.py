"""The plan of each request, for whoever decides before anything runs: client and broker."""

from collections.abc import Sequence
from types import ModuleType

from ..errors import RequestError
from ..program.cards import ModelCard
from ..program.handles import Handle
from ..program.language import Text, replace, splices
from ..program.operations import ROWS_AT_ONCE
from .capture import plan as capture
from .capture.request import CaptureRequest
from .comparison import plan as comparison
from .comparison.request import ComparisonRequest
from .cost import Cost, layers_of
from .evaluate import plan as evaluate
from .evaluate.request import EvaluateRequest
from .features import plan as features
from .features.request import FeaturesRequest
from .generate import plan as generate
from .generate.request import GenerateRequest
from .lens import plan as lens
from .lens.request import LensRequest
from .program import plan as program
from .program.request import ProgramRequest
from .requests import Request
from .search import plan as search
from .search.request import SearchRequest
from .side_effects import plan as side_effects
from .side_effects.request import SideEffectsRequest
from .steerability import plan as steerability
from .steerability.request import SteerabilityRequest
from .tokenize import plan as tokenize
from .tokenize.request import TokenizeRequest
from .train import plan as train
from .train.request import TrainRequest
from .vector import plan as vector
from .vector.request import VectorRequest

_PLANS: dict[type, ModuleType] = {
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


def method(request: Request) -> str:
    """The name of a request's method."""
    return str(request.__struct_config__.tag)


def texts(request: Request) -> tuple[Text, ...]:
    """All texts of a request, in order."""
    return tuple(row.text for row in request.program.rows) if isinstance(request, ProgramRequest) else request.texts


def new_tokens(request: Request) -> int:
    """The most tokens that a row of a request generates."""
    if isinstance(request, ProgramRequest):
        samplings = [row.sampling for row in request.program.rows]
    else:
        samplings = [getattr(request, "sampling", None)]
    return max((s.max_new_tokens for s in samplings if s is not None), default=0)


def keep(request: Request) -> int:
    """For how many seconds the rows of a request are to be held."""
    return request.keep if isinstance(request, LensRequest | CaptureRequest) else 0


def kept(request: Request) -> Handle | None:
    """The held row that a request follows up."""
    return request.kept if isinstance(request, LensRequest | CaptureRequest) else None


def cuts(request: Request) -> bool:
    """Whether texts that are longer than the context are cut into pieces."""
    return isinstance(request, TrainRequest | EvaluateRequest | FeaturesRequest)


def near(request: Request) -> str:
    """The epoch of the worker process that holds what a request goes on from; "" for none."""
    if isinstance(request, TrainRequest):
        return request.epoch
    handle = kept(request)
    return handle.epoch if handle else ""


def captured(request: CaptureRequest, card: ModelCard) -> dict[str, tuple[int, ...]]:
    """The layers of each site that a capture reads."""
    return {site: layers_of(card, site, request.layers) for site in request.sites}


def validate(request: Request, card: ModelCard) -> None:
    """Raise RequestError for whatever the card can tell is wrong."""
    _PLANS[type(request)].validate(request, card)


def engines(request: Request, cards: Sequence[ModelCard]) -> tuple[str, str]:
    """Which engine of those that serve a model a request needs ("": any will do), and what the others say. Raises RequestError when
    none can run it, with the word of the one that can do most."""
    refused: dict[str, RequestError] = {}
    for card in cards:
        try:
            validate(request, card)
        except RequestError as error:
            refused[card.engine] = error
    able = [card.engine for card in cards if card.engine not in refused]
    if not able and cards:
        raise refused[ablest(cards).engine]
    why = "; ".join(f"{engine}: {error}" for engine, error in refused.items())
    return (able[0], why) if refused else ("", "")


def ablest(cards: Sequence[ModelCard]) -> ModelCard:
    """The card of the engine that can do most."""
    return max(cards, key=lambda card: (card.gradients, len(card.ops), len(card.sites)))


def least_able(one: ModelCard, other: ModelCard) -> ModelCard:
    """Of two cards of one engine that of the group that can do less."""
    return min(one, other, key=lambda card: (card.conditions, len(card.sites), card.context))


def cost(request: Request, card: ModelCard, tokens: Sequence[int]) -> Cost:
    """What a request costs, its texts having `tokens` tokens each."""
    made: Cost = _PLANS[type(request)].cost(request, card, tokens)
    return replace(
        made,
        flops=made.flops + _spliced(request, made.tokens),
        held_bytes=made.held_bytes + _latents_held(request, tokens),
    )


def _spliced(request: Request, tokens: int) -> float:
    """Floating-point operations of whole dictionaries among the edits: the encoder, and the decoder, twice where the error is kept."""
    forms = [(one.dictionary, 2 if one.error == "keep" else 1) for one in splices(request)]
    return sum(2.0 * tokens * form.latents * (form.width + decoded * form.out) for form, decoded in forms)


def _latents_held(request: Request, tokens: Sequence[int]) -> int:
    """Bytes of the latents that are held at once, at one splice after another."""
    return 8 * min(sum(tokens), ROWS_AT_ONCE) * max((one.dictionary.latents for one in splices(request)), default=0)


def check_size(cost_: Cost, limit: int) -> None:
    """Raise RequestError when the result would be larger than the pool allows."""
    if cost_.result_bytes > limit:
        raise RequestError(
            f"the result would have {cost_.result_bytes / 1e9:.2f} GB, the pool allows {limit / 1e9:.2f} GB; "
            "choose fewer layers, sites or positions, dtype='bfloat16', or reduce='moments'"
        )
