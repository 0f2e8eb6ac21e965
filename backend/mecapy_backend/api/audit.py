"""The audit: a line for each submission, cancel, read of results or data, and act of an admin.

`traffic` records each request once its status is known. Entries go into memory and are written
within a second and at shutdown, so a killed gateway loses its last second. Acts of admins are
written before the answer. At shutdown a write that has begun ends, and one that fails is repeated
for some seconds; entries that are lost then are counted in the log.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import Scope

from mecapy_backend.store import audit
from mecapy_backend.store.audit import AuditEntry

_log = structlog.get_logger()
_EVERY_S, _DELETE_EVERY_S = 1.0, 3600.0
_MOST, _AT_ONCE = 100_000, 1000
_LAST_S, _AGAIN_S = 5.0, 0.2

ACTS = {
    "POST /tasks": "submit",
    "POST /tasks/{task_id}/cancel": "cancel",
    "POST /tasks/{task_id}/extend": "extend",
    "POST /tasks/{task_id}/notify": "notify",
    "POST /tasks/{task_id}/comms": "move widgets",
    "DELETE /tasks/{task_id}": "forget",
    "GET /tasks/{task_id}": "read result",  # once there is one
    "GET /tasks/{task_id}/request": "read request",
    "GET /tasks/{task_id}/result": "read result",
    "GET /tasks/{task_id}/events": "read log",
    "POST /tasks/{task_id}/share": "share task",
    "DELETE /tasks/{task_id}/share": "stop sharing task",
    "GET /shared/{task_id}": "read shared task",
    "POST /workflows": "make workflow",
    "DELETE /workflows/{workflow_id}": "delete workflow",
    "POST /workflows/{workflow_id}/cancel": "cancel workflow",
    "POST /workflows/{workflow_id}/retry": "retry workflow",
    "POST /sweeps": "begin sweep",
    "POST /sweeps/{name}/pause": "pause sweep",
    "POST /sweeps/{name}/resume": "resume sweep",
    "POST /sweeps/{name}/cancel": "cancel sweep",
    "GET /blobs/{digest}": "read data",
    "POST /login-links": "make login link",
    "POST /page/login": "log in",
    "POST /page/logout": "log out",
    "POST /tokens": "make token",
    "DELETE /tokens/{token_id}": "revoke token",
    "GET /users": "admin: list users",
    "GET /users/tasks": "admin: list tasks",
    "POST /users": "admin: make user",
    "GET /users/{user_id}/tokens": "admin: list tokens",
    "POST /users/{user_id}/tokens": "admin: make token",
    "DELETE /users/{user_id}/tokens/{token_id}": "admin: revoke token",
    "PATCH /users/{user_id}": "admin: change user",
    "DELETE /users/{user_id}": "admin: delete user",
    "GET /organisations": "admin: list organisations",
    "GET /organisations/usage": "admin: read usage",
    "GET /organisations/report": "admin: read report",
    "PATCH /organisations/{organisation_id}": "admin: change organisation",
    "PATCH /workers/{worker_id}": "admin: drain worker",
    "GET /audit": "admin: read audit",
}
"""Route → its name in a line. Other routes neither read nor change anybody's objects."""


@dataclass(slots=True)
class Audited:
    """What only a route knows of its request: the caller, the REST route that a page acts as, and
    whether nothing was read after all.
    """

    who: str = ""
    acts_as: str = ""
    nothing_read: bool = False


_audited: ContextVar[Audited] = ContextVar("mecapy_audited")


def audited() -> Audited:
    """The notes of the current request."""
    return _audited.get()


def begin_request() -> Audited:
    _audited.set(begun := Audited())
    return begun


def entry_of(
    scope: Scope,
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    request_id: str,
    about: Audited,
) -> AuditEntry | None:
    """The name of a request in the audit; None: not recorded, or the caller is unknown."""
    route = about.acts_as or f"{scope['method']} {getattr(scope.get('route'), 'path', '')}"
    act = ACTS.get(route)
    if act is None or not about.who or about.nothing_read:
        return None
    location = next((value.decode() for name, value in headers if name == b"location"), "")
    what = " ".join(map(str, scope.get("path_params", {}).values()))
    if not what and act == "submit":
        what = location.rpartition("/")[2]
    refused = f" ({status})" if status >= 400 else ""
    client = scope.get("client")
    # An address contains whatever a client typed.
    printable = "".join(c if c.isprintable() else "?" for c in f"{what}{refused}".strip()[:300])
    return AuditEntry(about.who, act, printable, client[0] if client else "", request_id)


class AuditWriter:
    """`async with` around its use: pending lines are written every second and when the block
    ends.
    """

    def __init__(self, db: AsyncEngine, days: float) -> None:
        self._db, self._days = db, days
        self._waiting = deque[AuditEntry](maxlen=_MOST)
        self._ending = asyncio.Event()

    async def __aenter__(self) -> AuditWriter:
        self._writing = asyncio.create_task(self._write_every_second())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ending.set()
        await self._writing  # not cancelled: its lines would go with it
        until = time.monotonic() + _LAST_S
        while not await self._tried(self._write()):
            if time.monotonic() > until:
                return _log.error("audit lost", entries=len(self._waiting))
            await asyncio.sleep(_AGAIN_S)
        return None

    async def note(self, entry: AuditEntry) -> None:
        """Keep a line; written at once for an admin."""
        self._waiting.append(entry)
        if entry.act.startswith("admin:"):
            await self._write()

    async def _write(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
            try:
                await audit.insert(self._db, batch)
            except BaseException:
                self._waiting.extendleft(reversed(batch))
                raise

    async def _write_every_second(self) -> None:
        turn = 0
        while not self._ending.is_set():
            if await self._tried(self._write()) and turn % int(_DELETE_EVERY_S / _EVERY_S) == 0:
                await self._tried(audit.delete_old(self._db, self._days))
            turn += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_S):
                    await self._ending.wait()

    async def _tried(self, writing: Awaitable[None]) -> bool:
        """False while PostgreSQL does not answer."""
        try:
            await writing
        except (SQLAlchemyError, OSError) as error:
            _log.warning("audit waits", entries=len(self._waiting), error=type(error).__name__)
            return False
        return True
