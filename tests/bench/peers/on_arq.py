# pyright: basic, reportMissingImports=false
"""arq as it comes, on the bench's Valkey (BENCH_REDIS_URL): one worker process.

It looks for work, and its caller for results, every 0.5 s."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from arq import create_pool
from arq.connections import ArqRedis, RedisSettings

from . import inside

_ECHO_S = 30.0


async def two(_: Any) -> int:
    return 1 + 1


async def add(_: Any, there: Any) -> Any:
    return there + 1


class WorkerSettings:
    functions = (two, add)
    redis_settings = RedisSettings.from_dsn(os.environ["BENCH_REDIS_URL"])


class Arq:
    cell = "x = peer.call('two')"

    def __init__(self, pool: ArqRedis, loop: asyncio.AbstractEventLoop) -> None:
        self._pool, self._loop = pool, loop

    def call(self, name: str, *arguments: Any) -> Any:
        return _on(self._loop, self._result(name, *arguments))

    def map(self, count: int) -> Iterable[int]:
        async def all_of_them() -> list[int]:
            return await asyncio.gather(*(self._result("add", number) for number in range(count)))

        return _on(self._loop, all_of_them())

    def echo(self, array: np.ndarray) -> np.ndarray:
        return _on(self._loop, self._result("add", array), _ECHO_S)

    async def _result(self, name: str, *arguments: Any) -> Any:
        job = await self._pool.enqueue_job(name, *arguments)
        assert job
        return await job.result()


def _on(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], timeout_s: float = 100
) -> Any:
    return asyncio.run_coroutine_threadsafe(work, loop).result(timeout_s)


@contextmanager
def opened() -> Iterator[Arq]:
    loop = asyncio.new_event_loop()  # the kernel's own is busy with the cell
    threading.Thread(target=loop.run_forever, daemon=True).start()
    command = [sys.executable, "-m", "arq", f"{__name__}.WorkerSettings"]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        pool = _on(loop, create_pool(WorkerSettings.redis_settings))
        peer = Arq(pool, loop)
        peer.call("two")  # until it serves
        yield peer
        _on(loop, pool.aclose())
    finally:
        inside.end(worker)
        loop.call_soon_threadsafe(loop.stop)
