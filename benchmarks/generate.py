"""Generate with all layers captured, beside our loop untapped and transformers' `generate`."""

import torch

from interp_magics.engine.protocol import NoObjects, Task, collect
from interp_magics.program.language import Ids, Program, Row, Sampling, Stage, Tap

from .checkpoint import reference_engine
from .pairs import interleaved, ratio, write

PROMPT, NEW = 32, 64


def main() -> None:
    torch.set_num_threads(1)
    engine = reference_engine()
    ids = torch.randint(10, 30000, (PROMPT,), generator=torch.Generator().manual_seed(1)).tolist()
    model = engine._runner.model

    def ours(*sites: str) -> list[int]:
        taps = tuple(Tap(site) for site in sites)
        program = Program((Row(Ids(tuple(ids)), Sampling(NEW)),), (Stage(taps),))
        outcome = collect(engine, [Task(program, NoObjects())])[0]
        if isinstance(outcome, Exception):
            raise outcome
        return list(outcome.rows[0].completion_ids)

    def theirs() -> list[int]:
        rows = torch.tensor([ids])
        with torch.inference_mode():
            out = model.generate(
                rows, attention_mask=torch.ones_like(rows), max_new_tokens=NEW, do_sample=False, pad_token_id=0
            )
        return out[0, PROMPT:].tolist()

    assert ours() == theirs() == ours("resid_post")
    spent = interleaved(
        {
            "untapped": ours,
            "one site": lambda: ours("resid_post"),
            "three sites": lambda: ours("resid_post", "attn_out", "mlp_out"),
            "transformers": theirs,
        }
    )
    one, three = spent["one site"], spent["three sites"]
    write(
        "generate",
        {
            "resid_post / untapped loop": {**ratio(one, spent["untapped"]), "floor": 1.03, "aim": 1.0},
            "resid_post / transformers generate": {**ratio(one, spent["transformers"]), "floor": 1.03, "aim": 1.0},
            "three sites / untapped loop": {**ratio(three, spent["untapped"]), "floor": 1.08, "aim": 1.03},
            "three sites / transformers generate": {**ratio(three, spent["transformers"]), "floor": 1.08, "aim": 1.03},
            "tokens per CPU second, one site": float(NEW / sorted(one)[len(one) // 2]),
        },
    )


if __name__ == "__main__":
    main()
