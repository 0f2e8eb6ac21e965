"""The cache of results as it is listed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field


class CacheEntryView(BaseModel):
    task_id: str
    name: str
    code: Annotated[str, Field(description="the first line of its code")]
    ran_at: datetime | None
    seconds: Annotated[float, Field(description="that it ran, and that finding it saves")]
    expires_at: datetime | None


class CacheListView(BaseModel):
    entries: list[CacheEntryView]
    count: Annotated[int, Field(description="of all that is kept")]
    seconds: float


class ClearedView(BaseModel):
    cleared: int
