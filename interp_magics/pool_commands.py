"""The commands of those who run a pool: serve it, add workers, give tokens out, look after it."""

import argparse
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from .errors import RequestError
from .launch.config import Engine, ModelImpl
from .launch.templates import TEMPLATES, filled

if TYPE_CHECKING:
    from .broker.tokens import Tokens

_DTYPES = ("float32", "float16", "bfloat16")
_WHICH = "The pool is the one of $INTERP_POOL_URL: an address, or the file `connection` in the pool's directory."
_ACTIONS = {
    "drain": "take no new jobs; what waits still runs",
    "pause": "hand out no jobs, or none to one group",
    "resume": "take and hand out jobs again, all groups too, or hand them to one group again",
    "restart": "start a worker group anew when what it runs is done; no job is lost",
    "kick": "start a worker group anew now; its jobs run again, none is blamed",
    "expel": "end all jobs of a user",
}


def add(commands: Any) -> None:
    """Add the commands to a parser's."""
    _add_serve(commands)
    _add_worker(commands)
    _add_token(commands)
    model = commands.add_parser("model", help="register a checkpoint: its digest, and its entry for a pool's file")
    model.add_argument("model", metavar="[NAME=]PATH")
    model.add_argument("--tp", type=int, default=1, help="ranks of each group")
    model.set_defaults(run=_model)
    template = commands.add_parser("template", help="print a file to start from: a pool's, a service's, a batch job's")
    template.add_argument("name", choices=sorted(TEMPLATES))
    template.set_defaults(run=_template)
    commands.add_parser("status", help="models, queue and jobs of a pool").set_defaults(run=_status)
    for action, text in _ACTIONS.items():
        managing = commands.add_parser(
            action, help=f"administrator: {text}", description=f"{text[0].upper()}{text[1:]}. {_WHICH}"
        )
        if action != "drain":
            needed = None if action in ("restart", "kick", "expel") else "?"
            what = "USER" if action == "expel" else "GROUP"
            more = "a user's name" if action == "expel" else "a worker group, or a model for all of its groups"
            managing.add_argument("target", nargs=needed, default="", metavar=what, help=more)
        managing.set_defaults(run=_manage, action=action)


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser("serve", help="serve models to others")
    serve.add_argument("--embedded", action="store_true", help=argparse.SUPPRESS)
    serve.add_argument("--config", metavar="FILE", help="a pool's file (TOML); other options change what it says")
    serve.add_argument(
        "--model", action="append", default=[], metavar="[NAME=]PATH", help="a directory or hub id; repeat it"
    )
    _add_adapter(serve)
    serve.add_argument("--directory", help="where the pool keeps its journal, results and keys")
    serve.add_argument("--host")
    serve.add_argument("--port", type=int)
    serve.add_argument("--http", metavar="HOST:PORT", help="answer /metrics and /healthz there")
    serve.add_argument("--hub", action="store_true", help="as a JupyterHub's service: let its users in")
    serve.add_argument("--groups", type=int, default=1, help="worker groups for each --model")
    serve.add_argument("--dtype", choices=_DTYPES)
    serve.add_argument("--tp", type=int, default=1, help="ranks of each group")
    serve.add_argument(
        "--max-memory", help="lay a model that no device holds over several: 0=20GB,1=20GB,cpu=60GB; slow"
    )
    _add_engine(serve)
    serve.set_defaults(run=_serve)


def _add_worker(commands: Any) -> None:
    worker = commands.add_parser("worker", help="add a worker group to a pool that runs, from this or another host")
    worker.add_argument("--pool", metavar="FILE", help="DIRECTORY/worker, which is there while the pool runs")
    worker.add_argument("--model", metavar="[NAME=]PATH", help="one that the pool serves, and where it is here")
    _add_adapter(worker)
    worker.add_argument("--group", help="a name for the group (default: the model and this host)")
    worker.add_argument("--dtype", choices=_DTYPES)
    worker.add_argument("--tp", type=int, default=1, help="ranks of the group")
    worker.add_argument("--threads", type=int, help="threads of each rank")
    spread = worker.add_argument_group("several hosts", "started on each of them alike, but for its number")
    spread.add_argument(
        "--nnodes", type=int, default=1, metavar="N", help="hosts, each with an equal share of the ranks"
    )
    spread.add_argument("--node-rank", type=int, default=0, metavar="K", help="this host's number, 0 for the first")
    spread.add_argument(
        "--master-addr", default="", metavar="HOST", help="an address of the first, on a private network"
    )
    spread.add_argument("--master-port", type=int, default=29500, metavar="PORT", help="where its nanny listens there")
    _add_engine(worker)
    worker.add_argument("--config-from-stdin", action="store_true", help=argparse.SUPPRESS)
    worker.add_argument("--process", action="store_true", help=argparse.SUPPRESS)
    worker.set_defaults(run=_worker)


