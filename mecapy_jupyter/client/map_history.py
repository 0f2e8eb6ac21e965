"""What a client remembers between maps: the time per call of a function, and how many tasks run at
once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from mecapy_jupyter.block.live import LiveBlock
from mecapy_jupyter.block.surfaces import is_watched
from mecapy_jupyter.client import gateway_api
from mecapy_jupyter.client.chunk_size import CallTimesByFunction
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.client.mapping import Enter, Map, MapOptions, name_of

_ASK_EVERY_S = 5.0


class Maps:
    """What a client remembers between maps, because an optimizer repeats them often."""

    def __init__(self, gateway: Gateway, enter: Enter) -> None:
        self._gateway, self._enter = gateway, enter
        self.call_times = CallTimesByFunction()
        self._slots, self._asked = 0, 0.0

    def start(
        self,
        fn: Callable[..., Any],
        calls: Iterator[tuple[Any, ...]],
        count: int | None,
        how: MapOptions,
    ) -> Iterator[Any]:
        """Send the first chunks and return the iterator."""
        if how.chunksize is not None and how.chunksize < 1:
            raise ValueError("chunksize must be >= 1, or None to choose it by the time of a call")
        work = Map(
            self._enter,
            fn,
            calls,
            count,
            self.slots(),
            self.call_times.of(fn),
            how,
            LiveBlock(how.call.name or name_of(fn), quiet=not is_watched()),
        )
        results = work.results()
        next(results)
        return results

    def slots(self) -> int:
        """How many tasks the workers run at once."""
        if time.monotonic() - self._asked > _ASK_EVERY_S or not self._asked:
            workers = gateway_api.workers(self._gateway)
            self._slots = sum(worker.slots for worker in workers)
            self._asked = time.monotonic()
        return max(1, self._slots)
