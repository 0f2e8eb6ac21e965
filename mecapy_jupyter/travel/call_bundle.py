"""Several calls that travel as one task and share a child. Each stays apart: its own stream of
inputs, its own outcome, its own prints.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mecapy_jupyter.wire import JsonObject, Outcome, Payload

_LEVEL = 1
"""The streams are nearly equal, so the fastest compression removes most of them."""


@dataclass(frozen=True, slots=True)
class CallBundle:
    """`code`: what runs for each of the calls. `streams`: their inputs, as `payload.pack` wrote
    them; compressed.
    """

    code: str
    streams: bytes

    @classmethod
    def of(cls, code: str, streams: Sequence[bytes]) -> CallBundle:
        return cls(code, zlib.compress(pickle.dumps(list(streams)), _LEVEL))

    def each(self) -> list[bytes]:
        return pickle.loads(zlib.decompress(self.streams))  # noqa: S301 of the task's own inputs


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How one of them ended: `state` and `error` as of a `wire.Outcome`, `stream` and `buffers` as
    `payload.pack_result` wrote them, and what it printed: the name of the stream, and the text.
    """

    state: str
    error: JsonObject | None
    stream: bytes
    buffers: tuple[Any, ...]
    printed: tuple[tuple[str, str], ...]

    def outcome(self) -> Outcome:
        """Each buffer is named by its number."""
        sent = Payload(self.stream, buffers=tuple(map(str, range(len(self.buffers)))))
        return replace(
            Outcome.from_json({"state": self.state, "error": self.error}),
            payload=sent if self.stream else None,
        )
