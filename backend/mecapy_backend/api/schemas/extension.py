"""How much longer a task may run."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from mecapy_backend.api.schemas.common import Request, State


class ExtendBody(Request):
    seconds: Annotated[float, Field(gt=0, le=10**8, description="that it may run longer")]


class ExtendView(BaseModel):
    task_id: str
    status: State
    timeout_s: Annotated[float, Field(description="of running, after which it is stopped now")]
