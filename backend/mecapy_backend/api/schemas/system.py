"""The workers, what is installed on them, and how to log in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from mecapy_backend.api.schemas.common import Request

PythonAsked = Annotated[
    str, Field(pattern=r"^(3\.\d{1,2})?$", description='"major.minor"; empty: any')
]


class WorkerView(BaseModel):
    id: str
    python: Annotated[str, Field(description='"major.minor" of what its tasks run on')]
    info: dict[str, Any]
    started_at: datetime
    seen_at: datetime
    draining: Annotated[bool, Field(description="ends what it runs, takes no more tasks")]


class WorkerBody(Request):
    draining: bool


class PackagesView(BaseModel):
    python: Annotated[list[str], Field(description="major.minor of the live workers")]
    packages: Annotated[
        dict[str, list[str]],
        Field(description="module → distribution, then its version (several where workers differ)"),
    ]
    folder_bytes: Annotated[
        int, Field(description="bytes of a notebook's folder that travel; 0: none")
    ]
    folder_files: Annotated[int, Field(description="files of it that travel")]
    adds: Annotated[str, Field(description="packages that a task may add: off, list or any")]


class AuthView(BaseModel):
    issuer: str | None
    client_id: str | None
    scope: str | None
