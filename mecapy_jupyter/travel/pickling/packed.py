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
    object of the stream.
    """

    stream: bytes
    buffers: tuple[memoryview, ...]
    memo: Mapping[int, object]
    modules: frozenset[str] = frozenset()
    prelude: Any = None

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
        """Of the user's modules."""
        parts = (values.get(STATES, {}) for values in self.values)
        return {name: held for part in parts for name, held in part.items()}


def too_many(buffers: int, most: int) -> CannotSend:
    return CannotSend(
        f"{buffers:,} arrays or files of 1 MiB or more cannot travel to one task, which takes "
        f"{most}; stack arrays of one shape into one (`np.stack`), or send them in several cells"
    )
