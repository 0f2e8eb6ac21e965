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
    seconds: Annotated[float, Field(description="its run time, which a hit saves")]
    expires_at: datetime | None


class CacheListView(BaseModel):
    entries: list[CacheEntryView]
    count: Annotated[int, Field(description="number of all kept results")]
    seconds: float


class ClearedView(BaseModel):
    cleared: int
