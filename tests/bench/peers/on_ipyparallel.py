# pyright: basic, reportMissingImports=false
"""ipyparallel: two engines on this machine, calls balanced between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import ipyparallel
import numpy as np


class IPyParallel:
    cell = "x = peer.view.apply_sync(lambda: 1 + 1)"

    def __init__(self, view: Any) -> None:
        self.view = view

    def map(self, count: int) -> Iterable[int]:
        return self.view.map_sync(lambda number: number + 1, range(count), chunksize=100)

    def echo(self, array: np.ndarray) -> np.ndarray:
        return self.view.apply_sync(lambda there: there + 1, array)


@contextmanager
def opened() -> Iterator[IPyParallel]:
    with ipyparallel.Cluster(n=2, log_level=40) as client:
        client.wait_for_engines(2, timeout=60)
        yield IPyParallel(client.load_balanced_view())
