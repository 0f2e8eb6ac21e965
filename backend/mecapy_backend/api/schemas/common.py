"""What all bodies of the REST surface have in common. The models beside it are checks of requests,
and the OpenAPI document.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

State = Literal["blocked", "queued", "running", "completed", "failed", "cancelled"]
Digest = Annotated[
    str, Field(pattern=r"^[0-9a-f]{64}$", description="BLAKE3, 64 hexadecimal digits in lower case")
]
PointKey = Annotated[
    str, Field(pattern=r"^[0-9a-f]{32}$", description="content key, 32 hexadecimal digits")
]
NotifyTargets = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=500)]],
    Field(
        max_length=3, description="who is notified of its end: `mail`, `webhook` or an https URL"
    ),
]
# PostgreSQL's text may not contain NUL
UserId = Annotated[str, Path(max_length=200, pattern=r"^[^\x00]*$")]


class Request(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
