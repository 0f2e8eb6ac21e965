"""Messages of a page to a kernel that is busy with a cell: they come on Jupyter's control channel,
which a thread of the kernel reads. (A widget's ordinary message waits until the cell has ended.)
Our messages have a type of their own, the name of a listener, and a word.

Where the kernel or the page has no such channel, the button that needs it is not shown.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, cast

from mecapy_jupyter.hooks import ipykernel

MESSAGE = "mecapy_request"
_listeners: dict[str, Callable[[str], None]] = {}


def listen(kernel: object, hear: Callable[[str], None]) -> str:
    """Call `hear` with each word that is sent to the returned name. Empty: this kernel has no such
    channel.
    """
    if (handlers := ipykernel.control_handlers(kernel)) is None:
        return ""
    handlers[MESSAGE] = _handle
    name = uuid.uuid4().hex
    _listeners[name] = hear
    return name


def forget(name: str) -> None:
    _listeners.pop(name, None)


def _handle(_stream: object, _identities: object, message: dict[str, Any]) -> None:
    """A message of the page. One that names no listener is ignored."""
    content = message.get("content")
    message_body = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
    hear = _listeners.get(str(message_body.get("listener")))
    if hear is not None and isinstance(message_body.get("word"), str):
        hear(message_body["word"])
