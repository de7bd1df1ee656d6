"""A real JupyterHub with the pool as its service, and kernels of its users."""

import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.pool.conftest import descendants, wait_for
from tests.pool.served import free_ports

ROOT = Path(__file__).parents[2]
#: A user's shell has not this test's environment; the kernel of a hub's user has what the hub gives to it.
_PROXY = ROOT / "js" / "node_modules" / ".bin"


def configuration(directory: Path, pool: Path, ports: int, tokens: dict[str, str], roles: bool) -> str:
    """A hub with users ada (of the group safety), grace and root (who may manage the pool)."""
    run = ["access:services!service=interp-pool", "custom:interp-pool:run"] if roles else []
    return f"""
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{ports}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{ports + 1}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{ports + 2}"
c.JupyterHub.db_url = "sqlite:///{directory}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{directory}/cookie"
c.ConfigurableHTTPProxy.pid_file = "{directory}/proxy.pid"
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "simple"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = set()
c.SimpleLocalProcessSpawner.home_dir_template = "{directory}/home/{{username}}"
c.Spawner.args = ["--allow-root", "--ServerApp.disable_check_xsrf=True", "--LabApp.expose_app_in_browser=True"]
c.Spawner.environment = {{"INTERP_POOL_URL": "http://127.0.0.1:{ports}/services/interp-pool", "PYTHONPATH": "{ROOT}"}}
c.JupyterHub.load_groups = {{"safety": {{"users": ["ada"]}}}}
c.JupyterHub.custom_scopes = {{
    "custom:interp-pool:run": {{"description": "run jobs on the pool"}},
    "custom:interp-pool:admin": {{"description": "manage the pool", "subscopes": ["custom:interp-pool:run"]}},
}}
c.JupyterHub.services = [
    {{
        "name": "interp-pool",
        "url": "http://127.0.0.1:{ports + 3}",
        "command": ["{sys.executable}", "-m", "interp_magics", "serve", "--hub", "--config", "{pool}"],
        "cwd": "{directory}",
    }},
    {{"name": "tester", "api_token": "{tokens["tester"]}"}},
]
c.JupyterHub.load_roles = [
    {{"name": "user", "scopes": ["self", *{run!r}]}},
    {{"name": "server", "scopes": ["users:activity!user", "access:servers!server", *{run!r}]}},
    {{"name": "manager", "scopes": ["custom:interp-pool:admin"], "users": ["root"]}},
    {{"name": "tester", "scopes": ["admin:users", "admin:servers", "access:servers", "tokens"], "services": ["tester"]}},
]
"""


def pool_file(directory: Path, model: Path) -> Path:
    """A pool's file: one model, and the group safety that counts twice."""
    file = directory / "pool.toml"
    file.write_text(
        f"""
        directory = "{directory}/pool"
        port = {free_ports()}
        threads = 1
        [[models]]
        name = "tiny"
        path = "{model}"
        [groups.safety]
        weight = 2.0
        """
    )
    return file


@dataclass
class Hub:
    """A hub in a directory; ends with all that it started."""

    directory: Path
    pool: Path
    roles: bool = True
    ports: int = field(default_factory=lambda: free_ports(4))
    tokens: dict[str, str] = field(default_factory=lambda: {"tester": secrets.token_hex(16)})

    def start(self) -> None:
        file = self.directory / "jupyterhub_config.py"
        file.write_text(configuration(self.directory, self.pool, self.ports, self.tokens, self.roles))
        for user in ("ada", "grace", "root"):
            (self.directory / "home" / user).mkdir(parents=True)
        environment = {**os.environ, "PATH": f"{_PROXY}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
        with (self.directory / "hub.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(file)], stdout=log, stderr=log, env=environment
            )
        wait_for(lambda: self._up("/hub/api/"))
        wait_for(lambda: self._up("/services/interp-pool/healthz"))

    def stop(self) -> None:
        below = descendants(psutil.Process(self.process.pid))
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for process in below:
            if process.is_running():
                process.kill()

    def _up(self, path: str) -> bool:
        assert self.process.poll() is None, (self.directory / "hub.log").read_text()
        return self.ask("GET", path)[0] == 200

    def ask(
        self, method: str, path: str, body: Any = None, token: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        """(status, answer) of a request; with no token the tester's, "" for none."""
        token = self.tokens["tester"] if token is None else token
        headers = {**headers, **({"Authorization": f"token {token}"} if token else {})}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else text
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, None

    def server(self, user: str) -> None:
        """Start a user's server, and wait for it."""
        self.ask("POST", f"/hub/api/users/{user}", {})
        self.ask("POST", f"/hub/api/users/{user}/server", {})
        wait_for(lambda: self.ask("GET", f"/user/{user}/api/status")[0] == 200)

    def run(self, user: str, code: str, seconds: float = 180) -> str:
        """What a kernel of a user prints."""
        status, kernel = self.ask("POST", f"/user/{user}/api/kernels", {"name": "python3"})
        assert status == 201, kernel
        url = f"ws://127.0.0.1:{self.ports}/user/{user}/api/kernels/{kernel['id']}/channels"
        try:
            return _execute(url, self.tokens["tester"], code, seconds)
        finally:
            self.ask("DELETE", f"/user/{user}/api/kernels/{kernel['id']}")


def _execute(url: str, token: str, code: str, seconds: float) -> str:
    import asyncio
    import threading

    from tornado.httpclient import HTTPRequest
    from tornado.websocket import websocket_connect

    async def execute() -> str:
        socket = await websocket_connect(HTTPRequest(url, headers={"Authorization": f"token {token}"}))
        name = secrets.token_hex(8)
        header = {"msg_id": name, "msg_type": "execute_request", "username": "", "session": name, "version": "5.3"}
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        await socket.write_message(json.dumps(message))
        # Replies and what is printed come by different ways: the kernel is idle behind the last of the latter.
        printed, awaited = "", {"execute_reply", "idle"}
        while awaited:
            said = json.loads(await asyncio.wait_for(socket.read_message(), seconds))
            if said["parent_header"].get("msg_id") != name:
                continue
            if said["msg_type"] == "stream":
                printed += said["content"]["text"]
            elif said["msg_type"] == "error":
                printed += "\n".join(said["content"]["traceback"])
            awaited -= {said["msg_type"], said["content"].get("execution_state")}
        socket.close()
        while await socket.read_message() is not None:
            pass
        return printed

    made: list[str | BaseException] = []

    def run() -> None:
        try:
            made.append(asyncio.run(execute()))
        except BaseException as error:
            made.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(made[0], BaseException):
        raise made[0]
    return made[0]
