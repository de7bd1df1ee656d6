"""interp-magics: programs on the reference engine, as a worker runs them."""

from interp_magics.engine.protocol import NoObjects, Task, collect
from interp_magics.engine.transformers_engine.load import load
from interp_magics.launch.config import ModelSpec
from interp_magics.program.language import Edit, Ids, Lens, Program, Raw, Row, Sampling, Stage, Tap
from interp_magics.program.operations import Add, Stored


class _Side:
    def __init__(self, path):
        self.engine = load(ModelSpec("reference", path, device="cpu"))

    def _run(self, prompts, taps, edits=(), new=0, objects=None):
        sampling = Sampling(new) if new else None
        stage = Stage(tuple(taps), tuple(edits))
        rows = [Row(Ids(tuple(ids)), sampling) for ids in prompts.tolist()]
        tasks = [Task(Program((row,), (stage,)), objects or NoObjects()) for row in rows]
        results = collect(self.engine, tasks)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return results

    def lens(self, ids):
        tap = Tap("resid_post", reduce=Lens(top_k=5, entropy=False, kl_final=False))
        outcomes = self._run(ids, [tap])
        return sum(outcome.readings[0][0].values[0].top_logprobs.exp().sum() for outcome in outcomes)

    batch = lens

    def generate(self, ids, new):
        (outcome,) = self._run(ids, [Tap("resid_post", reduce=Raw())], new=new)
        return outcome.readings[0][0].values[0]["values"][:-1].double().sum()

    def steer(self, prompts, new, layer, vector):
        edit = Edit("resid_post", layer, Add(Stored("d", "v"), 1.0))
        outcomes = self._run(prompts, (), (edit,), new, NoObjects({("d", "v"): vector}))
        return sum(sum(outcome.rows[0].completion_ids) for outcome in outcomes)


side = _Side
