"""The result of another task, as a part of the message that gives a child its task."""

from __future__ import annotations

from dataclasses import dataclass

from mecapy_jupyter.wire import Json, Payload
from mecapy_jupyter.wire.shape import Shape


@dataclass(frozen=True, slots=True)
class ParentInput(Shape):
    """A task whose result the child's task needs. `result` is its JSON, `payload` its pickles;
    `sent` is what it was sent itself, which those name by number. Streams that are no blobs follow
    the child's own in the body, `payload_bytes` and `sent_bytes` long.
    """

    id: str
    label: str = ""
    result: Json = None
    payload: Payload | None = None
    sent: Payload | None = None
    payload_bytes: int = 0
    sent_bytes: int = 0
