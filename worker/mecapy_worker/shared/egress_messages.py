"""Questions of a child to the egress broker and the answers: one message each, created and read
here. What comes from the child is untrusted: `EgressQuestion.read` checks everything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mecapy_jupyter.shared import own_json as json
from mecapy_jupyter.wire.json_fields import as_object
from mecapy_jupyter.wire.shape import OPTIONAL, Shape

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
class EgressAnswer(Shape):
    """`addresses` of a name; a connecting socket goes along. Or a refusal, with its errno and
    message.
    """

    addresses: tuple[str, ...] = field(default=(), metadata=OPTIONAL)
    refusal: Refusal = field(default="", metadata=OPTIONAL | {"key": "error"})
    errno: int = field(default=0, metadata=OPTIONAL)
    text: str = field(default="", metadata=OPTIONAL)

    def encode(self) -> bytes:
        return json.dumps(self.as_json()).encode()

    @classmethod
    def read(cls, data: bytes) -> EgressAnswer:
        return cls.from_json(as_object(json.loads(data)))
