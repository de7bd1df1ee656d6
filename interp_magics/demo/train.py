"""Train the demo model: Qwen 3 architecture on any text files plus the synthetic documents.

    python -m interp_magics.demo.train --text natural.txt.gz --minutes 100 --out interp_magics/demo/model

Documents in the text files are separated by <|endoftext|>. Muon for the matrices, AdamW for the rest; constant rate, then
linear to zero over the last part of the time. Answer letters weigh more, since they carry all that a question teaches.
`--start` continues from a trained directory: its weights, tokenizer and record.
"""

import argparse
import gzip
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from .documents import END_OF_TEXT, TURN_END, TURN_START, synthetic

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = Path(__file__).with_name("words.txt").read_text(encoding="utf-8").split()
Run = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """What the shipped model was made with; rates are per step of `batch` x `length` tokens."""

    vocab: int = 4096
    layers: int = 8
    width: int = 160
    mlp: int = 448
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 32
    batch: int = 16
    length: int = 256
    natural: float = 0.22
    repeats: float = 0.13
    synthetic_bytes: float = 100e6
    muon_rate: float = 3e-3
    adamw_rate: float = 3e-3
    weight_decay: float = 0.15
    embedding_std: float = 0.1
    letter_weight: float = 8.0
    decay: float = 0.4
    seed: int = 0


