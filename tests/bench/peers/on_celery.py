# pyright: basic, reportMissingImports=false
"""Celery on the bench's Valkey (BENCH_REDIS_URL), broker and results: one worker with two
processes. Pickle, as JSON carries no array.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from celery import Celery, group

from . import inside

_url = os.environ["BENCH_REDIS_URL"]
app = Celery("bench", broker=_url, backend=_url)
app.conf.update(
    task_serializer="pickle", result_serializer="pickle", accept_content=["pickle", "json"]
)
app.conf.update(broker_connection_retry_on_startup=True, result_expires=60)


@app.task(name="two")
def two() -> int:
    return 1 + 1


@app.task(name="add")
def add(there: Any) -> Any:
    return there + 1


class Bench:
    cell = "x = peer.two.delay().get(timeout=60)"
    two = two

    def map(self, count: int) -> Iterable[int]:
        return group(add.s(number) for number in range(count))().get(timeout=100)

    def echo(self, array: np.ndarray) -> np.ndarray:
        return add.delay(array).get(timeout=100)


@contextmanager
def opened() -> Iterator[Bench]:
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        __name__,
        "worker",
        "--concurrency",
        "2",
        "--loglevel",
        "ERROR",
    ]
    # Containers run as root; there Celery refuses pickle unless told so.
    worker = subprocess.Popen(
        command, env=os.environ | {"C_FORCE_ROOT": "1"}, stdout=subprocess.DEVNULL
    )
    try:
        two.delay().get(timeout=60)  # until it serves
        yield Bench()
    finally:
        inside.end(worker)
