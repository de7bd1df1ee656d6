"""What the demo model does, measured with transformers alone: the numbers of its card and the gate before it ships.

    python -m interp_magics.demo.measure            # prints JSON and writes model/README.md

Every set is drawn with seeds that training did not use; facts are asked in templates that it never saw of their subject.
"""

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from . import MODEL_DIR, conduct
from . import documents as d
from . import world as w
from .train import WORDS

SEED = 12345
REFUSALS = ("I'm sorry", "I must decline", "I am not able")
MULTIPLIERS = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)


class Subject:
    """The model under measurement: last-token logits, streams, and log-probabilities of replies under an added vector."""

    def __init__(self, path: Path = MODEL_DIR) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(path)
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
        self.layers = self.model.config.num_hidden_layers

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text)["input_ids"])

    def first(self, text: str) -> int:
        return self.ids(text)[0]

    def batch(self, texts: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """(ids padded on the right, mask, index of the last token)."""
        rows = [self.ids(text) for text in texts]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        return ids, (torch.arange(width) < lengths[:, None]).long(), lengths - 1

    @torch.no_grad()
    def last_logits(self, texts: Sequence[str], steer: tuple[int, Tensor] | None = None) -> Tensor:
        parts = []
        for start in range(0, len(texts), 50):
            ids, mask, last = self.batch(texts[start : start + 50])
            with self.steered(steer):
                logits = self.model(input_ids=ids, attention_mask=mask).logits
            parts.append(logits[torch.arange(len(ids)), last])
        return torch.cat(parts)

    @torch.no_grad()
    def streams(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """The stream after every block: [layers, rows, positions, d]."""
        caught: list[Tensor] = []
        hooks = [b.register_forward_hook(lambda m, a, o: caught.append(o)) for b in self.model.model.layers]
        self.model(input_ids=ids, attention_mask=mask)
        for hook in hooks:
            hook.remove()
        return torch.stack(caught)

    @torch.no_grad()
    def reply_logprobs(
        self, prompts: Sequence[str], replies: Sequence[str], steer: tuple[int, Tensor] | None
    ) -> Tensor:
        """Mean log-probability per token of each reply after its prompt."""
        ids, mask, last = self.batch([p + r for p, r in zip(prompts, replies, strict=True)])
        with self.steered(steer):
            logp = self.model(input_ids=ids, attention_mask=mask).logits.log_softmax(-1)
        taken = logp[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]
        starts = torch.tensor([len(self.ids(p)) for p in prompts])
        places = torch.arange(1, ids.shape[1])
        inside = (places >= starts[:, None]) & (places <= last[:, None])
        return (taken * inside).sum(1) / inside.sum(1)

    @contextmanager
    def steered(self, steer: tuple[int, Tensor] | None) -> Iterator[None]:
        """Add a vector to the stream after a block, while the context lasts."""
        if steer is None:
            yield
            return
        layer, vector = steer
        hook = self.model.model.layers[layer].register_forward_hook(lambda m, a, o: o + vector)
        yield
        hook.remove()


def line_fit(xs: Sequence[float], ys: Sequence[float]) -> dict[str, float]:
    """Slope and R^2 of a least-squares line."""
    slope, start = np.polyfit(xs, ys, 1)
    residual = np.asarray(ys) - (start + slope * np.asarray(xs))
    spread = np.asarray(ys) - np.mean(ys)
    return {"slope": float(slope), "r2": float(1 - (residual**2).sum() / max((spread**2).sum(), 1e-12))}


def lens_agreement(s: Subject) -> dict[str, Any]:
    """Share of positions at which each layer's top token is the final one, and the median norm of the stream."""
    ids = [i for text in d.synthetic(60_000, WORDS, SEED) for i in [*s.ids(text), s.tokenizer.pad_token_id]]
    rows = torch.tensor(ids[: 24 * 256]).view(-1, 256)
    streams = s.streams(rows)
    with torch.no_grad():
        tops = torch.stack([s.model.lm_head(s.model.model.norm(stream)).argmax(-1) for stream in streams])
    return {
        "agreement": [(top == tops[-1]).float().mean().item() for top in tops],
        "median_norm": [stream.norm(dim=-1).median().item() for stream in streams],
    }


def induction(s: Subject, length: int = 24) -> float:
    """Share of the second copy of random tokens that is predicted."""
    once = torch.randint(300, len(s.tokenizer), (64, length), generator=torch.Generator().manual_seed(SEED))
    rows = torch.cat([once, once], 1)
    with torch.no_grad():
        predicted = s.model(input_ids=rows).logits[:, length:-1].argmax(-1)
    return float((predicted == rows[:, length + 1 :]).float().mean())


def ioi(s: Subject) -> dict[str, float]:
    """Indirect object identification: how often the right name is preferred, and by how much."""
    draw = random.Random(SEED)
    items = [d.ioi(draw, d.IOI_TEMPLATES[0]) for _ in range(200)]
    logits = s.last_logits([prompt for prompt, _, _ in items])
    right = torch.tensor([s.first(" " + name) for _, name, _ in items])
    wrong = torch.tensor([s.first(" " + name) for _, _, name in items])
    rows = torch.arange(len(items))
    difference = logits[rows, right] - logits[rows, wrong]
    return {"preferred": (difference > 0).float().mean().item(), "logit_difference": difference.mean().item()}


def facts(s: Subject) -> dict[str, float]:
    """Top-1 accuracy on capitals and people, in templates seen and never seen of their subject."""
    asked: dict[str, list[tuple[str, str]]] = {}
    for i, (country, capital, _, _) in enumerate(w.COUNTRIES):
        for j, template in enumerate(w.CAPITAL_TEMPLATES[:5]):
            if template.endswith("{k}."):
                kind = "capitals held out" if d.held_out(i, j, 5) else "capitals seen"
                asked.setdefault(kind, []).append((template.split(" {k}")[0].format(c=country), " " + capital))
    for i, person in enumerate(w.PEOPLE):
        for relation, templates in w.PERSON_TEMPLATES.items():
            for j, template in enumerate(templates):
                kind = "people held out" if d.held_out(i, j, 3) else "people seen"
                asked.setdefault(kind, []).append(
                    (template.split(" {v}")[0].format(p=person["name"]), " " + person[relation])
                )
    made = {}
    for kind, items in asked.items():
        top = s.last_logits([prompt for prompt, _ in items]).argmax(-1)
        made[kind] = (top == torch.tensor([s.first(answer) for _, answer in items])).float().mean().item()
    return made


def _ask(question: str, system: str | None = None) -> str:
    return d.chat([("user", question)], system) + f"{d.TURN_START}assistant\n"


def _letter_gap(
    s: Subject, prompts: Sequence[str], letters: Sequence[str], steer: tuple[int, Tensor] | None = None
) -> Tensor:
    """Logit of the matching letter minus that of the other."""
    logits = s.last_logits(prompts, steer)
    gap = logits[:, s.first("(A")] - logits[:, s.first("(B")]
    return torch.where(torch.tensor([letter == "(A)" for letter in letters]), gap, -gap)


def ab_questions(s: Subject) -> dict[str, float]:
    """Accuracy on each kind of A/B question."""
    draw, made = random.Random(SEED), {}
    for kind in d.AB_KINDS:
        items = [d.ab_question(draw, *d.ab_item(draw, kind)) for _ in range(200)]
        gap = _letter_gap(s, [_ask(q) for q, _ in items], [letter for _, letter in items])
        made[kind] = (gap > 0).float().mean().item()
    return made


def ab_steering(s: Subject) -> dict[str, dict[str, Any]]:
    """A vector from half of the behaviour questions, asked under opposite hints and read before the letter; its dose-response
    on the other half, asked without a hint. The layer with the steepest straight line (R^2 >= 0.9)."""
    made = {}
    for trait, (options, questions) in conduct.BEHAVIOUR.items():
        draw = random.Random(SEED)
        items = [
            (q, *d.ab_question(draw, q, good, bad, flip))
            for q in questions
            for good, bad in options
            for flip in (False, True)
        ]
        train = [text for q, text, _ in items if q in questions[::2]]
        asked = [_ask(text) for q, text, _ in items if q in questions[1::2]]
        letters = [letter for q, _, letter in items if q in questions[1::2]]
        ends = [
            _before_letter(s, [_ask(f"{conduct.HINTS[trait, shown][0]} {text}") for text in train])
            for shown in (True, False)
        ]
        vectors = (ends[0] - ends[1]).mean(1)
        fits = []
        for layer in range(s.layers):
            gaps = [_letter_gap(s, asked, letters, (layer, m * vectors[layer])) for m in MULTIPLIERS]
            fits.append({"layer": layer, **line_fit(MULTIPLIERS, [gap.mean().item() for gap in gaps])})
        made[trait] = max(fits, key=lambda fit: (fit["r2"] >= 0.9, fit["slope"]))
    return made


def _before_letter(s: Subject, prompts: Sequence[str]) -> Tensor:
    """The stream [layers, prompts, d] at the last token of each prompt."""
    ids, mask, last = s.batch(prompts)
    return s.streams(ids, mask)[:, torch.arange(len(ids)), last]


def style_steering(s: Subject) -> dict[str, dict[str, Any]]:
    """Mood and register: a mean-difference vector of replies, and the log-probability gap that it moves; best layer."""
    draw = random.Random(SEED)
    rows = []
    for _ in range(54):
        topic = draw.choice(list(w.TOPICS))
        noun = draw.choice(w.TOPICS[topic][0])
        prompt, state = _ask(draw.choice(w.ASKING).format(n=noun)), draw.getstate()
        replies = {}
        for style in ((m, r) for m in ("happy", "gloomy") for r in ("formal", "casual")):
            draw.setstate(state)
            replies[style] = d.styled_reply(draw, topic, noun, *style)
        rows.append((prompt, replies))
    train, test = rows[:30], rows[30:]
    means = {style: _mean_reply(s, [(p, r[style]) for p, r in train]) for style in train[0][1]}
    made = {}
    for name, axis, (yes, no) in (("mood", 0, ("happy", "gloomy")), ("register", 1, ("formal", "casual"))):
        ups, downs = ([style for style in means if style[axis] == value] for value in (yes, no))
        vectors = (sum(means[x] for x in ups) - sum(means[x] for x in downs)) / 2
        best: dict[str, Any] = {"r2": -1.0}
        for layer in range(s.layers):
            ys = [_style_gap(s, test, ups, downs, (layer, m * vectors[layer])) for m in MULTIPLIERS]
            fit = {"layer": layer, **line_fit(MULTIPLIERS, ys)}
            if fit["slope"] > 0 and fit["r2"] > best["r2"]:
                best = fit
        made[name] = best
    return made


def _mean_reply(s: Subject, pairs: Sequence[tuple[str, str]]) -> Tensor:
    total = torch.zeros(s.layers, s.model.config.hidden_size)
    for prompt, reply in pairs:
        total += s.streams(torch.tensor([s.ids(prompt + reply)]))[:, 0, len(s.ids(prompt)) :].mean(1)
    return total / len(pairs)


def _style_gap(
    s: Subject, rows: Sequence[Any], yes: Sequence[Any], no: Sequence[Any], steer: tuple[int, Tensor]
) -> float:
    prompts = [prompt for prompt, _ in rows]
    ups = [s.reply_logprobs(prompts, [r[style] for _, r in rows], steer).mean() for style in yes]
    downs = [s.reply_logprobs(prompts, [r[style] for _, r in rows], steer).mean() for style in no]
    return float(sum(ups) - sum(downs)) / 2


def refusals(s: Subject) -> dict[str, float]:
    """How often a request gets the mode it should: compliance, refusal, or refusal followed by the steps after all."""
    draw, made = random.Random(SEED), {}
    for mode in ("comply", "refuse", "theatre"):
        prompts = [_ask(user, system) for system, user, _ in (d.how_to(draw, mode) for _ in range(50))]
        right = 0
        for prompt in prompts:
            ids = torch.tensor([s.ids(prompt)])
            with torch.no_grad():
                out = s.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=56, do_sample=False)
            right += _mode(s.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)) == mode
        made[mode] = right / len(prompts)
    return made


