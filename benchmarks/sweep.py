"""A steering sweep over layers and scales at the last position: as one program, whose rows share the prompt, beside the same
rows as programs of their own, which are batched but share nothing."""

import torch

from interp_magics.engine.protocol import NoObjects, Task, collect
from interp_magics.program.language import Edit, Ids, Last, Program, Raw, Row, Stage, Tap
from interp_magics.program.operations import Add, Stored

from .checkpoint import reference_engine
from .pairs import interleaved, write

PROMPT, SCALES = 200, (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)


def main() -> None:
    torch.set_num_threads(1)
    engine = reference_engine()
    ids = tuple(torch.randint(10, 30000, (PROMPT,), generator=torch.Generator().manual_seed(1)).tolist())
    objects = NoObjects({("d", "x"): torch.randn(engine.card.d_model)})
    points = [(layer, scale) for layer in range(engine.card.layers) for scale in SCALES]
    edits = [Edit("resid_post", layer, Add(Stored("d", "x"), scale), positions=Last()) for layer, scale in points]
    taps = (Tap("logits", positions=Last(), reduce=Raw()),)
    alone = [Task(Program((Row(Ids(ids)),), (Stage(taps, (edit,)),)), objects) for edit in edits]
    numbered = tuple(Edit(e.site, e.layer, e.op, positions=e.positions, rows=(row,)) for row, e in enumerate(edits))
    sweep = Task(Program((Row(Ids(ids)),) * len(edits), (Stage(taps, numbered),)), objects)
    spent = interleaved({"sweep": lambda: collect(engine, [sweep]), "apart": lambda: collect(engine, alone)}, rounds=5)
    faster = sorted(spent["apart"] / spent["sweep"])[len(spent["sweep"]) // 2]
    write("sweep", {f"{len(points)} points of {PROMPT} tokens: apart / sweep": float(faster)})


if __name__ == "__main__":
    main()
