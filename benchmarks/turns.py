"""Engines that cannot share a process, each in a long-lived one of its own, driven in turn."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .pairs import cpu_seconds


def serve(run: Callable[[], Any]) -> None:
    """Be a side: a run for every line on standard input, its CPU seconds on standard output."""
    print("ready", flush=True)
    for _ in sys.stdin:
        print(f"took {cpu_seconds(run)}", flush=True)


def in_turn(module: str, sides: Sequence[Sequence[str]], rounds: int) -> list[np.ndarray]:
    """CPU seconds of each side, `python -m module *arguments`; the first round is a warm-up and is not counted."""
    command = [sys.executable, "-m", module]
    started = [subprocess.Popen([*command, *one], stdin=-1, stdout=-1, text=True) for one in sides]
    try:
        for process in started:
            _said(process, "ready")
        spent: list[list[float]] = [[] for _ in started]
        for number in range(rounds + 1):
            for process, taken in zip(started, spent, strict=True):
                process.stdin.write("go\n")
                process.stdin.flush()
                taken += [float(_said(process, "took"))] * bool(number)
    finally:
        for process in started:
            process.stdin.close()
            process.wait()
    return [np.array(taken) for taken in spent]


def _said(process: Any, word: str) -> str:
    """What follows the word on the next line that begins with it; libraries write others."""
    for line in process.stdout:
        if line.startswith(word):
            return str(line.removeprefix(word)).strip()
    raise RuntimeError("a side has ended")
