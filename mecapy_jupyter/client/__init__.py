"""The client: talks to the gateway, submits code and functions, follows tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mecapy_jupyter.client.client import Client
    from mecapy_jupyter.client.task import Task

__all__ = ["Client", "Task"]


def __getattr__(name: str) -> Any:
    """Imported late, because most of it is rarely needed."""
    if name in __all__:
        from mecapy_jupyter.client import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
