"""Reads JSON bodies: bounded while they arrive, checked by pydantic, with clear problems. FastAPI's
own body parameter answers its limit in plain text and parses JSON twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from mecapy_backend.api.openapi import OpenApiExtra
from mecapy_backend.api.problems import Problem, misunderstood, not_understood
from mecapy_jupyter.wire import Json, JsonObject

Model = TypeVar("Model", bound=BaseModel)

_SLOW_S, _SLOWEST = 30.0, 1000
_ADVICE = "put large values into blobs (POST /blobs/missing) and send their digests"
_HELD = 32  # bodies of the largest size: so many bytes may be held at once


class BodyReader:
    """Reads the bodies of one gateway. All bodies together are bounded too, because thousands of
    large ones would not fit.
    """

    def __init__(self, max_bytes: int, advice: str = _ADVICE) -> None:
        self._max_bytes, self._held_bytes, self._advice = max_bytes, 0, advice

    async def read(self, request: Request, model: type[Model]) -> Model:
        """The body as `model`. Raises Problem 413 or 422."""
        raw = await self._whole(request)
        try:
            body = model.model_validate_json(raw)
        except ValidationError as wrong:
            raise not_understood(
                wrong.errors(include_url=False, include_context=False, include_input=False)
            ) from None
        # The plain search is a hundred times faster, and most bodies have no such escape.
        if b"\\u0000" in raw and _holds_nul(body.model_dump()):
            raise misunderstood(
                "the body contains a NUL character (\\u0000), which cannot be stored; leave it out"
            )
        return body

    async def _whole(self, request: Request) -> bytes:
        chunks, size = list[bytes](), 0
        try:
            async for chunk in bounded(request, self._max_bytes, self._advice):
                chunks.append(chunk)
                size += len(chunk)
                self._held_bytes += len(chunk)
                if self._held_bytes > _HELD * self._max_bytes:
                    detail = (
                        "this gateway is reading as many large requests as it can hold; try "
                        "again in a moment"
                    )
                    raise Problem(503, "busy", detail, headers={"Retry-After": "2"})
            return b"".join(chunks)
        finally:
            self._held_bytes -= size


def _holds_nul(value: object) -> bool:
    match value:
        case str():
            return "\0" in value
        case dict():
            return any(map(_holds_nul, value)) or any(map(_holds_nul, value.values()))  # pyright: ignore
        case list():
            return any(map(_holds_nul, value))  # pyright: ignore
        case _:
            return False


async def bounded(request: Request, limit_bytes: int, advice: str) -> AsyncIterator[bytes]:
    """The body as it arrives; Problem 413 once it is too long, also with chunked encoding."""
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


def described(model: type[BaseModel]) -> OpenApiExtra:
    """The part of the OpenAPI document that FastAPI would write for a body parameter."""
    schema = model.model_json_schema()
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _inlined(schema, schema.pop("$defs", {}))}},
        }
    }


def _inlined(schema: Json, definitions: JsonObject) -> Json:
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return {} if name == "JsonValue" else _inlined(definitions[name], definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items()}
