"""The gradient of a logit difference at all layers and sites, beside one forward pass."""

import torch

from interp_magics.engine.protocol import NoObjects, Quiet, Task
from interp_magics.program.language import Gradient, Ids, LogitDifference, Program, Row, Stage, Tap
from interp_magics.program.sites import SITES

from .checkpoint import reference_engine
from .pairs import interleaved, ratio, write

TOKENS = 128
NODES = tuple(site for site in SITES if site not in ("embed", "attn_pattern", "ln_final", "logits"))


def main() -> None:
    torch.set_num_threads(1)
    engine = reference_engine()
    ids = torch.randint(10, 30000, (TOKENS,), generator=torch.Generator().manual_seed(1)).tolist()
    gradient = Gradient(LogitDifference(7, 9), tuple(Tap(site) for site in NODES))
    model = engine._runner.model

    def ours() -> torch.Tensor:
        program = Program((Row(Ids(tuple(ids))),), (Stage((), (), (gradient,)),))
        outcome = engine.run([Task(program, NoObjects())], Quiet())[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome.gradients[0][0].readings[-1].values[0]["values"]

    def forward() -> None:
        with torch.inference_mode():
            model(input_ids=torch.tensor([ids]), use_cache=False, logits_to_keep=1)

    spent = interleaved({"ours": ours, "forward": forward})
    measured = {**ratio(spent["ours"], spent["forward"]), "floor": 3.0, "aim": 2.5}
    write("gradients", {"gradient at all layers and sites / forward pass": measured})


if __name__ == "__main__":
    main()
