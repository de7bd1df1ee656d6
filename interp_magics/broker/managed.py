"""The worker groups that a pool starts itself: with it, or when a job asks for a model that no group holds."""

import logging
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..launch import local
from ..launch.config import GroupConfig, WorkLimits
from ..wire.keys import KeyPair
from .book import Book
from .config import ModelConfig
from .server import Server

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
#: A model on demand that others wait for is there for so long at least.
_TURN_SECONDS = 60.0


@dataclass
class _Started:
    model: ModelConfig
    process: "subprocess.Popen[bytes]"
    used: float
    since: float
    deaths: int = 0
    again: float = 0.0


@dataclass
class Managed:
    """Child processes, one nanny for each group."""

    server: Server
    server_keys: KeyPair
    worker_keys: KeyPair
    directory: Path
    models: Sequence[ModelConfig]
    threads: int | None = None
    most_loaded: int = 1
    scrubbers: tuple[str, ...] = ()
    _groups: dict[str, _Started] = field(default_factory=dict)
    _next: float = 0.0

    def start(self) -> None:
        """Start what is to be there from the beginning."""
        for model in self.models:
            if not model.on_demand:
                for number in range(model.groups):
                    self._start(f"{model.name}/{number}", model)

    def stop(self) -> None:
        """End all, each with its processes."""
        for started in self._groups.values():
            local.stop(started.process)
        self._groups.clear()

    def look(self) -> None:
        """Load models that are waited for, and let others go for them."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LOOK_SECONDS
        book = self.server.book
        for name, started in list(self._groups.items()):
            if started.process.poll() is not None:
                self._ended(name, started, now)
            group = book.groups.get(name)
            if book.queued_for(started.model.name) or (group and group.running):
                started.used = now
        for model in self.models:
            name = f"{model.name}/0"
            if model.on_demand and name not in self._groups and book.queued_for(model.name) and self._room(book, now):
                self._start(name, model)

    def _ended(self, name: str, started: _Started, now: float) -> None:
        """A nanny has died, which it never should: another one, the later the oftener."""
        if not started.again:
            log.error("the nanny of %s ended with status %s", name, started.process.returncode)
            if name in self.server.book.groups:
                self.server.workers.lost(name, "its nanny ended")
            started.deaths += 1
            started.again = now + min(60.0, 0.5 * 2**started.deaths)
        elif now > started.again:
            deaths = started.deaths
            self._start(name, started.model)
            self._groups[name].deaths = deaths

    def _room(self, book: Book, now: float) -> bool:
        """Whether another model may be loaded; the one that has been idle the longest makes room, or after a while the one
        that has been there the longest, when what it runs is done."""
        loaded = {name: started for name, started in self._groups.items() if started.model.on_demand}
        if len(loaded) < self.most_loaded:
            return True
        idle = [name for name in loaded if self._idle(name, book)]
        if not idle:
            self._ask_for_room(loaded, book, now)
            return False
        oldest = min(idle, key=lambda name: loaded[name].used)
        log.info("%s makes room for another model", oldest)
        local.stop(self._groups.pop(oldest).process)
        self.server.workers.retire(oldest)
        return True

    def _idle(self, name: str, book: Book) -> bool:
        group = book.groups.get(name)
        if group is not None and (group.running or group.yielding):
            return group.yielding and not group.running
        return not book.queued_for(self._groups[name].model.name)

    def _ask_for_room(self, loaded: "dict[str, _Started]", book: Book, now: float) -> None:
        """A model whose jobs never end does not keep others out for ever."""
        name = min(loaded, key=lambda name: loaded[name].since)
        group = book.groups.get(name)
        if group is not None and now - loaded[name].since > _TURN_SECONDS:
            group.yielding = True

    def _start(self, name: str, model: ModelConfig) -> None:
        logs = self.directory / f"worker-{name.replace('/', '-')}.log"
        with logs.open("ab") as log_file:
            process = local.start(self._config(name, model), log_file)
        self._groups[name] = _Started(model, process, time.monotonic(), time.monotonic())

    def _config(self, name: str, model: ModelConfig) -> GroupConfig:
        limits = self.server.settings.limits
        return GroupConfig(
            group=name,
            endpoint=self.server.worker_endpoint,
            server_key=self.server_keys.public.decode(),
            secret_key=self.worker_keys.secret.decode(),
            model=model.spec(),
            spool=str(self.server.settings.spool),
            limits=WorkLimits(limits.inline_bytes, limits.result_bytes),
            threads=self.threads or self._share_of_threads(),
            scrubbers=self.scrubbers,
        )

    def _share_of_threads(self) -> int:
        """The processor's cores among all ranks, one left to the kernel, the broker and whoever else is there: where a
        thread must wait for a core, every small product waits with it, and a pass takes many times as long."""
        always = sum(model.groups * model.ranks for model in self.models if not model.on_demand)
        on_demand = [model.ranks for model in self.models if model.on_demand]
        ranks = always + sum(sorted(on_demand, reverse=True)[: self.most_loaded])
        return max(1, (len(os.sched_getaffinity(0)) - 1) // max(1, ranks))
