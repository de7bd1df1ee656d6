"""Lens of a 256-token prompt, all layers, k = 5, true probabilities and entropy, beside a plain per-layer loop."""

import torch

from interp_magics.engine import lens as kernel
from interp_magics.engine.protocol import NoObjects, Task, collect
from interp_magics.engine.readout import Readout
from interp_magics.program.language import Ids, Lens, Program, Row, Stage, Tap

from .checkpoint import reference_engine
from .pairs import interleaved, ratio, write

TOKENS, K = 256, 5


def main() -> None:
    torch.set_num_threads(1)
    engine = reference_engine()
    ids = torch.randint(10, 30000, (TOKENS,), generator=torch.Generator().manual_seed(1)).tolist()
    tap = Tap("resid_post", reduce=Lens(top_k=K, kl_final=False))
    program = Program((Row(Ids(tuple(ids))),), (Stage((tap,)),))
    model = engine._runner.model

    def ours() -> torch.Tensor:
        outcome = collect(engine, [Task(program, NoObjects())])[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome.readings[0][0].values[0].top_logprobs

    def plain() -> torch.Tensor:
        caught: list[torch.Tensor] = []
        hooks = [b.register_forward_hook(lambda m, a, o: caught.append(o)) for b in model.model.layers]
        made = []
        with torch.inference_mode():
            model(input_ids=torch.tensor([ids]), use_cache=False, logits_to_keep=1)
            for hidden in caught:
                logp = model.lm_head(model.model.norm(hidden[0])).log_softmax(-1)
                made.append((logp.topk(K), -(logp.exp() * logp).sum(-1)))
        for hook in hooks:
            hook.remove()
        return torch.stack([top.values for top, _ in made])

    assert (ours() - plain()).abs().max() < 1e-4
    spent = interleaved({"ours": ours, "plain": plain})
    layers, vocabulary = engine.card.layers, engine.card.vocabulary
    workspace = {f"workspace MB, {n} layers x {t} tokens x {v}": _workspace(n, t, v) / 1e6 for n, t, v in _SIZES}
    stacked = layers * TOKENS * vocabulary * 4
    write(
        "lens",
        {
            "lens / plain per-layer loop": {**ratio(spent["ours"], spent["plain"]), "floor": 1.0, "aim": 0.7},
            "CPU seconds, ours": float(sorted(spent["ours"])[7]),
            **workspace,
            "workspace / stacked logits (at most 0.1)": _workspace(layers, TOKENS, vocabulary) / stacked,
        },
    )


_SIZES = ((12, 256, 32000), (24, 256, 32000), (12, 1024, 32000), (12, 256, 128000))


def _workspace(layers: int, tokens: int, vocabulary: int) -> int:
    """Most bytes alive at once while decoding, beyond rows and weights."""
    hidden = torch.zeros(layers, tokens, 64)
    readout = Readout(torch.nn.Identity(), torch.zeros(vocabulary, 64), None, 1.0, None, vocabulary)
    source = kernel.Source(layers, tokens, lambda a, b: hidden[:, a:b], lambda a, b: hidden[-1, a:b])
    request = kernel.LensRequest(K, torch.tensor([], dtype=torch.long), True, False)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        made = kernel.decode(source, readout, request)
    live = most = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda e: e.start_ns()):
        if event.name() == "[memory]":
            live += event.nbytes()
            most = max(most, live)
    results = sum(v.nbytes for v in vars(made).values() if v is not None)
    return most - results


if __name__ == "__main__":
    main()
