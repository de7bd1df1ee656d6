"""What a person waits for: an empty job, `%load_ext`, a warm `%lens` from the cell to its drawn widget."""

import statistics
import subprocess
import sys
import time

import interp_magics as im

from .pairs import write

_LOAD = """
import time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
started = time.perf_counter()
shell.run_line_magic("load_ext", "interp_magics")
print(1000 * (time.perf_counter() - started))
"""
TEXT = "The capital of France is Paris. The capital of Italy is Rome. Mary and John went to the store. John gave a drink to Mary"


def main() -> None:
    with im.connect() as pool:
        pool.card()
        empty = [_milliseconds(lambda: pool.tokenize("a")) for _ in range(300)]
        for _ in range(5):
            pool.lens(TEXT)
        lens = [_milliseconds(lambda: pool.lens(TEXT)) for _ in range(30)]
        tokens = len(pool.tokenize(TEXT))
        made = pool.lens(TEXT)
        bundle = [_milliseconds(made._repr_mimebundle_) for _ in range(20)]
    load = [
        float(subprocess.run([sys.executable, "-c", _LOAD], capture_output=True, check=True).stdout) for _ in range(9)
    ]
    write(
        "latency",
        {
            "empty job, median ms (floor 3, aim 2)": statistics.median(empty),
            "%load_ext, median ms (floor 100, aim 50)": statistics.median(load),
            f"lens of {tokens} tokens, call to arrays, median ms": statistics.median(lens),
            "result to widget messages, median ms": statistics.median(bundle),
        },
    )


def _milliseconds(run) -> float:
    started = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
