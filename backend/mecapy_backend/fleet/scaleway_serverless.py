"""What jobs and containers of Scaleway have in common: regions, tried in order and looked through,
in which a machine is one thing with its tag.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.provider import ProviderRefused, Tag
from mecapy_backend.fleet.scaleway_sdk import ANSWER_S, ScalewayRefused, asked, client


class _HasName(Protocol):
    id: str


_T = TypeVar("_T", bound=_HasName)


class ServerlessProvider(ABC, Generic[_T]):
    """`regions`: where its machines may be, all of them looked through. `url`: the gateway's
    address for machines; `settings`: of their workers, none of them a secret.
    """

    def __init__(
        self,
        regions: tuple[str, ...],
        url: str,
        settings: Mapping[str, str],
        *,
        answer_s: float = ANSWER_S,
        look_s: float = 1.0,
    ) -> None:
        self._regions, self._url, self._settings, self._look_s = regions, url, settings, look_s
        self._client = client(answer_s)

    def start(self, tag: Tag, machine: MachineClass, token: str) -> str:
        """Start it in the first region that takes it."""
        refusals: list[str] = []
        for region in machine.zones:
            try:
                return f"{region}/{self._start_in(region, tag, machine, token)}"
            except ScalewayRefused as refused:
                refusals.append(str(refused))
                if refused.final or refused.unsure:
                    raise  # the next round finds by its tag what may be there
        raise ProviderRefused("; ".join(refusals))

    def stop(self, handle: str, tag: Tag) -> None:
        known = handle.partition("/")[0]
        for region in (known,) if known else self._regions:
            for found, one in self._tagged(region):
                if found == tag:
                    self._end(region, tag, one)

    def list(self, stack: str) -> Mapping[str, str]:
        return {
            tag.machine: f"{region}/{one.id}"
            for region in self._regions
            for tag, one in self._tagged(region)
            if tag.stack == stack
        }

    @abstractmethod
    def _start_in(self, region: str, tag: Tag, machine: MachineClass, token: str) -> str:
        """The id that it has there."""

    @abstractmethod
    def _tagged(self, region: str) -> list[tuple[Tag, _T]]:
        """The tagged machines of every stack."""

    @abstractmethod
    def _end(self, region: str, tag: Tag, one: _T) -> None: ...


def worker_arguments(tag: Tag, machine: MachineClass) -> list[str]:
    return ["worker", "--hours", f"{machine.hours:g}", "--machine", str(tag)]


def delete(where: str, call: Callable[[], object]) -> None:
    """Unless it is gone already."""
    try:
        asked(where, call)
    except ScalewayRefused as refused:
        if not refused.gone:
            raise