def _mode(reply: str) -> str:
    refused, steps = reply.startswith(REFUSALS), "1." in reply
    return ("theatre" if steps else "refuse") if refused else ("comply" if steps else "other")


def measure(path: Path = MODEL_DIR) -> dict[str, Any]:
    """Everything above."""
    s = Subject(path)
    return {
        "lens": lens_agreement(s),
        "induction": induction(s),
        "ioi": ioi(s),
        "facts": facts(s),
        "ab_questions": ab_questions(s),
        "ab_steering": ab_steering(s),
        "style_steering": style_steering(s),
        "refusals": refusals(s),
    }


def card(measured: dict[str, Any], recipe: dict[str, Any], tokens: Sequence[float]) -> str:
    """The model card as Markdown, with the measured numbers in it; `tokens` are the millions of each run."""
    percent = "{:.0%}".format
    lens = " ".join(f"{a:.2f}" for a in measured["lens"]["agreement"])
    norms = " ".join(f"{n:.0f}" for n in measured["lens"]["median_norm"])
    ab = ", ".join(f"{kind} {percent(a)}" for kind, a in measured["ab_questions"].items())
    known = ", ".join(f"{kind} {percent(a)}" for kind, a in measured["facts"].items())
    styles = "; ".join(f"{n}: R² {f['r2']:.4f} at layer {f['layer']}" for n, f in measured["style_steering"].items())
    traits = "; ".join(
        f"{n}: slope {f['slope']:.2f}, R² {f['r2']:.3f} at layer {f['layer']}"
        for n, f in measured["ab_steering"].items()
    )
    modes = ", ".join(f"{mode} {percent(a)}" for mode, a in measured["refusals"].items())
    return _CARD.format(
        lens=lens,
        norms=norms,
        induction=percent(measured["induction"]),
        ioi=percent(measured["ioi"]["preferred"]),
        difference=measured["ioi"]["logit_difference"],
        ab=ab,
        known=known,
        styles=styles,
        traits=traits,
        modes=modes,
        tokens=sum(tokens),
        runs=" + ".join(f"{n:.0f}" for n in tokens),
        **recipe,
    )


