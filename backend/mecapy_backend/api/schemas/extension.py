"""How much longer a task may run."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from mecapy_backend.api.schemas.common import Request, State


class ExtendBody(Request):
    seconds: Annotated[float, Field(gt=0, le=10**8, description="added to its timeout")]


class ExtendView(BaseModel):
    task_id: str
    status: State
    timeout_s: Annotated[float, Field(description="its new timeout, in seconds of running")]
