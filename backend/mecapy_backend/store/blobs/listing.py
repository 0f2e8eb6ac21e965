"""Walking through everything there is, a part at each call, for ever: how a sweep looks at a store
of any size without a long pause.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator

from mecapy_backend.store.blobs.blob_types import StoredBlob


class ListingRounds:
    """Any number of threads may ask; each blob goes to one of them."""

    def __init__(self, everything: Callable[[], Iterator[StoredBlob]]) -> None:
        self._everything, self._walk, self._lock = (
            everything,
            iter(list[StoredBlob]()),
            threading.Lock(),
        )

    def next(self, limit: int) -> list[StoredBlob]:
        """The next so many; from the start again when all were seen. Blocks."""
        with self._lock:
            if found := list(itertools.islice(self._walk, limit)):
                return found
            self._walk = self._everything()
            return list(itertools.islice(self._walk, limit))
