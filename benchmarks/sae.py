"""Training dictionaries beside SAELens, dictionary-learning and sparsify: `python -m benchmarks.sae [CASE …]`.

Synthetic rows with a known dictionary: each of n true unit directions is on with a probability that falls as 1 / rank (about 13.6 are
on in a row), with magnitude 1 + |N(0, 1)| / 2; the mean is half as long as rows are around it. Every library is a process of its own, one
thread; they take steps in turn, and CPU seconds of each round are compared pair by pair. Quality is taken at the end, on rows that
nobody has trained on: FVU around the global mean, mean largest cosine of a true direction with a row of the decoder, share of
latents that never fire.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from interp_magics.program.dictionaries import Recipe

from .pairs import ratio, write
from .peers.__main__ import environment

SIDE = Path(__file__).parent / "peers" / "sae_side.py"
ACTIVE, TEST = 13.56, 16_384
ROUNDS = 15

#: d, m, true directions, k, steps in all; with few steps only the speed is told.
CASES: dict[str, dict[str, Any]] = {
    "128 x 1024": {"d": 128, "m": 1024, "true": 1024, "k": 16, "steps": 256},
    "256 x 8192": {"d": 256, "m": 8192, "true": 2048, "k": 32, "steps": 256},
    "512 x 32768": {"d": 512, "m": 32768, "true": 4096, "k": 32, "steps": 32},
    "1024 x 16384": {"d": 1024, "m": 16384, "true": 4096, "k": 64, "steps": 32},
}
PEERS = {
    "topk": ("sae_lens", "dictionary_learning", "sparsify"),
    "batch_topk": ("sae_lens", "dictionary_learning"),
    "relu": ("sae_lens", "dictionary_learning"),
}
FLOORS = {"topk": (1 / 1.5, 1 / 3), "batch_topk": (1 / 1.5, 1 / 3), "relu": (1 / 1.2, 1 / 2)}
TOLD = 64


def rows_of(case: dict[str, Any], count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows, and the true directions."""
    fixed, draw = np.random.default_rng(20_260), np.random.default_rng(seed)
    directions = fixed.standard_normal((case["true"], case["d"])).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    chance = 1 / np.arange(1, case["true"] + 1)
    for _ in range(50):
        chance *= ACTIVE / np.minimum(chance, 0.5).sum()
    chance = np.minimum(chance, 0.5).astype(np.float32)
    mean = fixed.standard_normal(case["d"])
    mean *= case["d"] ** 0.5 / 2 / np.linalg.norm(mean)
    made = np.empty((count, case["d"]), np.float32)
    for start in range(0, count, 4096):
        some = slice(start, min(start + 4096, count))
        shape = (some.stop - start, case["true"])
        on = draw.random(shape, np.float32) < chance
        made[some] = (on * (1 + np.abs(draw.standard_normal(shape, np.float32)) / 2)) @ directions
    spread = (2 * ACTIVE) ** 0.5
    return (made * (case["d"] ** 0.5 / spread) + mean).astype(np.float32), directions


def measure(name: str, architecture: str, dtype: str | None) -> dict[str, Any]:
    """The sides of one case, each with its ratio to ours and what it has learned."""
    case = {**CASES[name], "architecture": architecture, "batch": 1024, "sparsity": 2.0, "dtype": dtype}
    case["rate"] = Recipe(case["m"], architecture=architecture, k=case["k"]).automatic_rate(case["d"])
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        rows, directions = rows_of(case, min(case["steps"], 256) * case["batch"], 1)
        test, _ = rows_of(case, TEST, 2)
        np.save(root / "rows.npy", rows)
        np.save(root / "test.npy", test)
        (root / "case.json").write_text(json.dumps(case))
        sides = {"ours": sys.executable} | {peer: str(environment(_home(peer))) for peer in PEERS[architecture]}
        spent = _turns({side: [python, str(SIDE), side, directory] for side, python in sides.items()}, case["steps"])
        told: dict[str, Any] = {}
        for side in sides:
            found: dict[str, Any] = {"seconds": round(float(np.median(spent[side])), 3)}
            found["tokens_per_cpu_second"] = round(
                case["steps"] // (ROUNDS + 1) * case["batch"] / float(np.median(spent[side]))
            )
            found |= ratio(spent["ours"], spent[side])
            if case["steps"] >= TOLD:
                found |= _learned(root / f"{side}.npz", test, directions)
            told[side] = found
    return told


def _home(peer: str) -> str:
    """The environment that a library is installed in."""
    return "sae_lens" if peer == "dictionary_learning" else peer


def _turns(commands: dict[str, list[str]], steps: int) -> dict[str, np.ndarray]:
    started = {
        side: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for side, command in commands.items()
    }
    spent: dict[str, list[float]] = {side: [] for side in started}
    try:
        for process in started.values():
            _line(process, "ready")
        for number in range(ROUNDS + 1):
            for side, process in started.items():
                seconds = float(_ask(process, str(steps // (ROUNDS + 1))))
                if number:
                    spent[side].append(seconds)
        for process in started.values():
            _ask(process, "end")
    finally:
        for process in started.values():
            process.kill()
            process.wait()
    return {side: np.array(seconds) for side, seconds in spent.items()}


def _ask(process: "subprocess.Popen[str]", line: str) -> str:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return _line(process)


def _line(process: "subprocess.Popen[str]", wanted: str | None = None) -> str:
    """The next line that a side says itself, whatever its library prints."""
    assert process.stdout is not None
    for line in process.stdout:
        told = line.strip()
        if wanted in (None, told) and (told in ("ready", "learned") or told.replace(".", "", 1).isdigit()):
            return told
    raise RuntimeError(f"{process.args} has ended")


def _learned(path: Path, test: np.ndarray, directions: np.ndarray) -> dict[str, float]:
    with np.load(path) as found:
        decoder, made, fired, l0 = found["decoder"], found["made"], found["fired"], float(found["l0"])
    unit = decoder / np.linalg.norm(decoder, axis=1, keepdims=True).clip(1e-9)
    error = ((test - made).astype(np.float64) ** 2).sum() / ((test - test.mean(0)).astype(np.float64) ** 2).sum()
    cosines = (directions @ unit.T).max(1)
    return {
        "fvu": round(float(error), 4),
        "l0": round(l0, 1),
        "recovery": round(float(cosines.mean()), 3),
        "dead": round(float(1 - fired.mean()), 3),
    }


def main(names: list[str]) -> None:
    measured: dict[str, Any] = {}
    for name in names or CASES:
        for architecture in PEERS:
            told = measure(name, architecture, None)
            measured[f"{name} {architecture}"] = told
            peers = [side for side in told if side != "ours"]
            fastest = min(peers, key=lambda side: told[side]["seconds"])
            floor, aim = FLOORS[architecture]
            print(
                f"{name} {architecture}: beside {fastest} {told[fastest]['ratio']:.3f} of the time, floor {floor:.2f}, aim {aim:.2f}"
            )
            for side, found in told.items():
                quality = {what: found[what] for what in ("fvu", "l0", "recovery", "dead") if what in found}
                print(f"   {side:<22} {found['tokens_per_cpu_second']:>8} tokens/CPU s  {quality}", flush=True)
    write("sae", measured)


if __name__ == "__main__":
    main(sys.argv[1:])
