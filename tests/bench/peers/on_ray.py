# pyright: basic, reportMissingImports=false
"""Ray: a local node with two CPUs, no dashboard. Its store of objects is in /dev/shm where there is
room, else in a file (slower).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

# Read when ray is imported.
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}

import ray


class Ray:
    cell = "x = peer.ray.get(peer.two.remote())"
    ray = ray

    def __init__(self) -> None:
        self.two = ray.remote(lambda: 1 + 1)
        self._add = ray.remote(lambda number: number + 1)

    def map(self, count: int) -> Iterable[int]:
        return ray.get([self._add.remote(number) for number in range(count)])

    def echo(self, array: np.ndarray) -> np.ndarray:
        return ray.get(self._add.remote(array))


@contextmanager
def opened() -> Iterator[Ray]:
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=2 << 30,
        log_to_driver=False,
        logging_level="error",
    )
    try:
        yield Ray()
    finally:
        ray.shutdown()
