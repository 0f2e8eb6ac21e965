# pyright: basic, reportMissingImports=false
"""Dask: `distributed`'s local cluster of two processes; the array is scattered first, as its manual
says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from distributed import Client, LocalCluster


class Dask:
    # Not pure: a pure call's result would be known from the trip before.
    cell = "x = peer.client.submit(lambda: 1 + 1, pure=False).result()"

    def __init__(self, client: Client) -> None:
        self.client = client

    def map(self, count: int) -> Iterable[int]:
        return self.client.gather(
            self.client.map(lambda number: number + 1, range(count), pure=False)
        )

    def echo(self, array: np.ndarray) -> np.ndarray:
        return self.client.submit(
            lambda there: there + 1, self.client.scatter(array, hash=False), pure=False
        ).result()


@contextmanager
def opened() -> Iterator[Dask]:
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield Dask(client)
