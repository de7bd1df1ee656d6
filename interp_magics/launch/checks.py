"""What can be told of a model before any process starts: from its configuration file alone."""

import json
from pathlib import Path

from ..errors import RequestError
from ..program.shapes import Shapes, read_shapes
from .config import ModelSpec, Nodes

#: Families that transformers has no plan for: every rank holds all of one, so its heads need not be divided.
WHOLE = ("gpt2", "opt")


def check_model(spec: ModelSpec) -> None:
    """Raise RequestError when `spec.tp` ranks do not divide the heads of a checkpoint on this machine, or its engine cannot have
    what is asked of it.

    A checkpoint that is still to be downloaded is checked by its worker.
    """
    if spec.tp < 1:
        raise RequestError(f"tp={spec.tp}: a model runs on one rank or more")
    if spec.pp < 1 or (spec.pp > 1 and spec.engine != "vllm"):
        raise RequestError(f"pp={spec.pp}: stages are one or more, and more than one for engine vllm alone")
    if spec.steering_slots < 0 or (spec.steering_slots and not (spec.engine == "vllm" and spec.compiled)):
        raise RequestError(
            f"steering_slots={spec.steering_slots}: slots are part of compiled steps, so they need engine vllm and --compiled"
        )
    file = Path(spec.path) / "config.json"
    if spec.tp == 1 or not file.is_file():
        return
    config = json.loads(file.read_text())
    if config.get("model_type") not in WHOLE:
        check_heads(read_shapes(config.get("text_config", config).get), spec.tp)


def check_nodes(spec: ModelSpec, nodes: Nodes) -> None:
    """Raise RequestError unless the ranks of a model can be laid over these hosts, as many on each."""
    if nodes.nnodes < 1 or not 0 <= nodes.node_rank < nodes.nnodes:
        raise RequestError(
            f"node_rank={nodes.node_rank} of nnodes={nodes.nnodes}: hosts are numbered from 0, and each is started with its own number"
        )
    if nodes.nnodes == 1:
        return
    if spec.ranks % nodes.nnodes:
        raise RequestError(
            f"{spec.ranks} ranks (tp={spec.tp} x pp={spec.pp}) cannot be laid evenly over {nodes.nnodes} hosts"
        )
    if not nodes.master_addr:
        raise RequestError(
            "name an address of the first host at which the others reach it, on a private network: --master-addr HOST"
        )


def check_heads(shapes: Shapes, ranks: int) -> None:
    """Raise RequestError, with the numbers of ranks that would do, when the heads cannot be divided."""
    for what, count in (("attention heads", shapes.heads), ("key-value heads", shapes.kv_heads)):
        if count % ranks:
            fitting = " or ".join(str(n) for n in range(1, shapes.kv_heads + 1) if shapes.kv_heads % n == 0)
            raise RequestError(f"{count} {what} cannot be divided among {ranks} ranks; tp= may be {fitting}")
