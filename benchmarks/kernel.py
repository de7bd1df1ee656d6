"""The lens kernel over its own matrix products, and its CPU time on each of two ranks beside that of one."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from interp_magics.engine import lens as kernel
from interp_magics.engine.ranks import ALONE, Ranks, join
from interp_magics.engine.readout import Readout
from interp_magics.launch.config import Place

from .pairs import interleaved, ratio, write

LAYERS, TOKENS, WIDTH, VOCABULARY, K = 4, 256, 1024, 50304, 10


def readout_of(ranks: Ranks, dtype: torch.dtype) -> Readout:
    """A head of random weights, shared out."""
    weight = torch.randn(VOCABULARY, WIDTH, generator=torch.Generator().manual_seed(0)) / WIDTH**0.5
    start, _ = ranks.bounds(VOCABULARY)
    share = ranks.share(weight, 0).to(dtype).clone()
    return Readout(torch.nn.Identity(), share, None, 1.0, None, VOCABULARY, start, ranks)


def decode(readout: Readout, rows: torch.Tensor) -> kernel.LensArrays:
    source = kernel.Source(LAYERS, TOKENS, lambda a, b: rows[:, a:b], lambda a, b: rows[-1, a:b])
    return kernel.decode(source, readout, kernel.LensRequest(K, torch.tensor([], dtype=torch.long), True, False))


def rows_of(dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(LAYERS, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1)).to(dtype)


def over_products(dtype: torch.dtype) -> dict[str, float]:
    """The kernel beside its matrix products alone, tile by tile."""
    readout, rows = readout_of(ALONE, dtype), rows_of(dtype)

    def products() -> None:
        flat = rows.flatten(0, 1)
        for first in range(0, len(flat), kernel.ROWS_PER_CHUNK):
            chunk = flat[first : first + kernel.ROWS_PER_CHUNK]
            for start in range(0, VOCABULARY, kernel.VOCABULARY_PER_TILE):
                readout.product(chunk, start, min(start + kernel.VOCABULARY_PER_TILE, VOCABULARY))

    with torch.inference_mode():
        spent = interleaved({"ours": lambda: decode(readout, rows), "products": products}, rounds=9)
    return ratio(spent["ours"], spent["products"])


def on_ranks(rank: int, size: int, rendezvous: str) -> None:
    """Print the CPU seconds of the kernel on this rank, the median of several."""
    torch.set_num_threads(1)
    ranks = join(size, Place(rank=rank, local_rank=rank, rendezvous=rendezvous))
    readout, rows, spent = readout_of(ranks, torch.float32), rows_of(torch.float32), []
    with torch.inference_mode():
        for _ in range(8):
            started = time.process_time()
            decode(readout, rows)
            spent.append(time.process_time() - started)
    print(statistics.median(spent[1:]))


def _spread(size: int) -> list[float]:
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "benchmarks.kernel"]
        places = [[str(rank), str(size), str(Path(directory) / "meet")] for rank in range(size)]
        started = [subprocess.Popen([*command, *place], stdout=subprocess.PIPE, text=True) for place in places]
        return [float(process.communicate()[0].split()[-1]) for process in started]


def main() -> None:
    torch.set_num_threads(1)
    one, two, four = _spread(1), _spread(2), _spread(4)
    write(
        "kernel",
        {
            "fp32: kernel / its matrix products": {**over_products(torch.float32), "floor": 1.25, "aim": 1.1},
            "bf16: kernel / its matrix products": {**over_products(torch.bfloat16), "floor": 1.6, "aim": 1.3},
            "CPU time of a rank of two / of one (floor 0.58, aim 0.52)": max(two) / one[0],
            "CPU time of a rank of four / of one": max(four) / one[0],
        },
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        on_ranks(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    else:
        main()
