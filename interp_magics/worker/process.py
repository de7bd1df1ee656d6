"""The process that holds a model: one loop, one batch after another."""

import logging
import os
import sys
from pathlib import Path
from typing import BinaryIO

import torch
import zmq
from msgspec import structs

from ..engine.execution.engine import ProgramEngine
from ..engine.ranks import Ranks, join, leave, stop_listening
from ..errors import InterpError, RequestError
from ..launch.config import GroupConfig, ModelSpec, decode
from ..wire.frames import write
from ..wire.keys import KeyPair, use_client_keys
from ..wire.messages import Assign, Beat
from .batching import JOBS, Batch
from .children import CANNOT_SERVE, REFUSED, SERVING
from .devices import devices
from .held import HeldRows
from .holdings import Holdings
from .lifeline import die_with_parent
from .link import Link
from .scrubbing import Scrubbers
from .trainings import Trainings
from .vectors import VectorCache

log = logging.getLogger(__name__)


def main(stdin: BinaryIO) -> None:
    """Serve the model that the first line of `stdin` names, until the parent ends: rank 0 its jobs, the others rank 0."""
    die_with_parent()
    config = decode(stdin.readline())
    if config.threads:
        torch.set_num_threads(config.threads)
    ranks = join(config.model.ranks, config.place)
    try:
        scrubbers = Scrubbers(config.scrubbers)
        engine = load(config.model, ranks)
        _check_same(engine.card.digest, ranks)
    except InterpError as error:
        if ranks.first:
            _tell_failure(config, str(error))
        else:
            _say(REFUSED + " ".join(str(error)[:2000].split()).encode())
        sys.exit(CANNOT_SERVE)
    if ranks.size > 1:
        stop_listening(config.place)
    _say(SERVING)
    if ranks.first:
        serve(config, engine, scrubbers)
        engine.end()
    else:
        engine.follow()
    engine.close()
    leave()


def _check_same(digest: str, ranks: Ranks) -> None:
    """Raise RequestError where a model's files are not those of the first rank."""
    (first,) = ranks.tell([int(digest[:12], 16)])
    if digest[:12] != f"{first:012x}":
        raise RequestError(
            f"the model's files here are not those of the first host: their digest begins with {digest[:12]}, there with {first:012x}; "
            "copy them from there"
        )


def _say(word: bytes) -> None:
    """To the nanny."""
    sys.stdout.buffer.write(b"\n" + word + b"\n")
    sys.stdout.buffer.flush()


def load(model: ModelSpec, ranks: Ranks) -> ProgramEngine:
    """The engine that a model is to be run by, with it. Raises RequestError."""
    if model.engine == "vllm":
        from ..engine.vllm_engine.load import load as load_on_vllm

        return load_on_vllm(model, ranks)
    from ..engine.transformers_engine.load import load as load_on_transformers

    return load_on_transformers(model, ranks)


def serve(config: GroupConfig, engine: ProgramEngine, scrubbers: Scrubbers) -> None:
    """Take jobs until told to drain."""
    card, limits = structs.replace(engine.card, scrubbers=scrubbers.names), config.limits
    link = Link(config, card, devices, engine.figures)
    held = HeldRows(link.epoch, limits.kept_bytes, limits.all_kept_bytes)
    trainings = Trainings(link.epoch, limits.trained_bytes)
    holdings = Holdings(VectorCache(), held, trainings, Path(config.spool), limits, scrubbers)
    while not (link.draining and not link.assigned):
        link.pump(0.0 if link.assigned else 1.0)
        holdings.expire()
        taken: list[Assign] = []
        while link.assigned and len(taken) < JOBS:
            taken.append(link.assigned.popleft())
        if taken:
            Batch(link, engine, holdings).run(taken)
    link.close()


def _tell_failure(config: GroupConfig, trouble: str) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    use_client_keys(socket, KeyPair.of(config.secret_key.encode()), config.server_key.encode())
    socket.linger = 2000
    socket.connect(config.endpoint)
    beat = Beat(group=config.group, model=config.model.name, state="failed", trouble=trouble, pid=os.getpid())
    socket.send_multipart(write(beat))
    socket.close()
    context.term()
