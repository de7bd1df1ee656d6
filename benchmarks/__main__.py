"""All measurements, one after another."""

import subprocess
import sys

for name in (
    "generate",
    "lens",
    "kernel",
    "gradients",
    "batch",
    "sampling",
    "sweep",
    "steering",
    "features",
    "widgets",
    "growth",
    "ablations",
    "regime",
    "pool",
    "pool_real",
    "latency",
    "plots",
    "report",
):
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
