"""What each choice of the engine is worth: the same work with the choice and without it, in interleaved pairs."""

from collections.abc import Callable
from typing import Any

import torch
from transformers import DynamicCache

from interp_magics.engine import lens as kernel
from interp_magics.engine.execution import reading
from interp_magics.engine.protocol import NoObjects, Task, collect
from interp_magics.engine.transformers_engine import loop
from interp_magics.program.language import Generated, Ids, Lens, Positions, Program, Row, Sampling, Stage, Tap

from .checkpoint import reference_engine
from .pairs import interleaved, ratio, write
from .regime import _forget, _peak

PROMPT, NEW, ROUNDS = 1000, 30, 5


def _task(prompt: int, new: int, positions: Positions | None = None) -> Task:
    ids = torch.randint(10, 30000, (prompt,), generator=torch.Generator().manual_seed(1)).tolist()
    tap = Tap("resid_post", reduce=Lens(top_k=5), **({} if positions is None else {"positions": positions}))
    row = Row(Ids(tuple(ids)), Sampling(new) if new else None)
    return Task(Program((row,), (Stage((tap,)),)), NoObjects())


def _with(module: Any, name: str, value: Any, run: Callable[[], Any]) -> Callable[[], Any]:
    """`run` while a module's setting is another."""

    def changed() -> Any:
        usual = getattr(module, name)
        setattr(module, name, value)
        try:
            return run()
        finally:
            setattr(module, name, usual)

    return changed


def _rise(run: Callable[[], Any]) -> float:
    run()
    held = _forget()
    run()
    return round((_peak() - held) / 1e6, 1)


def main() -> None:
    torch.set_num_threads(1)
    engine = reference_engine()
    measured: dict[str, Any] = {}

    long, prompt = _task(PROMPT, NEW, Generated()), _task(768, 0)
    choices: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {}

    def generate() -> Any:
        return collect(engine, [long])

    def lens() -> Any:
        return collect(engine, [prompt])

    concatenating = _with(loop, "new_cache", lambda config: DynamicCache(config=config), generate)
    choices["a cache that grows / one that concatenates"] = (generate, concatenating)
    at_once = _with(reading, "WAITING", 0, generate)
    choices["decoding later in chunks / after every step"] = (generate, at_once)
    whole = _with(kernel, "VOCABULARY_PER_TILE", 1 << 20, lens)
    choices["vocabulary in tiles / whole rows of logits"] = (lens, whole)
    held = _with(reading, "WAITING", 1 << 40, _with(reading, "HELD_BYTES", 1 << 50, lens))
    choices["letting go of what is decoded / holding it"] = (lens, held)
    for name, (ours, without) in choices.items():
        spent = interleaved({"ours": ours, "without": without}, ROUNDS)
        found = ratio(spent["ours"], spent["without"])
        measured[name] = {**found, "rise_mb": _rise(ours), "rise_mb_without": _rise(without), "floor": 1.0, "aim": 1.0}
    write("ablations", measured)


if __name__ == "__main__":
    main()
