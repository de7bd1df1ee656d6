"""From an address, a connection file or nothing to a pool."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from .api import Pool
from .client import embedded
from .client.connection import Connection
from .client.hub import HubEntrance
from .demo import MODEL_DIR, MODEL_NAME
from .errors import RequestError, one_of
from .launch.checks import check_model
from .launch.config import Engine, ModelSpec
from .wire.keys import Address

_DTYPES = ("float32", "float16", "bfloat16")
_PATH_STARTS = ("/", "./", "../", "~")


def connect(
    url: str | Path | None = None,
    *,
    model: str | None = None,
    tp: int = 1,
    dtype: str | None = None,
    threads: int | None = None,
    groups: int = 1,
    max_memory: str | None = None,
    engine: Engine = "transformers",
    context: int | None = None,
) -> Pool:
    """Connect to a pool.

    `url` is a pool's address (tcp://host:port#key=…), its connection file, or the address of its JupyterHub service (http…),
    where this kernel's hub token counts; without it $INTERP_POOL_URL counts, and without
    that an embedded pool starts for `model` (a directory or hub id; by default the demo model) and ends with this process;
    calls that ask for the same one share it. It has `groups` replicas of the model, each on `tp` ranks of `threads` threads
    (by default they share the cores, and leave one);
    `max_memory` ("0=20GB,cpu=60GB") lays one that no device holds over several of them, the host and the disk, which is slow.
    `engine` "vllm" runs it on vLLM, which must be installed, with texts of up to `context` tokens.
    Raises PoolUnavailable, RequestError.
    """
    target = url or os.environ.get("INTERP_POOL_URL")
    if not target:
        one_of("engine", engine, get_args(Engine))
        held = {"dtype": dtype, "tp": tp, "max_memory": max_memory, "engine": engine, "context": context}
        return _embedded(model, threads, groups, held)
    connection = _reach(target)
    pool = Pool(connection)
    try:
        connection.connect()
        if model:
            pool.use(model)
    except BaseException:
        pool.close()
        raise
    return pool


def _reach(target: str | Path) -> Connection:
    if str(target).startswith(("http://", "https://")):
        entrance = HubEntrance(str(target))
        address = entrance.enter()
        return Connection(address, enter=entrance.enter, seconds=entrance.seconds)
    return Connection(_address(target))


def _address(target: str | Path) -> Address:
    text = str(target)
    if "://" in text:
        return Address.parse(text)
    path = Path(text).expanduser()
    if not path.is_file():
        raise RequestError(
            f"{text!r} is neither a pool's address (tcp://host:port#key=…) nor a connection file that exists; the file of a "
            "pool goes when the pool ends"
        )
    return Address.parse(path.read_text().strip())


def _embedded(model: str | None, threads: int | None, groups: int, held: Mapping[str, Any]) -> Pool:
    if held["dtype"] is not None:
        one_of("dtype", held["dtype"], _DTYPES)
    if threads is not None and threads < 1:
        raise RequestError(f"threads must be 1 or more, not {threads}")
    if groups < 1:
        raise RequestError(f"groups must be 1 or more, not {groups}")
    if model is None or model == MODEL_NAME:
        spec = ModelSpec(MODEL_NAME, str(MODEL_DIR), **{**held, "dtype": held["dtype"] or "float32"})
    else:
        local = Path(model).expanduser()
        if not model or (model.startswith(_PATH_STARTS) and not local.is_dir()):
            raise RequestError(f"there is no model directory {model!r}")
        path = str(local.resolve()) if local.is_dir() else model
        spec = ModelSpec(local.name if local.is_dir() else model, path, **held)
    check_model(spec)
    child = embedded.share(spec, threads, groups)

    def trouble() -> str | None:
        return (
            None
            if child.alive
            else "the embedded pool has ended; start another with %pool connect or im.connect(). It said:\n"
            + child.trouble()
        )

    connection = Connection(child.address, trouble)
    connection.connect()
    return Pool(connection, child.leave, spec.name)
