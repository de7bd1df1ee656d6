"""Dictionaries to and from the libraries that they are shared with: `python -m benchmarks.peers.dictionaries`.

Ours writes, SAELens' own loader reads and computes, and the other way round; sparsify writes and ours reads. Each library in
an environment of its own; the largest difference of reconstructions is told, beside 1e-4 of the values' size.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import interp_magics as im
from interp_magics.data.dictionary import Dictionary

from ..pairs import write
from .__main__ import environment

HERE = Path(__file__).parent
WIDTH, LATENTS, ROWS = 48, 192, 256


def dictionaries(draw: np.random.Generator) -> dict[str, Dictionary]:
    """One of each architecture that SAELens has a layout for."""

    def made(**more: Any) -> Dictionary:
        w_enc, w_dec = draw.standard_normal((WIDTH, LATENTS)), draw.standard_normal((LATENTS, WIDTH))
        b_enc, b_dec = draw.standard_normal(LATENTS), draw.standard_normal(WIDTH)
        return Dictionary(w_enc, w_dec, b_enc, b_dec, made_from={"model": "gpt2"}, **more)

    threshold, gates = (
        np.full(LATENTS, 0.5),
        {name: draw.standard_normal(LATENTS) for name in ("b_gate", "b_mag", "r_mag")},
    )
    jump = {"architecture": "jumprelu", "threshold": threshold}
    return {
        "relu": made(),
        "topk": made(architecture="topk", k=8),
        "topk by norm": made(architecture="topk", k=8, rank_by_norm=True),
        "jumprelu": made(**jump),
        "jumprelu, scaled": made(**jump, subtract_b_dec=False, scale=3.0),
        "gated": made(architecture="gated", **gates),
        "layer norm": made(normalize="layer_norm"),
        "constant norm": made(normalize="constant_norm"),
        "jumprelu transcoder": made(**jump, subtract_b_dec=False, site="ln_mlp", site_out="mlp_out"),
    }


def main() -> None:
    draw = np.random.default_rng(0)
    x = draw.standard_normal((ROWS, WIDTH)).astype(np.float32)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        np.save(root / "x.npy", x)
        ours = dictionaries(draw)
        for kind, dictionary in ours.items():
            dictionary.save(root / kind)
        _ask("sae_lens", root, list(ours))
        for kind, dictionary in ours.items():
            theirs = np.load(root / f"{kind}.npy")
            found[f"{kind}: ours, read by SAELens"] = _apart(dictionary.reconstruct(x), theirs)
            found[f"{kind}: written by SAELens, read by ours"] = _apart(
                im.load_sae(root / f"{kind} theirs").reconstruct(x), theirs
            )
        _ask("sparsify", root, [])
        found["topk: written by sparsify, read by ours"] = _apart(
            im.load_sae(root / "layers.3").reconstruct(x), np.load(root / "sparsify.npy")
        )
    write("dictionaries", found)
    assert max(found.values()) < 1e-4


def _apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def _ask(library: str, root: Path, kinds: list[str]) -> None:
    command = [str(environment(library)), str(HERE / "dictionary_side.py"), library, str(root), json.dumps(kinds)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
