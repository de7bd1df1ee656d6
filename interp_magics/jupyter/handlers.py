"""Two addresses under the server's own, for its user alone: what pools do, and the end of a job."""

import asyncio
from typing import Any

import msgspec
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado.web import HTTPError, authenticated

from ..errors import InterpError
from .pools import Pools


class Cancel(msgspec.Struct, forbid_unknown_fields=True):
    """The job of a pool that is to end."""

    pool: str
    job: str


class _Handler(APIHandler):
    def initialize(self, pools: Pools) -> None:
        """Tornado's own constructor."""
        self.pools = pools


class States(_Handler):
    """GET: every pool that the server can look at."""

    @authenticated
    async def get(self) -> None:
        found = await asyncio.to_thread(self.pools.states)
        self.finish({"pools": msgspec.to_builtins(found)})


class Cancels(_Handler):
    """POST: the end of a job."""

    @authenticated
    async def post(self) -> None:
        try:
            asked = msgspec.json.decode(self.request.body, type=Cancel)
        except msgspec.MsgspecError as error:
            raise HTTPError(400, str(error)) from None
        try:
            await asyncio.to_thread(self.pools.cancel, asked.pool, asked.job)
        except InterpError as error:
            raise HTTPError(409, str(error)) from None
        self.set_status(204)
        self.finish()


def install(application: Any) -> Pools:
    """Answer under /interp-magics/."""
    pools = Pools()
    base = url_path_join(application.settings["base_url"], "interp-magics")
    given = {"pools": pools}
    handlers = [(url_path_join(base, "pools"), States, given), (url_path_join(base, "cancel"), Cancels, given)]
    application.add_handlers(".*$", handlers)
    return pools
