"""A submitted task, and how a client asks about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import httpx

from mecapy_jupyter import wire

from .processes import WITHIN_S


@dataclass(frozen=True, slots=True)
class Task:
    """A submitted task, and what must come of it."""

    id: str
    result: object = None
    state: str = "completed"


def printed(events: Iterable[wire.Event]) -> str:
    """What stands in a notebook in the end: an attempt that begins takes away what the one before
    had said.
    """
    text = ""
    for event in events:
        if event.type == wire.STARTED:
            text = ""
        elif event.type == wire.STDOUT:
            text += str(event.data["text"])
    return text


def comes_again(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """As clients do it: 503 says to come again. A machine that is too busy brings it about."""
    until = time.monotonic() + WITHIN_S
    while (answer := ask()).status_code == 503 and time.monotonic() < until:
        time.sleep(float(answer.headers["Retry-After"]) / 5)
    return answer
