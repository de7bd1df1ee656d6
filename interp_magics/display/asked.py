"""What a reader asks of a lens widget, answered by the pool that the run came from."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from ..data.lens_run import LensRun
from ..errors import RequestError

#: Sites of the stream's width, in the order in which a block has them.
STREAMS = ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")


def offered(run: LensRun, pool: Any) -> tuple[str, ...]:
    """Sites that the pool could decode beside those of a run."""
    card = pool.card(run.provenance.model)
    counts = {card.sites[site].layers for site in run.sites if site in card.sites}
    there = [site for site in STREAMS if site in card.sites and {card.sites[site].layers} == counts]
    return tuple(site for site in there if site not in run.sites)


class Asked:
    """Decodes a run anew for what was asked so far, one question after another, in threads of their own."""

    def __init__(self, run: LensRun, pool: Any, tell: Callable[[int, LensRun | None, str], object]) -> None:
        """`tell` is told, with the question's number, the new run and how it was read; or None and what is wrong."""
        self._run, self._pool, self._tell = run, pool, tell
        self._track: list[str | int] = [int(i) for i in run.tracked_ids]
        self._sites = list(run.sites)
        self._one = threading.Lock()

    def ask(self, number: int, question: Mapping[str, str]) -> None:
        threading.Thread(target=self._answer, args=(number, dict(question)), name="interp-asked", daemon=True).start()

    def _answer(self, number: int, question: dict[str, str]) -> None:
        """Whatever goes wrong is said: nobody else hears of it here. What was asked counts once it is shown."""
        with self._one:
            try:
                made, what = self._made(question)
                self._tell(number, made, f"{what}: {_how(made)}")
            except Exception as error:
                self._tell(number, None, str(error))
            else:
                self._track, self._sites = [int(i) for i in made.tracked_ids], list(made.sites)

    def _made(self, question: dict[str, str]) -> tuple[LensRun, str]:
        if "track" in question:
            return self._tracked(question["track"])
        if "site" not in question:
            raise RequestError("a question names a token to track, or a site")
        site = question["site"]
        sites = [name for name in (*STREAMS, *self._sites, site) if name in (*self._sites, site)]
        return self._decode(self._track, list(dict.fromkeys(sites))), site

    def _tracked(self, text: str) -> tuple[LensRun, str]:
        """The run with a token that is written as it stands; or as it stands after a space, if that is what is one token."""
        written = [text] if text.startswith(" ") else [text, f" {text}"]
        for last, token in enumerate(written, 1 - len(written)):
            try:
                made = self._decode([*self._track, token], self._sites)
            except RequestError:
                if not last:
                    raise
                continue
            return made, f"tracking {token!r}"
        raise AssertionError("the last try returns or raises")

    def _decode(self, track: list[str | int], sites: list[str]) -> LensRun:
        run = self._run
        made: LensRun = self._pool.decode(
            run,
            kind=run.meta.kind,
            top_k=int(run.top_ids.shape[-1]),
            track=track,
            sites=sites,
            model=run.provenance.model,
        )
        return made


def _how(run: LensRun) -> str:
    return "read from the rows that the worker kept" if run.provenance.kept else "read by feeding the same tokens again"
