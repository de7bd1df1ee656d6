"""Us and the peers in turn: `python -m benchmarks.peers [WORK ...]`.

Each peer gets an environment in `.peers/NAME` of its own, made once from the package index. All sides load one checkpoint,
get the same tokens and must give the same number; then they work in turn, and each round gives a ratio to ours.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ..checkpoint import save_reference
from ..pairs import ratio, write

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parents[1] / ".peers"
_TRANSFORMERS = "transformers>=5.19,<5.24"
PEERS: dict[str, tuple[str, ...]] = {
    "nnsight": ("nnsight==0.8.1", _TRANSFORMERS, "accelerate"),
    "nnterp": ("nnterp==1.3.0", "nnsight==0.7.0", _TRANSFORMERS, "accelerate"),
    "transformer_lens": ("transformer-lens==4.3.0", _TRANSFORMERS),
    "tuned_lens": ("tuned-lens==0.2.0", _TRANSFORMERS),
    "steering_vectors": ("steering-vectors==0.12.2", "transformers==4.57.6"),
    "repeng": ("repeng==0.4.0", _TRANSFORMERS),
    "interp_engine": ("interp-engine==1.14.2", _TRANSFORMERS),
}
#: Libraries with which dictionaries are exchanged.
DICTIONARIES: dict[str, tuple[str, ...]] = {
    "sae_lens": ("sae-lens==6.54.12",),
    "sparsify": ("eai-sparsify==1.3.3",),
}
#: What is put beside another library without what it asks for: its own dependencies would replace torch.
BESIDE: dict[str, tuple[str, ...]] = {"sae_lens": ("dictionary-learning==0.1.0",)}
WORKS = {
    "lens": "lens of 256 tokens, 12 layers, top 5 of true probabilities",
    "generate": "64 tokens after 32, resid_post of 12 layers kept",
    "steer": "16 prompts of 24 tokens, 32 more each, a vector added at layer 6",
    "users": "16 prompts of 24 tokens, 32 more each, each under a vector of its own at layer 6",
    "batch": "lens of 16 prompts of 24 tokens",
}
ROUNDS = 15
#: The works end in sums of thousands of float32 numbers.
_AGREES = 1e-4


def environment(peer: str) -> Path:
    """The Python of a peer's environment, which is made if it is not there."""
    home = ENVIRONMENTS / peer
    python = home / "bin" / "python"
    if not (home / "made").exists():
        print(f"making the environment of {peer} …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "torch>=2.7,<2.14", *(PEERS | DICTIONARIES)[peer]], check=True)
        for package in BESIDE.get(peer, ()):
            subprocess.run([*pip, "--no-deps", package], check=True)
        (home / "made").touch()
    return python


class Side:
    """A long-lived process that works when it is told."""

    def __init__(self, name: str, python: Path, checkpoint: Path) -> None:
        environ = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(HERE.parents[1]) if name == "ours" else ""}
        command = [str(python), str(HERE / "serving.py"), f"side_{name}", str(checkpoint)]
        self._name = name
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ
        )
        self.works: list[str] = json.loads(self._said())

    def run(self, work: str) -> dict[str, float]:
        assert self.process.stdin is not None
        self.process.stdin.write(work + "\n")
        self.process.stdin.flush()
        made: dict[str, float] = json.loads(self._said())
        return made

    def _said(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the process of {self._name} ended")
        return line


def compare(work: str, sides: Mapping[str, Side]) -> dict[str, Any]:
    """Check that the sides agree, then time them in turn."""
    able = {name: side for name, side in sides.items() if work in side.works}
    first = {name: side.run(work) for name, side in able.items()}
    wanted = first["transformers"]["value"]
    for name, made in first.items():
        if abs(made["value"] - wanted) > _AGREES * abs(wanted):
            raise SystemExit(f"{work}: {name} gives {made['value']}, transformers {wanted}")
    rounds = [{name: side.run(work) for name, side in able.items()} for _ in range(ROUNDS)]
    spent = {name: np.array([made[name]["cpu"] for made in rounds]) for name in able}
    return {
        name: {
            **ratio(spent[name], spent["ours"]),
            "seconds": round(float(np.median(spent[name])), 3),
        }
        for name in able
    }


def main(works: list[str]) -> None:
    pythons = {"ours": Path(sys.executable), "transformers": Path(sys.executable)}
    pythons |= {peer: environment(peer) for peer in PEERS}
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        checkpoint = save_reference(Path(directory))
        sides = {}
        for name, python in pythons.items():
            sides[name] = Side(name, python, checkpoint)
            stack.callback(sides[name].process.kill)
        for work in works:
            found = compare(work, sides)
            write(f"peers_{work}", {"work": WORKS[work], "sides": found})


if __name__ == "__main__":
    main(sys.argv[1:] or list(WORKS))
