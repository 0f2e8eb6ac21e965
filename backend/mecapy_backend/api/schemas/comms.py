"""Messages of a page to the widgets of a running cell."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, JsonValue

from mecapy_backend.api.schemas.common import Request

_MOST_MESSAGES, _MOST_BUFFERS = 200, 1000


class CommBody(Request):
    comm_id: Annotated[str, Field(min_length=1, max_length=128, description="of its `comm_open`")]
    data: Annotated[dict[str, JsonValue], Field(description="as in Jupyter's `comm_msg`")]
    buffers: Annotated[list[str], Field(max_length=_MOST_BUFFERS, description="in base64")] = []


class CommsBody(Request):
    messages: Annotated[list[CommBody], Field(min_length=1, max_length=_MOST_MESSAGES)]


class CommsView(BaseModel):
    delivered: Annotated[int, Field(description="messages that the task's worker has taken")]