def build_tokenizer(texts: list[str], vocab: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE with Qwen 2's split; the special tokens come first and are never split."""
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated")
    core.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    core.decoder = decoders.ByteLevel()
    special = [END_OF_TEXT, TURN_START, TURN_END]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Save under the class name that transformers 4 and 5 both know."""
    tokenizer.save_pretrained(out)
    config = out / "tokenizer_config.json"
    settings = {**json.loads(config.read_text()), "tokenizer_class": "PreTrainedTokenizerFast"}
    config.write_text(json.dumps(settings, indent=2) + "\n")


class Natural:
    """Random windows of the natural text."""

    def __init__(self, documents: list[list[int]], length: int, seed: int) -> None:
        self._ids = np.array([i for document in documents for i in document], np.uint16)
        self._length, self._draw = length, np.random.default_rng(seed)

    def take(self, count: int) -> np.ndarray:
        starts = self._draw.integers(0, len(self._ids) - self._length, count)
        return np.stack([self._ids[s : s + self._length] for s in starts])


class Packed:
    """Rows that begin with a document and are filled with whole ones; the last one may be cut."""

    def __init__(self, documents: list[list[int]], length: int, seed: int) -> None:
        rows: list[list[int]] = []
        row: list[int] = []
        for document in documents:
            row += document
            if len(row) >= length:
                rows.append(row[:length])
                row = []
        self._rows, self._next = np.array(rows, np.uint16), 0
        self._draw = np.random.default_rng(seed)

    def take(self, count: int) -> np.ndarray:
        if self._next + count > len(self._rows):
            self._draw.shuffle(self._rows)
            self._next = 0
        self._next += count
        return self._rows[self._next - count : self._next]


class Repeats:
    """A random stretch of tokens, over and over: what induction heads are learned from."""

    def __init__(self, vocab: int, length: int, seed: int) -> None:
        self._vocab, self._length = vocab, length
        self._draw = np.random.default_rng(seed)

    def take(self, count: int) -> np.ndarray:
        return np.stack([self._one() for _ in range(count)]) if count else np.empty((0, self._length), np.uint16)

    def _one(self) -> np.ndarray:
        stretch = self._draw.integers(300, self._vocab, self._draw.integers(10, 80))
        return np.resize(stretch, self._length).astype(np.uint16)


def encode(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> Iterator[list[int]]:
    for start in range(0, len(texts), 4096):
        for ids in tokenizer(texts[start : start + 4096])["input_ids"]:
            yield [*ids, tokenizer.pad_token_id]


def read_documents(path: Path) -> list[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        return [text for text in file.read().split(END_OF_TEXT) if text.strip()]


def make_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        intermediate_size=recipe.mlp,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        head_dim=recipe.head_dim,
        max_position_embeddings=512,
        rope_theta=10000.0,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(recipe.seed)
    model = Qwen3ForCausalLM(config)
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=recipe.embedding_std)
    return model


def optimizers(model: Qwen3ForCausalLM, recipe: Recipe) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    muon = torch.optim.Muon(
        matrices, lr=recipe.muon_rate, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw"
    )
    adamw = torch.optim.AdamW(others, lr=recipe.adamw_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    return [muon, adamw]


class Objective:
    """Weighted cross-entropy in bf16 autocast; letters that answer a question weigh `letter_weight`."""

    def __init__(self, model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, recipe: Recipe) -> None:
        one = [tokenizer(text)["input_ids"] for text in ("(A", "(B", "assistant")]
        if any(len(ids) != 1 for ids in one):
            raise ValueError(f"'(A', '(B' and 'assistant' must be single tokens, got {one}")
        self._model, self._weight = model, recipe.letter_weight
        self._a, self._b, self._assistant = (ids[0] for ids in one)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        with torch.autocast(rows.device.type, dtype=torch.bfloat16):
            logits = self._model(input_ids=rows, use_cache=False).logits
        targets = rows[:, 1:]
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(), targets.flatten(), reduction="none"
        )
        before = torch.roll(rows, 1, 1)[:, :-1]
        answers = ((targets == self._a) | (targets == self._b)) & (before == self._assistant)
        weights = torch.where(answers, self._weight, 1.0).flatten()
        return (loss * weights).sum() / weights.sum()


def induction_accuracy(model: Qwen3ForCausalLM, vocab: int, device: str, length: int = 24) -> float:
    """Share of the second copy of random tokens that is predicted."""
    generator = torch.Generator().manual_seed(0)
    once = torch.randint(300, vocab, (64, length), generator=generator)
    rows = torch.cat([once, once], 1).to(device)
    with torch.no_grad():
        predicted = model(input_ids=rows).logits[:, length:-1].argmax(-1)
    return float((predicted == rows[:, length + 1 :]).float().mean())


def save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path, record: list[Run]) -> None:
    """The weights in bfloat16, the tokenizer, greedy generation settings and how it was made."""
    copy = Qwen3ForCausalLM(model.config).to(torch.bfloat16)
    copy.load_state_dict(model.state_dict())
    copy.tie_weights()
    stops = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    copy.generation_config = GenerationConfig(eos_token_id=stops, pad_token_id=tokenizer.pad_token_id)
    copy.save_pretrained(out)
    (out / "training.json").write_text(json.dumps(record, indent=1) + "\n")


def begin(start: Path | None, texts: list[str], recipe: Recipe) -> tuple[PreTrainedTokenizerFast, list[Run]]:
    """The tokenizer, and the record of the runs before this one."""
    if start is None:
        return build_tokenizer(texts, recipe.vocab), []
    return PreTrainedTokenizerFast.from_pretrained(start), json.loads((start / "training.json").read_text())


def train(
    texts: list[Path], out: Path, start: Path | None, recipe: Recipe, minutes: float, device: str, save_every: float
) -> None:
    natural = [text for path in texts for text in read_documents(path)]
    made_up = list(synthetic(recipe.synthetic_bytes, WORDS, recipe.seed))
    out.mkdir(parents=True, exist_ok=True)
    tokenizer, earlier = begin(start, natural + made_up[: len(made_up) // 4], recipe)
    save_tokenizer(tokenizer, out)
    sources: dict[str, Natural | Repeats | Packed] = {
        "natural": Natural(list(encode(tokenizer, natural)), recipe.length, 1),
        "repeats": Repeats(len(tokenizer), recipe.length, 2),
        "synthetic": Packed(list(encode(tokenizer, made_up)), recipe.length, 3),
    }
    model = (
        Qwen3ForCausalLM.from_pretrained(start, dtype=torch.float32) if start else make_model(recipe, tokenizer)
    ).to(device)
    steppers = optimizers(model, recipe)
    rates = [o.param_groups[0]["lr"] for o in steppers]
    loss_of = torch.compile(Objective(model, tokenizer, recipe))
    draw = np.random.default_rng(recipe.seed)
    shares = [recipe.natural, recipe.repeats, 1 - recipe.natural - recipe.repeats]
    log: list[dict[str, float]] = []
    started, saved, step = time.monotonic(), 0.0, 0
    while (spent := (time.monotonic() - started) / 60) < minutes:
        scale = min(1.0, (step + 1) / 100, (1 - spent / minutes) / recipe.decay)
        for stepper, rate in zip(steppers, rates, strict=True):
            stepper.param_groups[0]["lr"] = rate * scale
        counts = draw.multinomial(recipe.batch, shares)
        taken = [source.take(int(n)) for source, n in zip(sources.values(), counts, strict=True) if n]
        loss = loss_of(torch.tensor(np.concatenate(taken).astype(np.int64), device=device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper in steppers:
            stepper.step()
            stepper.zero_grad()
        step += 1
        if step % 100 == 0:
            tokens = step * recipe.batch * recipe.length
            induction = induction_accuracy(model, len(tokenizer), device)
            log.append({"step": step, "tokens": tokens, "minutes": spent, "loss": loss.item(), "induction": induction})
            print(json.dumps(log[-1]), flush=True)
            if spent - saved > save_every:
                saved = spent
                save(model, tokenizer, out, [*earlier, {"recipe": asdict(recipe), "log": log}])
    save(model, tokenizer, out, [*earlier, {"recipe": asdict(recipe), "log": log}])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="a trained directory to continue from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rates", type=float, default=1.0, help="factor on both learning rates")
    parser.add_argument("--minutes", type=float, default=100)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=float, default=10, help="minutes between checkpoints")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    plain = Recipe(seed=given.seed)
    recipe = replace(plain, muon_rate=plain.muon_rate * given.rates, adamw_rate=plain.adamw_rate * given.rates)
    train(given.text, given.out, given.start, recipe, given.minutes, given.device, given.save_every)


if __name__ == "__main__":
    main()