def _add_adapter(parser: Any) -> None:
    parser.add_argument(
        "--adapter", action="append", default=[], metavar="NAME=DIR", help="a LoRA adapter for model NAME"
    )


def _add_engine(parser: Any) -> None:
    parser.add_argument(
        "--engine",
        choices=get_args(Engine),
        default="transformers",
        help="what runs the model: vllm for throughput, which must be installed there",
    )
    parser.add_argument("--pp", type=int, default=1, metavar="STAGES", help="vllm: stages, each of --tp ranks")
    parser.add_argument(
        "--compiled", action="store_true", help="vllm: compile its steps, which leaves the stream's sites"
    )
    parser.add_argument(
        "--model-impl",
        choices=get_args(ModelImpl),
        default="auto",
        help="vllm: whose modules run the model, its own where their sites are known (auto) or transformers'",
    )
    parser.add_argument("--context", type=int, metavar="TOKENS", help="vllm: the most tokens of a text")
    parser.add_argument(
        "--steering-slots",
        type=int,
        default=0,
        metavar="N",
        help="vllm, compiled: N sets of vectors that rows add to the stream without leaving CUDA graphs",
    )


def _add_token(commands: Any) -> None:
    token = commands.add_parser("token", help="let people in whom no hub vouches for")
    token.add_argument(
        "--directory",
        help="the pool's directory (default: that of $INTERP_POOL_URL if that is a file, else of port 7717)",
    )
    acts = token.add_subparsers(required=True, metavar="make|list|revoke", dest="act")
    make = acts.add_parser("make", help="print an address for a user; it is shown once")
    make.add_argument("name")
    make.add_argument("--user", help="whose jobs these are (default: the token's name)")
    make.add_argument("--group", action="append", default=[])
    make.add_argument("--admin", action="store_true")
    make.add_argument("--days", type=float, help="how long it is good (default: until revoked)")
    acts.add_parser("list", help="names, users, groups and expiry")
    acts.add_parser("revoke", help="end it, open connections too").add_argument("name")
    token.set_defaults(run=_token)


def _serve(given: argparse.Namespace) -> None:
    from .broker import serve

    if given.embedded:
        serve.embedded(sys.stdin.buffer, sys.stdout.buffer)
        return
    from msgspec import structs

    from .broker.config import PoolConfig, read

    config = read(Path(given.config)) if given.config else PoolConfig()
    if config.json_logs:
        _log_json()
    named = serve.models_of(
        given.model,
        given.adapter,
        given.groups,
        _placed(given, given.max_memory),
    )
    said = {name: getattr(given, name) for name in ("directory", "host", "port", "http")}
    changed = {name: value for name, value in said.items() if value is not None}
    serve.shared(structs.replace(config, models=(*config.models, *named), **changed), given.hub)


def _placed(given: argparse.Namespace, max_memory: str | None = None) -> Any:
    from .broker.serve import Placed

    names = ("dtype", "tp", "pp", "engine", "context", "compiled", "model_impl", "steering_slots")
    return Placed(**{name: getattr(given, name) for name in names}, max_memory=max_memory)


def _log_json() -> None:
    import json

    class Lines(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            said = {
                "time": round(record.created, 3),
                "level": record.levelname,
                "logger": record.name,
                "message": record.getMessage(),
            }
            if record.exc_info:
                said["exception"] = self.formatException(record.exc_info)
            return json.dumps(said)

    for handler in logging.getLogger().handlers:
        handler.setFormatter(Lines())


def _worker(given: argparse.Namespace) -> None:
    if given.process:
        from .worker import process

        process.main(sys.stdin.buffer)
        return
    from .launch.config import decode
    from .worker.nanny import Nanny
    from .worker.outpost import Outpost

    if given.config_from_stdin:
        Nanny(decode(sys.stdin.buffer.readline()), sys.stdin.buffer).run()
        return
    config = _worker_config(given)
    nanny = Outpost(config) if config.nodes.node_rank else Nanny(config, None)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: nanny.stop())
    nanny.run()


