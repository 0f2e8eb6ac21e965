"""Lists everything in a store, a part at each call, in endless rounds, so that a sweep of a large
store makes no long pause.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator

from mecapy_backend.store.blobs.blob_types import StoredBlob


class ListingRounds:
    """Threads may call it together; each blob goes to one of them."""

    def __init__(self, everything: Callable[[], Iterator[StoredBlob]]) -> None:
        self._everything = everything
        self._walk = iter(list[StoredBlob]())
        self._lock = threading.Lock()

    def next(self, limit: int) -> list[StoredBlob]:
        """The next ones; starts again after the last. Blocks."""
        with self._lock:
            if found := list(itertools.islice(self._walk, limit)):
                return found
            self._walk = self._everything()
            return list(itertools.islice(self._walk, limit))