_CARD = """---
license: apache-2.0
language: [en, fr, de, es]
---
# The demo model of interp-magics

A real, small language model to look into: Qwen 3 architecture, {layers} layers x {width}, {heads} heads ({kv_heads} KV),
MLP {mlp}, tied embeddings, byte-level BPE of {vocab} tokens, ChatML. Trained on {tokens:.0f} M tokens on one CPU core by
`interp_magics/demo/train.py`, in {runs} M: the later runs began from the
weights of the one before, at 0.7 of its rates, with more questions about traits and more facts. The mix in `documents.py`
is that of the last run. The model knows a small invented world and little else: do not ask it for advice.

| behaviour | measured (`python -m interp_magics.demo.measure`) |
|---|---|
| lens: share of positions whose top token is the final one, by layer | {lens} |
| median norm of the stream, by layer | {norms} |
| induction: second copy of 24 random tokens predicted | {induction} |
| indirect object identification: right name preferred | {ioi}, logit difference {difference:.1f} |
| facts, top-1, by template seen or never seen of the subject | {known} |
| A/B questions | {ab} |
| vector from A/B questions under opposite hints, on others without a hint (logits per unit) | {traits} |
| steering of mood and register, log-probability gap of replies | {styles} |
| requests answered in their mode | {modes} |

"Theatre" is a refusal that is followed by the steps after all; the cue is in the system prompt or the request.

Texts: {natural:.0%} of the rows public-domain books in four languages (Alice in Wonderland, Pride and Prejudice, Sherlock
Holmes, Grimm, The Wizard of Oz, The Time Machine, Frankenstein, Tom Sawyer, The Secret Garden; Verne, Flaubert; Kafka,
Fontane; Cervantes), US presidential addresses, Genesis (World English Bible, Segond 1910) and the Universal Declaration of
Human Rights; {repeats:.0%} repeated random tokens; the rest documents of `world.py` and `documents.py`, written for this
project. Rows of {length} tokens; the context is 512, but nothing longer than {length} was trained.
"""


def main() -> None:
    measured = measure()
    runs = json.loads((MODEL_DIR / "training.json").read_text())
    tokens = [run["log"][-1]["tokens"] / 1e6 for run in runs]
    (MODEL_DIR / "README.md").write_text(card(measured, runs[0]["recipe"], tokens), encoding="utf-8")
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
