"""Sweeps: named lists of points, and the tasks that compute them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, JsonValue

from mecapy_backend.api.schemas.common import PointKey, Request, State
from mecapy_jupyter import wire


class SweepBody(Request):
    """A sweep begins, or begins again with other points."""

    name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^/\x00]+$")]
    points: Annotated[
        list[PointKey],
        Field(max_length=wire.MOST_POINTS, description="in the order of the table"),
    ]
    about: Annotated[
        dict[Annotated[str, Field(max_length=200)], JsonValue],
        Field(max_length=50, description="what the client notes of code and versions"),
    ] = {}


class SweepTaskView(BaseModel):
    task_id: str
    status: State
    points: Annotated[list[str], Field(description="keys of the points that it computes")]
    worker: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class SweepView(BaseModel):
    name: str
    state: Annotated[
        Literal["running", "paused", "cancelled"],
        Field(description="as requested; the tasks may lag behind"),
    ]
    point_count: int
    created_at: datetime
    changed_at: datetime
    at: Annotated[datetime | None, Field(description="give it as `since` to ask what is new")]
    about: dict[str, Any]
    points: Annotated[list[str], Field(description="keys, in order; empty in a list")]
    tasks: Annotated[list[SweepTaskView], Field(description="oldest first; empty in a list")]


class SweepListView(BaseModel):
    sweeps: list[SweepView]
