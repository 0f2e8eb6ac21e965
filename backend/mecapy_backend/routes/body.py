"""Reading JSON bodies: bounded while they arrive, checked by pydantic, with problems that say what is wrong.

Not FastAPI's own body parameter: its limit answers in plain text, and it parses JSON twice.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, TypeVar, cast

from fastapi import Request
from pydantic import BaseModel, ValidationError

from ..problems import Problem, not_understood

Model = TypeVar("Model", bound=BaseModel)

# An escaped NUL: `\u0000` with an even number of backslashes before it.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


async def read(request: Request, model: type[Model]) -> Model:
    """The body as `model`. Raises Problem 413 or 422."""
    limit: int = request.app.state.settings.max_body_bytes
    raw = b"".join(
        [chunk async for chunk in bounded(request, limit, "put large values into blobs (POST /blobs/missing) and send their digests")]
    )
    if _NUL.search(raw):
        raise Problem(422, "not-understood", "the body holds a NUL character (\\u0000), which cannot be stored; leave it out")
    try:
        return model.model_validate_json(raw)
    except ValidationError as wrong:
        raise not_understood(wrong.errors(include_url=False, include_context=False, include_input=False)) from None


async def bounded(request: Request, limit_bytes: int, advice: str) -> AsyncIterator[bytes]:
    """The body as it arrives; Problem 413 once it is longer than it may be, also when it comes in chunks of unknown number."""
    problem = Problem(413, "too-large", f"the body is longer than {limit_bytes} bytes; {advice}")
    if int(request.headers.get("content-length", 0)) > limit_bytes:
        raise problem
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit_bytes:
            raise problem
        if chunk:
            yield chunk


def described(model: type[BaseModel]) -> dict[str, Any]:
    """The part of the OpenAPI document that FastAPI would write for a body parameter."""
    schema = model.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _inlined(schema, schema.pop("$defs", {}))}}}}


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
