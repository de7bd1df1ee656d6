"""interp-magics: programs on the reference engine, as a worker runs them."""

from interp_magics.engine.protocol import NoObjects, Task, collect
from interp_magics.engine.transformers_engine.load import load
from interp_magics.launch.config import ModelSpec
from interp_magics.program.language import Edit, Ids, Lens, Program, Raw, Row, Sampling, Stage, Tap
from interp_magics.program.operations import Add, Stored


class _Side:
    def __init__(self, path):
        self.engine = load(ModelSpec("reference", path, device="cpu"))

    def _run(self, prompts, tap, new=0):
        sampling = Sampling(new) if new else None
        rows = [Row(Ids(tuple(ids)), sampling) for ids in prompts.tolist()]
        return self._done([Task(Program((row,), (Stage((tap,)),)), NoObjects()) for row in rows])

    def _done(self, tasks):
        results = collect(self.engine, tasks)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return results

    def lens(self, ids):
        tap = Tap("resid_post", reduce=Lens(top_k=5, entropy=False, kl_final=False))
        outcomes = self._run(ids, tap)
        return sum(outcome.readings[0][0].values[0].top_logprobs.exp().sum() for outcome in outcomes)

    batch = lens

    def generate(self, ids, new):
        (outcome,) = self._run(ids, Tap("resid_post", reduce=Raw()), new)
        return outcome.readings[0][0].values[0]["values"][:-1].double().sum()

    def steer(self, prompts, new, layer, vector):
        return self.users(prompts, new, layer, [vector] * len(prompts))

    def users(self, prompts, new, layer, vectors):
        objects = NoObjects({("d", str(user)): vector for user, vector in enumerate(vectors)})
        tasks = []
        for user, ids in enumerate(prompts.tolist()):
            edit = Edit("resid_post", layer, Add(Stored("d", str(user))))
            row = Row(Ids(tuple(ids)), Sampling(new))
            tasks.append(Task(Program((row,), (Stage(edits=(edit,)),)), objects))
        return sum(sum(outcome.rows[0].completion_ids) for outcome in self._done(tasks))


side = _Side
