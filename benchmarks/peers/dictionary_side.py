"""A library's side of the exchange of dictionaries; run in its own environment."""

import json
import sys
from pathlib import Path

import numpy as np
import torch


def sae_lens(root: Path, kinds: list[str]) -> None:
    from sae_lens import SAE

    x = torch.from_numpy(np.load(root / "x.npy"))
    for kind in kinds:
        loaded = SAE.load_from_disk(root / kind)
        with torch.no_grad():
            np.save(root / f"{kind}.npy", loaded(x).numpy())
        loaded.save_model(root / f"{kind} theirs")


def sparsify(root: Path, kinds: list[str]) -> None:
    from sparsify import SparseCoder, SparseCoderConfig

    x = torch.from_numpy(np.load(root / "x.npy"))
    torch.manual_seed(0)
    made = SparseCoder(x.shape[1], SparseCoderConfig(num_latents=0, expansion_factor=4, k=8))
    with torch.no_grad():
        made.b_dec.normal_()
        acts, indices, _ = made.encode(x)
        np.save(root / "sparsify.npy", made.decode(acts, indices).numpy())
    made.save_to_disk(root / "layers.3")


if __name__ == "__main__":
    {"sae_lens": sae_lens, "sparsify": sparsify}[sys.argv[1]](Path(sys.argv[2]), json.loads(sys.argv[3]))
