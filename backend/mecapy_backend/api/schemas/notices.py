"""The recipients of a task's note, set later."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mecapy_backend.api.schemas.common import NotifyTargets, Request


class NotifyBody(Request):
    notify: NotifyTargets
    check: Annotated[bool, Field(description="change nothing; only refuse what is refused")] = False
