"""A router whose routes check the caller and document the errors from the start. The app takes
them as they are: `include_router` would make each a second time, at the gateway's first request.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends

from mecapy_backend.api import problems
from mecapy_backend.api.auth import caller_of


def surface(tag: str, *, documented: bool = True) -> APIRouter:
    """No route runs without `caller_of`."""
    return APIRouter(
        tags=[tag],
        dependencies=[Depends(caller_of)],
        responses=problems.DOCUMENTED,
        include_in_schema=documented,
    )
