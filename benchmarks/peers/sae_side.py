"""A library's side of training beside others: `sae_side.py LIBRARY ROOT`, in its own environment.

ROOT holds rows.npy and case.json. Each line N on standard input asks for N more steps, and is answered with the CPU seconds that
they took; "end" for what has been learned: ROOT/LIBRARY.npz with the decoder's rows, and the reconstruction and activity on test.npy.
Every library makes its steps by its own trainer, as its own loop does; Adam's rate is the same for all that use it.
"""

import json
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

Step = Callable[[torch.Tensor, int], None]
Finish = Callable[[torch.Tensor], tuple[np.ndarray, np.ndarray, np.ndarray]]
Made = tuple[Step, Finish]


def ours(case: dict[str, Any], rows: torch.Tensor) -> Made:
    from interp_magics.engine.dictionaries.finished import finished
    from interp_magics.engine.dictionaries.trainer import begin
    from interp_magics.program.dictionaries import Recipe

    recipe = Recipe(
        latents=case["m"],
        architecture=case["architecture"],
        k=case["k"],
        sparsity=case["sparsity"],
        tokens=case["steps"] * case["batch"],
        batch=case["batch"],
        learning_rate=case["rate"],
        dtype=case["dtype"],
    )
    trainer = begin(recipe, rows[: 16 * case["batch"]], None, torch.device("cpu"))

    def step(x: torch.Tensor, number: int) -> None:
        for _ in trainer.learn(x):
            pass

    def finish(x: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        made = finished(recipe, trainer.state, {})
        return made.W_dec, made.reconstruct(x.numpy()), made.encode(x.numpy()) > 0

    return step, finish


def sae_lens(case: dict[str, Any], rows: torch.Tensor) -> Made:
    import sae_lens as library
    from sae_lens.config import SAETrainerConfig
    from sae_lens.training.sae_trainer import SAETrainer

    kinds = {
        "topk": ("TopKTrainingSAE", {"k": case["k"]}),
        "batch_topk": ("BatchTopKTrainingSAE", {"k": case["k"]}),
        "relu": ("StandardTrainingSAE", {"l1_coefficient": case["sparsity"]}),
    }
    name, more = kinds[case["architecture"]]
    torch.manual_seed(0)
    sae = getattr(library, name)(getattr(library, f"{name}Config")(d_in=case["d"], d_sae=case["m"], **more))
    with torch.no_grad():
        sae.b_dec.copy_(rows[:4096].mean(0))
    cfg = SAETrainerConfig(
        total_training_samples=case["steps"] * case["batch"],
        train_batch_size_samples=case["batch"],
        lr=case["rate"],
        lr_end=0.0,
        lr_warm_up_steps=case["steps"] // 20,
        lr_decay_steps=case["steps"] // 5,
        autocast=False,
        dead_feature_window=max(8, case["steps"] // 30),
    )
    waiting: list[torch.Tensor] = []
    trainer = SAETrainer(cfg, sae, data_provider=iter(lambda: waiting[0], None))

    def step(x: torch.Tensor, number: int) -> None:
        trainer.maybe_reset_sparsity()
        trainer.step(x)
        trainer.n_training_steps += 1

    def finish(x: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        with torch.no_grad(), tempfile.TemporaryDirectory() as saved:
            # What it saves is what is used later: a batch's own top k becomes a threshold.
            sae.save_inference_model(saved)
            used = library.SAE.load_from_disk(saved, device="cpu")
            f = used.encode(x)
            return used.W_dec.numpy(), used.decode(f).numpy(), f.numpy() > 0

    return step, finish


def dictionary_learning(case: dict[str, Any], rows: torch.Tensor) -> Made:
    # Only its buffers, which are not used here, need this; installing it would replace torch.
    stub: Any = types.ModuleType("nnsight")
    stub.LanguageModel, stub.CONFIG = object, None
    sys.modules["nnsight"] = stub
    from dictionary_learning.trainers.batch_top_k import BatchTopKTrainer
    from dictionary_learning.trainers.standard import StandardTrainer
    from dictionary_learning.trainers.top_k import TopKTrainer

    common: dict[str, Any] = {
        "steps": case["steps"],
        "activation_dim": case["d"],
        "dict_size": case["m"],
        "layer": 0,
        "lm_name": "none",
        "lr": case["rate"],
        "warmup_steps": case["steps"] // 20,
        "decay_start": 4 * case["steps"] // 5,
        "device": "cpu",
        "seed": 0,
    }
    if case["architecture"] == "relu":
        trainer: Any = StandardTrainer(
            **common, l1_penalty=case["sparsity"], sparsity_warmup_steps=case["steps"] // 20 * 2
        )
    else:
        kind = TopKTrainer if case["architecture"] == "topk" else BatchTopKTrainer
        trainer = kind(**common, k=case["k"], threshold_start_step=case["steps"] // 2)
        trainer.dead_feature_threshold = max(case["batch"], case["steps"] * case["batch"] // 30)

    def finish(x: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        with torch.no_grad():
            f = trainer.ae.encode(x)
            return trainer.ae.decoder.weight.T.numpy(), trainer.ae.decode(f).numpy(), f.numpy() > 0

    return (lambda x, number: trainer.update(number, x)), finish


def sparsify(case: dict[str, Any], rows: torch.Tensor) -> Made:
    """Its trainer wants a language model around it: these are the lines that it runs for each batch."""
    from schedulefree import ScheduleFreeWrapper
    from sparsify import SparseCoder, SparseCoderConfig
    from sparsify.sign_sgd import SignSGD

    torch.manual_seed(0)
    sae = SparseCoder(case["d"], SparseCoderConfig(num_latents=case["m"], k=case["k"]))
    sae.b_dec.data = rows[: case["batch"]].mean(0)
    optimizer = ScheduleFreeWrapper(SignSGD(sae.parameters(), lr=5e-3 / (case["m"] / 2**14) ** 0.5), momentum=0.95)
    optimizer.train()

    def step(x: torch.Tensor, number: int) -> None:
        if sae.cfg.normalize_decoder:
            sae.set_decoder_norm_to_unit_norm()
        sae(x, dead_mask=None).fvu.backward()
        if sae.cfg.normalize_decoder:
            sae.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()

    def finish(x: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        optimizer.eval()
        if sae.cfg.normalize_decoder:
            sae.set_decoder_norm_to_unit_norm()
        with torch.no_grad():
            acts, latents, _ = sae.encode(x)
            on = torch.zeros(len(x), case["m"], dtype=torch.bool).scatter_(1, latents, acts > 0)
            return sae.W_dec.detach().numpy(), sae.decode(acts, latents).numpy(), on.numpy()

    return step, finish


def main(library: str, root: Path) -> None:
    case = json.loads((root / "case.json").read_text())
    torch.set_num_threads(1)
    rows = torch.from_numpy(np.load(root / "rows.npy"))
    sides = {
        "ours": ours,
        "sae_lens": sae_lens,
        "dictionary_learning": dictionary_learning,
        "sparsify": sparsify,
    }
    step, finish = sides[library](case, rows)
    done = 0
    print("ready", file=sys.__stdout__, flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            break
        begun = time.process_time()
        for _ in range(int(line)):
            start = done * case["batch"] % len(rows)
            step(rows[start : start + case["batch"]], done)
            done += 1
        print(time.process_time() - begun, file=sys.__stdout__, flush=True)
    decoder, made, on = finish(torch.from_numpy(np.load(root / "test.npy")))
    np.savez(root / f"{library}.npz", decoder=decoder, made=made, fired=on.any(0), l0=on.sum(1).mean())
    print("learned", file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
