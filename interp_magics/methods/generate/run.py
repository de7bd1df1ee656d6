"""A request for completions on a worker."""

from collections.abc import Sequence

from ...data import completions
from ...data.completions import Completion, CompletionMeta
from ...engine.protocol import Engine, Outcome
from ...program.language import Program
from ..finish import finished_rows, int32, provenance
from ..rows import alone
from . import plan
from .request import GenerateRequest


def programs(request: GenerateRequest, engine: Engine) -> tuple[Program, ...]:
    """No taps: only what is sampled."""
    return plan.programs(request, engine.card)


def result(request: GenerateRequest, outcomes: Sequence[Outcome], engine: Engine) -> bytes:
    """One completion for each text; a stop string ends its text before it."""
    made = []
    for i, row in enumerate(finished_rows(outcomes), request.first):
        origin = provenance(alone(request, i - request.first), engine)
        outcome = row.outcome
        prompt = engine.tokens.decode(outcome.token_ids[: outcome.prompt_length])
        text = cut(row.completion(engine.tokens), request.sampling.stop)
        meta = CompletionMeta(i, prompt, text, outcome.finish, outcome.prompt_length, origin)
        made.append(Completion(meta, int32(outcome.token_ids), int32(outcome.completion_ids)))
    return completions.encode(made)


def cut(text: str, stop: Sequence[str]) -> str:
    """`text` up to the first stop string in it."""
    return text[: min((place for s in stop if (place := text.find(s)) >= 0), default=len(text))]
