"""Options of a call: `Client.options`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mecapy_jupyter import wire
from mecapy_jupyter.client import requirements
from mecapy_jupyter.client.resources import asked
from mecapy_jupyter.shared.units import seconds


@dataclass(frozen=True, slots=True)
class CallOptions:
    """`name`: in lists of tasks; default: the function's.

    `timeout`: run time, in seconds or as "15min" or "2h"; in a `map`, of each call. `retries`:
    further attempts after a failure. `priority`: 0 to 9, high ones start first. `escalate`: out of
    time, it runs again on a class with more processors, twice as long, at most twice.

    `cache`: a kept result of the same call will do, and this one is kept; in a `map`, each call is
    a task of its own.

    What the machine must have: `cpus`; `memory`, as "16GB" or in bytes; `gpu`, a type or True;
    `machine`, a class (`%mecapy machines` lists them). `packages`: requirements, as "gmsh==4.13",
    that it can import besides what the workers have.

    `notify`: who is notified of its end: "mail", "webhook" or a URL, or several; of a `map` or
    sweep, the end of the whole.

    `share`: a short call may run in one process with others that were submitted beside it.
    """

    name: str = ""
    timeout: float | str | None = None
    retries: int = 0
    escalate: bool = False
    priority: int = wire.PRIORITY
    cpus: float = 0
    memory: str | int = ""
    gpu: str | bool = ""
    machine: str = ""
    share: bool = True
    cache: bool = False
    packages: Sequence[str] = ()
    notify: str | Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.timeout is not None:
            seconds(self.timeout)
        if not 0 <= self.priority <= 9:
            raise ValueError(f"priority {self.priority} is not between 0 and 9")
        if self.retries < 0:
            raise ValueError(f"retries {self.retries} is below 0")
        self.resources()
        requirements.merged(self.packages)

    def changed(self, options: dict[str, object]) -> CallOptions:
        """A copy with these changes. Raises TypeError for an unknown name."""
        for name in options.keys() - set(self.__slots__):
            known = ", ".join(self.__slots__)
            raise TypeError(f"{name!r} is no option of a call; there are: {known}")
        return replace(self, **options)  # pyright: ignore[reportArgumentType]  (checked there)

    def resources(self) -> wire.Resources | None:
        return asked(self.cpus, self.memory, self.gpu, self.machine)

    @property
    def told(self) -> tuple[str, ...]:
        """Who is notified of the end."""
        return (self.notify,) if isinstance(self.notify, str) else tuple(self.notify)

    @property
    def may_share(self) -> bool:
        """Whether calls with these options may share a child: none asks for anything of its own."""
        return (
            self.share
            and not self.cache
            and not self.packages
            and not self.told
            and not self.retries
            and self.timeout is None
            and not self.resources()
        )

    def request(self, code: str, name: str, outputs: tuple[str, ...]) -> wire.TaskRequest:
        return wire.TaskRequest(
            code,
            name=self.name or name,
            outputs=outputs,
            timeout=wire.TIMEOUT_S if self.timeout is None else seconds(self.timeout),
            retries=self.retries,
            escalate=self.escalate,
            priority=self.priority,
            resources=self.resources(),
            packages=requirements.merged(self.packages),
            notify=self.told,
        )
