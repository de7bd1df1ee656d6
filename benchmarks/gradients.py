"""The gradient of a logit difference at all layers and sites, beside one forward pass; integrated gradients as one batch."""

import torch

from interp_magics.engine.protocol import NoObjects, Task, collect
from interp_magics.program.language import Edit, Gradient, Ids, LogitDifference, Program, Row, Stage, Tap
from interp_magics.program.operations import Interpolate, Stored
from interp_magics.program.sites import SITES

from .checkpoint import reference_engine
from .pairs import interleaved, ratio, write

TOKENS, SHORT, STEPS = 128, 16, 8
NODES = tuple(site for site in SITES if site not in ("embed", "attn_pattern", "ln_final", "logits"))


def main() -> None:
    torch.set_num_threads(1)
    engine = reference_engine()
    ids = torch.randint(10, 30000, (TOKENS,), generator=torch.Generator().manual_seed(1)).tolist()
    gradient = Gradient(LogitDifference(7, 9), tuple(Tap(site) for site in NODES))
    model = engine._runner.model

    def ours() -> torch.Tensor:
        program = Program((Row(Ids(tuple(ids))),), (Stage((), (), (gradient,)),))
        outcome = collect(engine, [Task(program, NoObjects())])[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome.gradients[0][0].readings[-1].values[0]["values"]

    def forward() -> None:
        with torch.inference_mode():
            model(input_ids=torch.tensor([ids]), use_cache=False, logits_to_keep=1)

    short, objects = tuple(ids[:SHORT]), NoObjects({("d", "zero"): torch.zeros(engine.card.d_model)})
    slope = Gradient(LogitDifference(7, 9), (Tap("embed"),))

    def integrate(shares: tuple[float, ...]) -> None:
        edits = [Edit("embed", 0, Interpolate(Stored("d", "zero"), x), rows=(i,)) for i, x in enumerate(shares)]
        program = Program(tuple(Row(Ids(short)) for _ in shares), (Stage((), tuple(edits), (slope,)),))
        outcome = collect(engine, [Task(program, objects)])[0]
        if isinstance(outcome, Exception):
            raise outcome

    steps = tuple((k + 0.5) / STEPS for k in range(STEPS))
    spent = interleaved(
        {
            "ours": ours,
            "forward": forward,
            "together": lambda: integrate(steps),
            "apart": lambda: [integrate((step,)) for step in steps],
        }
    )
    write(
        "gradients",
        {
            "gradient at all layers and sites / forward pass": {
                **ratio(spent["ours"], spent["forward"]),
                "floor": 3.0,
                "aim": 2.5,
            },
            f"integrated over {STEPS} steps, {SHORT} tokens / passes apart": {
                **ratio(spent["together"], spent["apart"]),
                "floor": 0.7,
                "aim": 0.5,
            },
        },
    )


if __name__ == "__main__":
    main()
