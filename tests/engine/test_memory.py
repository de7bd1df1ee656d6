"""Long prompts in bounded memory: 3,000 tokens, 24 layers, three sites."""

import json
import os
import subprocess
import sys
from pathlib import Path

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
from interp_magics.program.language import Ids, Lens, Program, Row, Stage, Tap

def resident(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) * 1024

torch.set_num_threads(1)
engine = load(ModelSpec("long", sys.argv[1], device="cpu"))
def run(ids):
    taps = tuple(Tap(site, reduce=Lens(top_k=3)) for site in sys.argv[3].split(","))
    (outcome,) = collect(engine, [Task(Program((Row(Ids(ids)),), (Stage(taps),)), NoObjects())])
    return outcome
run((1, 2, 3))
Path("/proc/self/clear_refs").write_text("5")
before = resident("VmRSS")
outcome = run(tuple(1 + i % 1000 for i in range(int(sys.argv[2]))))
shapes = [list(reading.values[0].top_ids.shape) for reading in outcome.readings[0]]
print(json.dumps({"rise": resident("VmHWM") - before, "held": reading.HELD_BYTES, "shapes": shapes}))
"""


def test_a_lens_of_three_sites_at_all_layers_of_a_long_prompt_holds_a_bounded_part_of_it(tmp_path: Path) -> None:
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
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    checkpoints.tokenizer().save_pretrained(tmp_path)
    command = [sys.executable, "-c", _SCRIPT, str(tmp_path), str(TOKENS), ",".join(SITES)]
    # What is freed goes back at once, so that the process is as large as what it holds.
    given = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    made = subprocess.run(command, check=True, capture_output=True, text=True, env=given)
    said = json.loads(made.stdout.splitlines()[-1])
    everything = len(SITES) * LAYERS * TOKENS * WIDTH * 4
    cache = 2 * LAYERS * TOKENS * WIDTH // 8 * 4
    bound = said["held"] + 2 * cache + (64 << 20)
    print(f"rise {said['rise'] / 1e6:.0f} MB, bound {bound / 1e6:.0f} MB, all values {everything / 1e6:.0f} MB")
    assert said["shapes"] == [[LAYERS, TOKENS, 3]] * 3
    assert bound < 0.9 * everything
    assert said["rise"] < bound
