"""Sweeps: named lists of points, and the tasks that compute them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from mecapy_backend.api.schemas.common import PointKey, Request
from mecapy_jupyter import wire


class SweepBody(Request):
    """A sweep begins, or begins again with other points."""

    name: str = Field(min_length=1, max_length=200, pattern=r"^[^/\x00]+$")
    points: list[PointKey] = Field(max_length=wire.MOST_POINTS)
    """In the order of the table."""

    about: dict[Annotated[str, Field(max_length=200)], JsonValue] = Field(default={}, max_length=50)
    """What the client notes of code and versions."""
