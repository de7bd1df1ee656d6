"""Checkpoints that the tests make: random weights of real configurations, saved as Hugging Face directories."""

from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 389

_TEXT = [
    "The quick brown fox jumps over the lazy dog. " * 3,
    "Paris is the capital of France, Rome of Italy.",
    "{x} $y; ü 漢",
]


def tokenizer() -> hf.PreTrainedTokenizerFast:
    """Byte-level BPE with a start token and a chat template."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(_TEXT, trainer)
    made = hf.PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    made.chat_template = "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    return made


_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
_HEAD_DIM = {**_COMMON, "head_dim": 16}
_NEOX = {**{k: v for k, v in _COMMON.items() if k != "num_key_value_heads"}, "rotary_pct": 0.5}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 40}


def _gemma3_vision() -> Any:
    text = {**_HEAD_DIM, "sliding_window": 8, "query_pre_attn_scalar": 16}
    vision = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    return hf.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4, pad_token_id=1)


CONFIGS: dict[str, Any] = {
    "llama": lambda: hf.LlamaConfig(**_COMMON),
    "mistral": lambda: hf.MistralConfig(**_COMMON, sliding_window=8),
    "qwen2": lambda: hf.Qwen2Config(**_COMMON, tie_word_embeddings=True),
    "qwen3": lambda: hf.Qwen3Config(**_HEAD_DIM),
    "gemma2": lambda: hf.Gemma2Config(
        **_HEAD_DIM,
        sliding_window=8,
        query_pre_attn_scalar=16,
        final_logit_softcapping=8.0,
        attn_logit_softcapping=1.0,
    ),
    "gemma3_text": lambda: hf.Gemma3TextConfig(**_HEAD_DIM, sliding_window=8, query_pre_attn_scalar=16),
    "gemma3": _gemma3_vision,
    "olmo2": lambda: hf.Olmo2Config(**_COMMON),
    "phi3": lambda: hf.Phi3Config(**_COMMON),
    "gpt_neox": lambda: hf.GPTNeoXConfig(**_NEOX, use_parallel_residual=True),
    "gpt_neox_sequential": lambda: hf.GPTNeoXConfig(**_NEOX, use_parallel_residual=False),
    "gpt2": lambda: hf.GPT2Config(
        vocab_size=VOCABULARY, n_embd=48, n_layer=3, n_head=4, n_positions=128, bos_token_id=0, eos_token_id=1
    ),
    "qwen3_moe": lambda: hf.Qwen3MoeConfig(**_HEAD_DIM, **_EXPERTS, num_experts=4),
    "mixtral": lambda: hf.MixtralConfig(**_COMMON, num_local_experts=4, num_experts_per_tok=2),
}

#: Served by structure alone, without an entry of their own.
STRUCTURAL: dict[str, Any] = {
    "olmo": lambda: hf.OlmoConfig(**_COMMON),
    "granite": lambda: hf.GraniteConfig(**_COMMON, residual_multiplier=0.5, logits_scaling=4.0),
    "cohere": lambda: hf.CohereConfig(**_COMMON, logit_scale=0.25),
    "starcoder2": lambda: hf.Starcoder2Config(**_COMMON),
    "opt": lambda: hf.OPTConfig(**_COMMON, ffn_dim=80, word_embed_proj_dim=48),
}


#: Sizes that kernels for paged attention have.
WIDE = {"hidden_size": 128, "intermediate_size": 160, "head_dim": 32, "max_position_embeddings": 512}


def make(name: str, root: Path, dtype: torch.dtype = torch.float32, sizes: dict[str, int] | None = None) -> Path:
    """A saved checkpoint of one configuration; weights are spread so that the distributions are far from flat. `sizes` replace
    those that it has."""
    path = root / name
    if path.exists():
        return path
    torch.manual_seed(sum(map(ord, name)))
    config = {**CONFIGS, **STRUCTURAL}[name]()
    config.update({size: value for size, value in (sizes or {}).items() if hasattr(config, size)})
    model = hf.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if parameter.ndim >= 2:
                parameter.mul_(3.0)
            elif "norm" in parameter_name or "ln_" in parameter_name:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.to(dtype).save_pretrained(path)
    tokenizer().save_pretrained(path)
    return path
