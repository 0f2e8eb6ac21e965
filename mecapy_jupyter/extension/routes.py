"""What a notebook's page may ask of the gateway: the state of one of the user's tasks, to stop it,
and what the sidebar shows. Nothing else passes. The page speaks to its Jupyter server, with
Jupyter's login, XSRF and origin checks; the token is added here and never leaves the server. A
request contains only the task's id; of an answer only chosen fields pass.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

from mecapy_jupyter.client import config
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.extension import sidebar
from mecapy_jupyter.shared import errors
from mecapy_jupyter.wire.json_fields import Json, JsonObject, as_object

_ID = "([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_SHOWN = (
    *("task_id", "name", "status", "position", "eta_s", "attempts", "worker"),
    *("started_at", "completed_at", "timeout_s"),
)
_MORE_S = 600.0

# Not Jupyter's own thread pool, because a gateway that does not answer must not delay files and
# kernels.
_threads = ThreadPoolExecutor(4, thread_name_prefix="mecapy")


def handlers(base_url: str) -> list[tuple[str, type[web.RequestHandler]]]:
    tasks = url_path_join(base_url, "mecapy", "tasks", _ID)
    return [
        (tasks, TaskHandler),
        (url_path_join(tasks, "(cancel|extend)"), ChangeHandler),
        (url_path_join(base_url, "mecapy", "overview"), OverviewHandler),
    ]


class _Passing(APIHandler):
    """An authenticated request of the page that becomes one to the gateway."""

    auth_resource = "mecapy"
    # a page that is left open must not keep a server alive that its hub would end
    _track_activity = False

    async def answer(self, ask: Callable[[Gateway], JsonObject]) -> None:
        self.set_header("Cache-Control", "no-store")
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                _threads, lambda: ask(_gateway(config.resolve(start=False)))
            )
        except errors.MecapyError as problem:
            self.set_status(404 if isinstance(problem, errors.NotFound) else 502)
            found = {"message": str(problem)}
        self.finish(json.dumps(found))


class TaskHandler(_Passing):
    @web.authenticated
    @authorized
    async def get(self, task_id: str) -> None:
        """The task's state, without output and results."""
        await self.answer(lambda gateway: _shown(gateway.get(f"/tasks/{task_id}")))


class ChangeHandler(_Passing):
    @web.authenticated
    @authorized
    async def post(self, task_id: str, change: str) -> None:
        """Stop the task: a queued one at once, a running one within a second. Or let it run longer,
        by what the block's button says.
        """
        body: JsonObject | None = {"seconds": _MORE_S} if change == "extend" else None
        await self.answer(lambda gateway: _shown(gateway.post(f"/tasks/{task_id}/{change}", body)))


class OverviewHandler(_Passing):
    @web.authenticated
    @authorized
    async def get(self) -> None:
        """What the sidebar shows; a sentence where no gateway is to be had."""
        root = str(self.settings.get("server_root_dir", ""))
        await self.answer(lambda gateway: sidebar.overview(gateway, root))


@functools.lru_cache(maxsize=1)
def _gateway(endpoint: config.Endpoint) -> Gateway:
    """Kept until the endpoint changes: by a login, or by another port of the embedded stack."""
    return Gateway.of(endpoint)


def _shown(answer: Json) -> JsonObject:
    task = as_object(answer)
    return {name: task[name] for name in _SHOWN if name in task}
