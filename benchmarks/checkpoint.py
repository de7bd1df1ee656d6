"""The reference checkpoint: 12 layers, 71 M parameters, Llama shape, random weights."""

import tempfile
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from interp_magics.demo import MODEL_DIR
from interp_magics.engine.transformers_engine.engine import TransformersEngine
from interp_magics.engine.transformers_engine.load import load
from interp_magics.launch.config import ModelSpec


def save_reference(directory: Path, layers: int = 12) -> Path:
    """Write the checkpoint; its tokenizer is the demo model's and is not used."""
    config = LlamaConfig(
        vocab_size=32000,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        eos_token_id=None,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (directory / name).write_bytes((MODEL_DIR / name).read_bytes())
    return directory


def reference_engine(layers: int = 12) -> TransformersEngine:
    """The checkpoint, saved and loaded as any other."""
    with tempfile.TemporaryDirectory() as directory:
        return load(ModelSpec("reference", str(save_reference(Path(directory), layers)), device="cpu"))
