"""Every error of the REST API as a problem document (RFC 9457) whose `detail` says what to do.

Routes raise `Problem`; `install` converts errors of FastAPI, PostgreSQL, Redis and the object
store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

import structlog
from botocore.exceptions import BotoCoreError, ClientError  # pyright: ignore[reportMissingTypeStubs]
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from structlog.contextvars import get_contextvars

from mecapy_backend.api import metrics
from mecapy_backend.api.openapi import OpenApiResponses
from mecapy_backend.store import database, json_text
from mecapy_backend.store.blobs import causes
from mecapy_backend.store.blobs.blob_types import BadName, ObjectStoreError
from mecapy_backend.store.blobs.reservations import NoRoom

_log = structlog.get_logger()
_RETRY = {"Retry-After": "1"}
DOCUMENTED: OpenApiResponses = {
    "default": {
        "description": "What is wrong, and what to do (RFC 9457)",
        "content": {
            "application/problem+json": {
                "schema": {
                    "type": "object",
                    "properties": {name: {"type": "string"} for name in ("type", "title", "detail")}
                    | {"status": {"type": "integer"}},
                    "required": ["type", "title", "status", "detail"],
                }
            }
        },
    }
}
"""Error answers of every route, for the OpenAPI document."""

_UNEXPECTED = "the gateway had an internal error; tell its operator: its log names this request {}"


class Problem(Exception):
    """An error answer. `name` is stable, for programs; `detail` is for people; `more` are further
    members.
    """

    def __init__(
        self,
        status: int,
        name: str,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        **more: object,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.name = name
        self.detail = detail
        self.headers = headers or {}
        self.more = more

    def response(self) -> Response:
        metrics.problems.labels(self.name).inc()
        body = {
            "type": f"urn:mecapy:problem:{self.name}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        return Response(
            json_text.dumps(body | self.more), self.status, self.headers, "application/problem+json"
        )


def no_such_task(task_id: str, where: str = "") -> Problem:
    return Problem(
        404,
        "no-such-task",
        f"{where}no task {task_id[:40]!r} of yours; GET /tasks lists those you have",
    )


def no_such_workflow(workflow_id: str) -> Problem:
    return Problem(
        404,
        "no-such-workflow",
        f"no workflow {workflow_id[:40]!r} of yours; GET /workflows lists those you have",
    )


def no_such_user(user_id: str) -> Problem:
    return Problem(404, "no-such-user", f"no user {user_id[:40]!r}; GET /users lists them")


def no_such_blob() -> Problem:
    return Problem(
        404, "no-such-blob", "no such blob of yours; POST /blobs/missing tells which ones to upload"
    )


def misunderstood(detail: str) -> Problem:
    return Problem(422, "not-understood", detail)


def not_understood(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """A Problem from pydantic's list, with the first three wrong places."""
    problems = [
        f"{'.'.join(str(part) for part in error['loc'] if part != 'body') or 'body'}: "
        f"{error['msg']}"[:300]
        for error in errors[:3]
    ]
    rest = f" (and {len(errors) - 3} more)" if len(errors) > 3 else ""
    return misunderstood("; ".join(problems) + rest + ". See /docs for what this address takes.")


def unavailable(what: str) -> Problem:
    return Problem(
        503,
        "unavailable",
        f"{what} does not answer just now; nothing was lost, try again in a moment",
        headers=_RETRY,
    )


def store_unavailable(error: Exception) -> Problem:
    """Logged with its cause."""
    _log.warning("object store away", why=causes.cause(error)[1])
    return unavailable(f"the object store ({causes.name_of(error)})")


def no_connection_free() -> Problem:
    """A Problem for a request that got no connection to the database; counted."""
    metrics.database_exhausted.inc()
    return Problem(
        503,
        "busy",
        "no connection to the database became free in time; nothing was lost, try again in a "
        "moment",
        headers={"Retry-After": "2"},
    )


def install(app: FastAPI) -> None:
    """Give the app these errors."""
    for kind, handler in _HANDLERS:
        app.add_exception_handler(kind, handler)


async def _problem(_: Request, error: Exception) -> Response:
    return cast(Problem, error).response()


async def _invalid(_: Request, error: Exception) -> Response:
    return not_understood(cast(ValidationError | RequestValidationError, error).errors()).response()


async def _bad_name(_: Request, error: Exception) -> Response:
    return misunderstood(str(error)).response()


async def _http(request: Request, error: Exception) -> Response:
    error = cast(HTTPException, error)
    what = {
        404: f"there is nothing at {request.url.path}; /docs lists the addresses",
        405: f"{request.method} is not allowed at this address; see /docs",
    }
    detail = what.get(error.status_code, str(error.detail))
    return Problem(error.status_code, "http", detail, headers=dict(error.headers or {})).response()


async def _database(request: Request, error: Exception) -> Response:
    if isinstance(error, DBAPIError) and not database.may_succeed_later(error):
        return await _unexpected(request, error)
    why = database.cause(error) or type(error).__name__
    _log.warning("postgres away", path=request.url.path, why=why)
    if database.exhausted(error):
        return no_connection_free().response()
    return unavailable("the database").response()


async def _redis(request: Request, error: Exception) -> Response:
    _log.warning("redis away", path=request.url.path, error=type(error).__name__)
    return unavailable("the event store").response()


async def _object_store(_: Request, error: Exception) -> Response:
    return store_unavailable(error).response()


async def _no_room(_: Request, error: Exception) -> Response:
    return Problem(413, "quota", str(error), headers={"Retry-After": "60"}).response()


async def _gone(_: Request, error: Exception) -> Response:
    return Problem(
        400, "cut-off", "the request ended before its body did"
    ).response()  # nobody reads it


async def _unexpected(request: Request, error: Exception) -> Response:
    _log.error("unexpected", path=request.url.path, exc_info=error)
    return Problem(
        500, "unexpected", _UNEXPECTED.format(get_contextvars().get("request", ""))
    ).response()


_HANDLERS = (
    (Problem, _problem),
    (RequestValidationError, _invalid),
    (ValidationError, _invalid),
    (BadName, _bad_name),
    (NoRoom, _no_room),
    (HTTPException, _http),
    (DBAPIError, _database),
    (PoolTimeout, _database),
    (ObjectStoreError, _object_store),
    (OSError, _database),  # asyncpg: connection refused; includes TimeoutError
    (RedisError, _redis),
    (BotoCoreError, _object_store),
    (ClientError, _object_store),
    (ClientDisconnect, _gone),
    (Exception, _unexpected),
)
