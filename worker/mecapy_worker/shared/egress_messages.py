"""Questions of a child to the egress broker and the answers: one message each, created and read
here. What comes from the child is untrusted: `EgressQuestion.read` checks everything.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal, cast

from mecapy_jupyter.wire import json_fields as fields

Refusal = Literal["", "network", "name", "system"]
"""Not refused, not allowed, a name that does not resolve, a connection that failed."""


@dataclass(frozen=True, slots=True)
class EgressQuestion:
    """`resolve`: the addresses of a host; `connect`: a connecting socket."""

    what: Literal["resolve", "connect"]
    host: str
    port: int

    def encode(self) -> bytes:
        return json.dumps([self.what, self.host, self.port]).encode()

    @classmethod
    def read(cls, data: bytes) -> EgressQuestion | None:
        """None if it is not a valid question."""
        try:
            found: object = json.loads(data)
        except (ValueError, RecursionError):
            return None
        match found:
            case ["resolve", str(host), int(port)]:
                return cls("resolve", host, port)
            case ["connect", str(host), int(port)]:
                return cls("connect", host, port)
            case _:
                return None


@dataclass(frozen=True, slots=True)
class EgressAnswer:
    """`addresses` of a name; a connecting socket goes along. Or a refusal, with its errno and
    message.
    """

    addresses: tuple[str, ...] = ()
    refusal: Refusal = ""
    errno: int = 0
    text: str = ""

    def encode(self) -> bytes:
        answer: dict[str, object] = {}
        if self.addresses:
            answer = {"addresses": self.addresses}
        if self.refusal:
            answer = {"error": self.refusal, "errno": self.errno, "text": self.text}
        return json.dumps(answer).encode()

    @classmethod
    def read(cls, data: bytes) -> EgressAnswer:
        found = fields.as_object(json.loads(data))
        return cls(
            fields.texts(found, "addresses"),
            cast(Refusal, fields.text(found, "error")),
            fields.integer(found, "errno"),
            fields.text(found, "text"),
        )
