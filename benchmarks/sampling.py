"""How many sampled tokens change when logits differ as those of one row do in two batches: by the inverse of the cumulated
probabilities, and by our noise for each token."""

from collections.abc import Callable

import torch
from torch import Tensor

from interp_magics.engine.execution.sampling import sample
from interp_magics.program.language import Sampling

from .pairs import write

VOCABULARY, SPREAD, DRAWS = 50000, 2.0, 900
#: What float32 and bfloat16 batches differ by.
DIFFERENCES = (1e-5, 1e-3)

Draw = Callable[[Tensor, int], int]


def inverse(logits: Tensor, step: int) -> int:
    """The first token at which the cumulated probability passes a uniform number that the step keys."""
    at = torch.rand((), generator=torch.Generator().manual_seed(step), dtype=torch.float64)
    return int(torch.searchsorted(logits.double().softmax(0).cumsum(0), at))


def ours(logits: Tensor, step: int) -> int:
    """Ours, at temperature 1."""
    return sample(logits, Sampling(1, 1.0, seed=5), step)


def changed(draw: Draw, difference: float) -> float:
    """Share of draws that give another token."""
    generator = torch.Generator().manual_seed(1)
    count = 0
    for step in range(DRAWS):
        logits = SPREAD * torch.randn(VOCABULARY, generator=generator)
        other = logits + difference * torch.randn(VOCABULARY, generator=generator)
        count += draw(logits, step) != draw(other, step)
    return count / DRAWS


def main() -> None:
    shares = {
        f"{name}, logits differ by {difference:g}": changed(draw, difference)
        for name, draw in (("inverse of the cumulated probabilities", inverse), ("ours", ours))
        for difference in DIFFERENCES
    }
    write("sampling", {"what": "share of sampled tokens that change", "draws": DRAWS, "shares": shares})


if __name__ == "__main__":
    main()
