"""Reading JSON bodies: bounded while they arrive, checked by pydantic, with problems that say what
is wrong.

Not FastAPI's own body parameter: its limit answers in plain text, and it parses JSON twice.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any, TypeVar, cast

from fastapi import Request
from pydantic import BaseModel, ValidationError

from mecapy_backend.api.problems import Problem, not_understood

Model = TypeVar("Model", bound=BaseModel)

_SLOW_S, _SLOWEST = 30.0, 1000
_HELD = 32  # times `max_body_bytes`

# An escaped NUL: `\u0000` with an even number of backslashes before it.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


async def read(request: Request, model: type[Model]) -> Model:
    """The body as `model`. Raises Problem 413 or 422."""
    raw = await _whole(request, request.app.state)
    if b"\\u0000" in raw and _NUL.search(raw):  # the plain search is a hundred times faster
        raise Problem(
            422,
            "not-understood",
            "the body holds a NUL character (\\u0000), which cannot be stored; leave it out",
        )
    try:
        return model.model_validate_json(raw)
    except ValidationError as wrong:
        raise not_understood(
            wrong.errors(include_url=False, include_context=False, include_input=False)
        ) from None


async def _whole(request: Request, state: Any) -> bytes:
    """All of it. What many hold at once has a bound too: a few requests of full size would fit,
    thousands would not.
    """
    limit: int = state.settings.max_body_bytes
    chunks, size = list[bytes](), 0
    try:
        async for chunk in bounded(
            request,
            limit,
            "put large values into blobs (POST /blobs/missing) and send their digests",
        ):
            chunks.append(chunk)
            size += len(chunk)
            state.held_bytes += len(chunk)
            if state.held_bytes > _HELD * limit:
                detail = (
                    "this gateway is reading as many large requests as it can hold; try "
                    "again in a moment"
                )
                raise Problem(503, "busy", detail, headers={"Retry-After": "2"})
        return b"".join(chunks)
    finally:
        state.held_bytes -= size


async def bounded(request: Request, limit_bytes: int, advice: str) -> AsyncIterator[bytes]:
    """The body as it arrives; Problem 413 once it is longer than it may be, also when it comes in
    chunks of unknown number.
    """
    problem = Problem(413, "too-large", f"the body is longer than {limit_bytes} bytes; {advice}")
    if int(request.headers.get("content-length", 0)) > limit_bytes:
        raise problem
    size, since, stream = 0, time.monotonic(), aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout_at(
                asyncio.get_running_loop().time()
                + since
                + _SLOW_S
                + size / _SLOWEST
                - time.monotonic()
            ):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            detail = (
                f"the body arrives too slowly: less than {_SLOWEST} bytes a second after "
                f"{_SLOW_S:.0f} s; send it again"
            )
            raise Problem(408, "too-slow", detail, headers={"Connection": "close"}) from None
        size += len(chunk)
        if size > limit_bytes:
            raise problem
        if chunk:
            yield chunk


def described(model: type[BaseModel]) -> dict[str, Any]:
    """The part of the OpenAPI document that FastAPI would write for a body parameter."""
    schema = model.model_json_schema()
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _inlined(schema, schema.pop("$defs", {}))}},
        }
    }


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in cast(list[Any], schema)]
    if not isinstance(schema, dict):
        return schema
    parts = cast(dict[str, Any], schema)
    if "$ref" in parts:
        name = str(parts["$ref"]).rpartition("/")[2]
        return {} if name == "JsonValue" else _inlined(definitions[name], definitions)
    return {key: _inlined(value, definitions) for key, value in parts.items()}
