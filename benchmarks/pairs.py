"""Interleaved pairs, their ratio with a bootstrap interval, and where results go."""

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"


def cpu_seconds(run: Callable[[], Any]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


def interleaved(sides: dict[str, Callable[[], Any]], rounds: int = 15) -> dict[str, np.ndarray]:
    """CPU seconds of each side, run in turn; the first round is a warm-up and is not counted."""
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, run in sides.items():
            seconds = cpu_seconds(run)
            if number:
                spent[name].append(seconds)
    return {name: np.array(values) for name, values in spent.items()}


def ratio(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """Median of the pairwise ratios, and a bootstrap 95 % interval of it."""
    pairs = ours / theirs
    draw = np.random.default_rng(0)
    medians = np.median(draw.choice(pairs, (4000, len(pairs))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return {"ratio": float(np.median(pairs)), "low": float(low), "high": float(high), "pairs": len(pairs)}


def write(name: str, measured: dict[str, Any]) -> None:
    """Print and store a measurement with what it ran on."""
    machine = {"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({**measured, "on": machine}, indent=1) + "\n")
    for key, value in measured.items():
        if key == "sides":
            for name, one in value.items():
                print(f"  {name:<20} {one['ratio']:.2f}  [{one['low']:.2f}, {one['high']:.2f}]  {one['seconds']} s")
        elif isinstance(value, dict) and "ratio" in value:
            bounds = f"[{value['low']:.3f}, {value['high']:.3f}]"
            print(f"{key:<44} {value['ratio']:.3f}  {bounds}  floor {value['floor']} aim {value['aim']}")
        else:
            print(f"{key:<44} {value}")
