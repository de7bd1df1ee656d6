"""The commands of `interp`. Each imports what it needs when it runs."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import pool_commands
from .errors import InterpError, RequestError, nearest

if TYPE_CHECKING:
    from .planning import Machine


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; the user's fault is one line and status 2."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        given.run(given)
    except InterpError as error:
        print(f"interp: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="interp", description="Interpretability on a shared pool of models.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="a lens of real text in the terminal, and an interactive page")
    demo.add_argument("text", nargs="?", default="The capital of France is")
    demo.add_argument("--out", default="demo.html", help="where the page is written (default: %(default)s)")
    demo.set_defaults(run=_demo)
    pool_commands.add(commands)
    plan = commands.add_parser("plan", help="what a model would need and take, from its configuration alone")
    plan.add_argument("model", help="a checkpoint's directory, its config.json, or a known name such as llama-3.1-70b")
    plan.add_argument("--tp", type=int, default=1, help="ranks of one replica")
    plan.add_argument("--tokens", type=int, default=1000, help="tokens of each prompt")
    plan.add_argument("--users", type=int, default=1, help="prompts at once")
    plan.add_argument("--new", type=int, default=500, help="tokens generated for each")
    plan.add_argument("--sites", type=int, default=1, help="sites captured and decoded at all layers")
    plan.add_argument("--sae-latents", type=int, metavar="M", help="also plan a dictionary of so many latents")
    plan.add_argument("--sae-layer", type=int, metavar="LAYER", help="of this layer (the middle one)")
    plan.add_argument("--sae-k", type=int, default=64, metavar="K", help="active latents of a token")
    plan.add_argument("--sae-tokens", type=int, default=100_000_000, metavar="N", help="tokens to learn from")
    plan.add_argument("--machine", default="here", help="a6000, a100, h100, or here: measured now (default)")
    plan.set_defaults(run=_plan)
    study = commands.add_parser(
        "steer-eval", help="fit a vector on part of a question file, and measure it on the rest"
    )
    study.add_argument("file", help="questions: .jsonl or .json")
    study.add_argument(
        "--model", help="a directory or hub id; without it the model of $INTERP_POOL_URL, or the demo model"
    )
    study.add_argument("--template", help="how a question is put, with {question} in it")
    study.add_argument("--chat", action="store_true", help="put it as a user's message that the assistant answers")
    study.add_argument("--layers", metavar="SPEC", help="0,4,8: or ::4, or --layers=-2:; all by default")
    study.add_argument("--site", default="resid_post")
    study.add_argument("--method", default="mean_difference", help="mean_difference (default), logistic, pca")
    study.add_argument("--position", default="label", help="label (default), last, mean")
    study.add_argument("--train", type=float, default=0.4, metavar="SHARE")
    study.add_argument("--validation", type=float, default=0.1, metavar="SHARE")
    study.add_argument("--seed", type=int, default=0)
    study.add_argument("--out", metavar="FILE", help="write the curves of the test part")
    study.set_defaults(run=_steer_eval)
    gateway = commands.add_parser(
        "openai", help="a pool, and interventions on its models, to clients of the OpenAI API"
    )
    gateway.add_argument("interventions", nargs="*", metavar="FILE", help="what pool.intervention(…).save wrote")
    gateway.add_argument("--pool", metavar="URL", help="as im.connect takes it; without it $INTERP_POOL_URL")
    gateway.add_argument("--host", default="127.0.0.1", help="where it listens (default: %(default)s)")
    gateway.add_argument("--port", type=int, default=8000)
    gateway.add_argument("--key-file", metavar="FILE", help="ask those who come for the key in it")
    gateway.set_defaults(run=_openai)
    convert = commands.add_parser(
        "convert-sae", help="a dictionary of dictionary_learning (ae.pt, config.json) in SAELens' layout"
    )
    convert.add_argument("directory", help="where ae.pt and config.json are")
    convert.add_argument("out", help="the directory to write")
    convert.set_defaults(run=_convert)
    doctor = commands.add_parser("doctor", help="what works here, and what to do about what does not")
    doctor.set_defaults(run=_doctor)
    return parser


def _demo(given: argparse.Namespace) -> None:
    from .show import show

    show(given.text, given.out)


def _steer_eval(given: argparse.Namespace) -> None:
    from .steer_eval import Protocol, evaluate

    evaluate(Protocol(**{name: value for name, value in vars(given).items() if name != "run"}))


def _openai(given: argparse.Namespace) -> None:
    try:
        from .gateway.serving import Serving, serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "tornado":
            raise
        raise RequestError("interp openai speaks HTTP by tornado: pip install 'interp-magics[serve]'") from None
    serve(Serving(given.pool, given.interventions, given.host, given.port, given.key_file))


def _convert(given: argparse.Namespace) -> None:
    from .engine.dictionaries.pickled import read

    made = read(Path(given.directory).expanduser())
    print(f"{made.save(given.out)}: {made!r}")


def _plan(given: argparse.Namespace) -> None:
    from . import planning

    work = planning.Work(given.tokens, given.users, given.new, given.sites)
    shape, machine = planning.read_shape(given.model), _machine(given.machine)
    print(planning.describe(shape, machine, work, given.tp))
    if given.sae_latents:
        from . import planning_dictionaries
        from .program.dictionaries import Recipe

        layer = shape.sizes.layers // 2 if given.sae_layer is None else given.sae_layer
        if not 0 <= layer < shape.sizes.layers:
            raise RequestError(f"--sae-layer {layer}: {shape.name} has layers 0 to {shape.sizes.layers - 1}")
        recipe = Recipe(given.sae_latents, k=given.sae_k, layer=layer, tokens=given.sae_tokens, batch=8192)
        print("\n" + planning_dictionaries.describe(shape, machine, recipe, given.tp))


def _machine(name: str) -> "Machine":
    from .planning import MACHINES, Machine

    if name in MACHINES:
        return MACHINES[name]
    if name != "here":
        raise RequestError(f"unknown machine {name!r}{nearest(name, (*MACHINES, 'here'))}")
    from .engine.calibrate import measure

    here, flops, bandwidth, memory = measure()
    return Machine(
        here, flops, bandwidth, bandwidth / 10, memory, "measured now; the link is taken as a tenth of the memory"
    )


def _doctor(given: argparse.Namespace) -> None:
    from .doctor import examine

    sys.exit(examine())
