"""What the fleet asks of a provider of machines: one file for each, all behind this protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mecapy_backend.fleet.classes import MachineClass


class ProviderRefused(Exception):
    """No machine now: out of stock, a quota, an answer that says no. The text is shown."""


@dataclass(frozen=True, slots=True)
class Tag:
    """What a machine carries from the moment it exists, by which it is found again."""

    stack: str
    machine: str

    def __str__(self) -> str:
        return f"mecapy-{self.stack}-{self.machine}"

    @classmethod
    def of(cls, text: str) -> Tag | None:
        match text.split("-"):
            case ["mecapy", stack, machine]:
                return cls(stack, machine)
            case _:
                return None


class Provider(Protocol):
    """All may block: the scaler calls them in a thread. A call that is repeated does no harm."""

    def start(self, tag: Tag, machine: MachineClass, token: str) -> str:
        """Ask for one; its handle. Raises ProviderRefused. `token`: with it the machine gets its
        credentials, once; "": it has them from the provider.
        """
        ...

    def stop(self, handle: str, tag: Tag) -> None:
        """Destroy it and all that is its own. Nothing happens where it is gone."""
        ...

    def list(self, stack: str) -> Mapping[str, str]:
        """What exists with this stack's tag: machine → handle."""
        ...
