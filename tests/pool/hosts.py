"""Two hosts, and a group that is spread over them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.pool.conftest import descendants, named
from tests.pool.served import Served, free_ports


@dataclass
class Hosts:
    """Where the first is reached, and the command that runs something on the second."""

    address: str
    on_second: tuple[str, ...] = ()
    cable: str = ""

    def cut(self) -> None:
        self._set("down")

    def mend(self) -> None:
        self._set("up")

    def _set(self, state: str) -> None:
        subprocess.run(["ip", "link", "set", self.cable, state], check=True)


def _wired() -> Hosts | None:
    """Two hosts with an interface of their own each, if this process may make them."""
    name = f"interp{os.getpid() % 10_000}"
    net = f"10.{200 + os.getpid() % 50}.{os.getpid() % 250}"
    second = ["ip", "netns", "exec", name]
    commands = [
        ["ip", "netns", "add", name],
        ["ip", "link", "add", name, "type", "veth", "peer", "name", "cable", "netns", name],
        ["ip", "address", "add", f"{net}.1/24", "dev", name],
        ["ip", "link", "set", name, "up"],
        [*second, "ip", "address", "add", f"{net}.2/24", "dev", "cable"],
        [*second, "ip", "link", "set", "cable", "up"],
        [*second, "ip", "link", "set", "lo", "up"],
    ]
    try:
        for command in commands:
            subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        _unwire(name)
        return None
    return Hosts(f"{net}.1", tuple(second), name)


def _unwire(name: str) -> None:
    for command in (["ip", "link", "del", name], ["ip", "netns", "del", name]):
        try:
            subprocess.run(command, check=False, capture_output=True)
        except OSError:
            return


@contextmanager
def two_hosts() -> Iterator[Hosts]:
    """Network namespaces with a cable between them where the machine allows it, else loopback."""
    found = _wired()
    try:
        yield found or Hosts("127.0.0.1")
    finally:
        if found:
            _unwire(found.cable)


@dataclass
class Spread:
    """A pool whose one group is spread over two hosts; `nannies` by their number."""

    served: Served
    hosts: Hosts
    model: Path
    port: int = field(default_factory=lambda: free_ports(1))
    nannies: "dict[int, subprocess.Popen[bytes]]" = field(default_factory=dict)

    def start(self, node: int, *more: str, ranks: tuple[str, ...] = ("--tp", "2")) -> None:
        where = ("--master-addr", self.hosts.address, "--master-port", str(self.port), "--group", "wide")
        spread = ("--nnodes", "2", "--node-rank", str(node))
        before = self.hosts.on_second if node else ()
        self.nannies[node] = self.served.worker(self.model, *ranks, *spread, *where, *more, before=before)

    def ranks(self, node: int) -> list[psutil.Process]:
        below = descendants(psutil.Process(self.nannies[node].pid)) if self.nannies[node].poll() is None else []
        return [process for process in below if named(process, "--process")]

    def start_missing(self) -> None:
        for node in (0, 1):
            if node not in self.nannies or self.nannies[node].poll() is not None:
                self.start(node)
