"""Long prompts in bounded memory: 3,000 tokens, 24 layers, three sites."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests import checkpoints

TOKENS, LAYERS, WIDTH, VOCABULARY = 3000, 24, 384, 1003
SITES = ("resid_post", "attn_out", "mlp_out")

_SCRIPT = """
import json, sys
from pathlib import Path
import torch
from interp_magics.engine.protocol import NoObjects, Task, collect
from interp_magics.engine.execution import reading
from interp_magics.engine.transformers_engine.load import load
from interp_magics.launch.config import ModelSpec
from interp_magics.program.language import Ids, Last, Lens, Program, Raw, Row, Stage, Tap

def resident(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) * 1024

torch.set_num_threads(1)
how = {"lens": {"reduce": Lens(top_k=3)}, "last": {"reduce": Raw(), "positions": Last()}}[sys.argv[4]]
taps = tuple(Tap(site, **how) for site in sys.argv[3].split(","))
engine = load(ModelSpec("long", sys.argv[1], device="cpu"))
def run(ids):
    (outcome,) = collect(engine, [Task(Program((Row(Ids(ids)),), (Stage(taps),)), NoObjects())])
    return outcome
run((1, 2, 3))
Path("/proc/self/clear_refs").write_text("5")
before = resident("VmRSS")
outcome = run(tuple(1 + i % 1000 for i in range(int(sys.argv[2]))))
values = [reading.values[0] for reading in outcome.readings[0]]
shapes = [list((value["values"] if isinstance(value, dict) else value.top_ids).shape) for value in values]
print(json.dumps({"rise": resident("VmHWM") - before, "held": reading.HELD_BYTES, "shapes": shapes}))
"""


EVERYTHING = len(SITES) * LAYERS * TOKENS * WIDTH * 4
#: What the model itself has of a prompt: keys and values, twice while they are made, and what a block works with.
OWN = 2 * 2 * LAYERS * TOKENS * WIDTH // 8 * 4 + (64 << 20)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("long")
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=512,
        num_hidden_layers=LAYERS,
        num_attention_heads=8,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(made)
    checkpoints.tokenizer().save_pretrained(made)
    return made


def measured(path: Path, how: str) -> dict[str, Any]:
    command = [sys.executable, "-c", _SCRIPT, str(path), str(TOKENS), ",".join(SITES), how]
    # What is freed goes back at once, so that the process is as large as what it holds.
    given = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    made = subprocess.run(command, check=True, capture_output=True, text=True, env=given)
    said: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    print(f"rise {said['rise'] / 1e6:.0f} MB, all values {EVERYTHING / 1e6:.0f} MB")
    return said


def test_a_lens_of_three_sites_at_all_layers_of_a_long_prompt_holds_a_bounded_part_of_it(path: Path) -> None:
    said = measured(path, "lens")
    bound = said["held"] + OWN
    assert said["shapes"] == [[LAYERS, TOKENS, 3]] * 3
    assert bound < 0.9 * EVERYTHING
    assert said["rise"] < bound


def test_of_the_last_position_alone_nothing_else_is_held(path: Path) -> None:
    said = measured(path, "last")
    assert said["shapes"] == [[LAYERS, 1, WIDTH]] * 3
    assert said["rise"] < OWN < 0.5 * EVERYTHING
