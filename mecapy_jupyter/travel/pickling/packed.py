"""A stream of pickles with its buffers, as it is sent, and as it is opened. Part of `payload`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mecapy_jupyter.shared.errors import CannotSend
from mecapy_jupyter.travel.environment.module_state import States

STATES = "the state of your modules"
StatesOf = Callable[[list[str]], States]


@dataclass(frozen=True, slots=True)
class Packed:
    """A stream and its out-of-band buffers, with `memo`: number → object, which keeps every
    numbered object alive. `modules`: modules whose contents the stream names; `prelude`: the first
    object of the stream; `left`: parts of the user's modules that cannot travel, by path; `ahead`:
    the buffers with text that would else be in the stream.
    """

    stream: bytes
    buffers: tuple[memoryview, ...]
    memo: Mapping[int, object]
    modules: frozenset[str] = frozenset()
    prelude: Any = None
    left: Mapping[str, object] = field(default_factory=dict[str, object])
    ahead: tuple[memoryview, ...] = ()

    @property
    def size_bytes(self) -> int:
        return len(self.stream) + sum(buffer.nbytes for buffer in self.buffers)


@dataclass(frozen=True, slots=True)
class Opened:
    """The objects of a stream, in order, and `memo`: number → object. `lost`: modules of the user
    whose state cannot be opened here, with the reason.
    """

    values: tuple[Any, ...]
    memo: dict[int, object]
    lost: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def variables(self) -> dict[str, Any]:
        together = {name: value for values in self.values for name, value in values.items()}
        return {name: value for name, value in together.items() if name != STATES}

    @property
    def states(self) -> States:
        """The states of the user's modules."""
        parts = (values.get(STATES, {}) for values in self.values)
        return {name: held for part in parts for name, held in part.items()}


@dataclass(frozen=True, slots=True)
class Shared:
    """What several objects of a stream share. `roots`: arrays and buffers, by the id of the owner
    of their memory. `namespaces`: dicts that are the globals of functions.
    """

    roots: Mapping[int, Any] = field(default_factory=dict[int, Any])
    namespaces: tuple[dict[str, Any], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.roots or self.namespaces)


def too_many(buffers: int, most: int) -> CannotSend:
    return CannotSend(
        f"{buffers:,} arrays or files of 1 MiB or more cannot travel to one task, which takes "
        f"{most}; stack arrays of one shape into one (`np.stack`), or send them in several cells"
    )