def _worker_config(given: argparse.Namespace) -> Any:
    from .broker.serve import models_of
    from .launch.checks import check_model, check_nodes
    from .launch.config import GroupConfig, Nodes, read_worker_file

    if not given.pool or not given.model:
        raise RequestError("name the pool's file and a model: interp worker --pool DIRECTORY/worker --model NAME=PATH")
    pool = read_worker_file(Path(given.pool).expanduser())
    (model,) = models_of([given.model], given.adapter, 1, _placed(given))
    nodes = Nodes(**{name: getattr(given, name) for name in Nodes.__struct_fields__})
    check_model(model.spec())
    check_nodes(model.spec(), nodes)
    return GroupConfig(
        group=given.group or f"{model.name}/{socket.gethostname()}-{os.getpid()}",
        endpoint=pool.endpoint,
        server_key=pool.server_key,
        secret_key=pool.secret_key,
        model=model.spec(),
        spool=pool.spool,
        scrubbers=pool.scrubbers,
        threads=given.threads,
        nodes=nodes,
    )


def _token(given: argparse.Namespace) -> None:
    from .broker.serve import state_directory
    from .broker.tokens import Tokens

    directory = _directory(given.directory) or state_directory() / "pool-7717"
    tokens = Tokens(directory / "tokens.json")
    if given.act == "list":
        _list(tokens)
    elif given.act == "revoke":
        tokens.revoke(given.name)
        print(f"token {given.name} is revoked")
    else:
        _make(tokens, directory, given)


def _directory(given: str | None) -> Path | None:
    """The pool's directory: as it is given, or where $INTERP_POOL_URL is a connection file."""
    url = os.environ.get("INTERP_POOL_URL", "")
    if given:
        return Path(given).expanduser()
    return Path(url).expanduser().parent if url and "://" not in url else None


def _make(tokens: "Tokens", directory: Path, given: argparse.Namespace) -> None:
    from .wire.keys import Address

    connection = directory / "connection"
    if not connection.is_file():
        raise RequestError(
            f"no pool runs in {directory}; start it first, or name its directory: interp token --directory DIR make …"
        )
    pool = Address.parse(connection.read_text().strip())
    pair = tokens.make(given.name, given.user or given.name, tuple(given.group), given.admin, given.days)
    print(Address(pool.endpoint, pool.server, pair))


def _list(tokens: "Tokens") -> None:
    for token in tokens.all():
        until = (
            "for good"
            if token.expires is None
            else time.strftime("until %Y-%m-%d %H:%M", time.localtime(token.expires))
        )
        groups = f", groups {', '.join(token.groups)}" if token.groups else ""
        over = " (over)" if token.expires is not None and token.expires < time.time() else ""
        print(f"{token.name}: user {token.user}{', admin' if token.admin else ''}{groups}, {until}{over}")


def _model(given: argparse.Namespace) -> None:
    from . import planning
    from .broker.serve import Placed, models_of
    from .engine.checkpoint import digest_of
    from .launch.checks import check_model

    (model,) = models_of([given.model], [], 1, Placed(tp=given.tp))
    path = Path(model.path)
    if not path.is_dir():
        raise RequestError(
            f"{model.path!r} is no directory here; a hub id is registered when a worker has downloaded it"
        )
    check_model(model.spec())
    shape = planning.read_shape(str(path))
    print(f"# {shape.parameters / 1e9:.2f} B parameters, {shape.sizes.layers} layers; sha256 {digest_of(path)}")
    print(f'[[models]]\nname = "{model.name}"\npath = "{path}"' + (f"\ntp = {given.tp}" if given.tp > 1 else ""))


def _template(given: argparse.Namespace) -> None:
    print(filled(given.name), end="")


def _status(given: argparse.Namespace) -> None:
    from .connecting import connect

    _named_pool()
    with connect() as pool:
        print(pool.status())


def _manage(given: argparse.Namespace) -> None:
    from .connecting import connect

    _named_pool()
    with connect() as pool:
        target = getattr(given, "target", "")
        pool.manage(given.action, target)
        print(f"{given.action}{f' {target}' if target else ''}: done")
        print(pool.status())


def _named_pool() -> None:
    if not os.environ.get("INTERP_POOL_URL"):
        raise RequestError("no pool is named; set INTERP_POOL_URL to an address or a connection file")
