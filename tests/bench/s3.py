"""256 MiB to and from S3, each way beside bare boto3 in the same run and against the same server.
Part of `make bench`; never a test.

Notebook: presigned parts (`transfer`), digest included. Worker: what `S3Store` does with a result
and with an input it does not have, digest included. Bare boto3: `upload_file`, `upload_fileobj`
from memory and `download_file`, with its own TransferConfig.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from pydantic import SecretStr

from mecapy_backend.shared.settings import Settings
from mecapy_backend.stack.services import Postgres, Valkey
from mecapy_backend.store.blobs.blob_store import open_store
from mecapy_jupyter.client import blob_transfer
from mecapy_jupyter.client.http import Gateway

from .. import weed
from ..conftest import TOKEN, named, served

MIB = 1 << 20
PAIRS = {  # ours: bare boto3's
    "notebook to store": ("put", "upload_fileobj"),
    "store to notebook": ("get", "download_fileobj"),
    "worker to store": ("adopt", "upload_file"),
    "store to worker": ("open", "download_file"),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--mib", type=int, default=256)
    arguments.add_argument("--rounds", type=int, default=5)
    asked, _ = arguments.parse_known_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    os.environ.update(weed.KEYS)
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True)
            )
        )
        for name in ("s3", "here"):
            (folder / name).mkdir()
        endpoint = stack.enter_context(weed.served(folder / "s3"))
        database = stack.enter_context(Postgres.start(folder / "postgres"))
        redis = stack.enter_context(Valkey.start(folder / "valkey"))
        settings: Any = Settings(
            database_url=_migrated(database.url), redis_url=redis.url, blob_url="s3://blobs/bench",
            s3_endpoint_url=endpoint, cache_dir=str(folder / "cache"), token=SecretStr(TOKEN),
        )  # fmt: skip
        running = stack.enter_context(served(settings))
        found = measure(
            settings,
            Gateway(running.url, running.token),
            folder / "here",
            asked.mib * MIB,
            asked.rounds,
        )
    show(found, asked.mib * MIB / 1e6)


def _migrated(url: str) -> str:
    from mecapy_backend.migrations import upgrade

    url = named(url, "postgres")
    upgrade(url)
    return url


def measure(
    settings: Any, gateway: Gateway, here: Path, size_bytes: int, rounds: int
) -> dict[str, list[float]]:
    """Each round with new bytes; ours and boto3's in turn, so that a slow moment of the machine
    meets both.
    """
    store: Any = open_store(
        settings.blob_url, endpoint_url=settings.s3_endpoint_url, cache_dir=settings.cache_dir
    )
    boto, found = store._bucket._s3, dict[str, list[float]]()

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = work()
        found.setdefault(name, []).append(time.perf_counter() - began)
        return result

    for number in range(rounds):
        array = np.random.default_rng(number).integers(0, 255, size_bytes, dtype="u1")
        source = io.BytesIO(array.tobytes())
        timed("upload_fileobj", lambda source=source: boto.upload_fileobj(source, "blobs", "bare"))
        [digest] = timed("put", lambda array=array: blob_transfer.send(gateway, [array])).digests
        with os.fdopen(os.memfd_create("bare"), "w+b") as target:
            timed(
                "download_fileobj",
                lambda target=target: boto.download_fileobj("blobs", "bare", target),
            )
        timed("get", lambda digest=digest: blob_transfer.fetch(gateway, digest))
        array[0] ^= 1
        for name in ("result", "bare"):
            array.tofile(here / name)
        timed("upload_file", lambda: boto.upload_file(str(here / "bare"), "blobs", "bare"))
        digest, _ = timed("adopt", lambda: asyncio.run(store.adopt("local", here / "result")))
        asyncio.run(store.cache.delete("local", digest))
        timed("download_file", lambda: boto.download_file("blobs", "bare", str(here / "bare")))
        os.close(timed("open", lambda digest=digest: asyncio.run(store.open("local", digest))))
    return found


def show(found: dict[str, list[float]], size_mb: float) -> None:
    print(
        f"{'256 MiB and S3' if size_mb > 268 else 'S3':<22} {'ours':>11} {'bare boto3':>13}   "
        f"ratio of the medians (target 1.20)"
    )
    for name, (ours, bare) in PAIRS.items():
        one, other = statistics.median(found[ours]), statistics.median(found[bare])
        print(
            f"{name:<22} {size_mb / one:6.0f} MB/s {size_mb / other:8.0f} MB/s   {one / other:5.2f}"
        )


if __name__ == "__main__":
    main()
