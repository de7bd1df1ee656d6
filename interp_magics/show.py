"""`interp demo`: a lens of real text in the terminal, and the same run as an interactive page."""

import sys
import time
from importlib import import_module
from pathlib import Path

from .connecting import connect
from .data.lens_run import LensRun
from .terminal import lens_text

_LONGEST = 96


def show(text: str, out: str) -> None:
    """Print the lens of `text`, and write the page to `out`."""
    import_module("interp_magics.display")  # which registers how results look
    started = time.monotonic()
    line = _Line()
    line.say("starting a pool on this machine")
    with connect() as pool:
        job = pool.lens(text, track=(), generate=8, wait=False)
        while not job.wait(0.1):
            line.say(f"{job.progress}, {time.monotonic() - started:.0f} s")
        run: LensRun = job.result()
        line.clear()
        _print(run)
        page = run.to_html(out)
    print(f"\n{time.monotonic() - started:.1f} s. The same run to hover, pin and keep: {Path(page).resolve()}")


def _print(run: LensRun) -> None:
    prompt = "".join(run.tokens[: run.meta.prompt_length])
    print(f"{run.provenance.model}: what each layer was about to say after each token of")
    print(f"  {prompt}\033[1m{run.completion}\033[0m\n" if sys.stdout.isatty() else f"  {prompt}{run.completion}\n")
    print(lens_text(run, _LONGEST, colour=sys.stdout.isatty()))


class _Line:
    """A progress line that overwrites itself; without a terminal, one line for each new text."""

    def __init__(self) -> None:
        self._last = ""

    def say(self, text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{text} …", end="", file=sys.stderr, flush=True)
        elif text.split(",")[0] != self._last:
            self._last = text.split(",")[0]
            print(f"{self._last} …", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)
