"""Copies blobs between a store and a backup, several at a time. A blob whose bytes do not fit its
name is not kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from mecapy_backend.store.backup.archive import BlobRow
from mecapy_backend.store.blobs.blob_types import BlobStore, WrongDigest, no_lock

_AT_ONCE = 8


@dataclass(slots=True)
class Copied:
    """`lost`: not in the source, or damaged there."""

    blobs: int = 0
    bytes: int = 0
    there_already: int = 0
    lost: list[BlobRow] = field(default_factory=list[BlobRow])


async def copy_blobs(source: BlobStore, target: BlobStore, blobs: Sequence[BlobRow]) -> Copied:
    """Skips what the target already has under that name and in that size."""
    done = Copied()
    await _each(blobs, lambda blob: _copy(source, target, blob, done))
    return done


async def _copy(source: BlobStore, target: BlobStore, blob: BlobRow, done: Copied) -> None:
    if await target.size(blob.owner, blob.digest) == blob.size:
        done.there_already += 1
        return
    try:
        chunks = source.read(blob.owner, blob.digest)
        done.bytes += await target.write(blob.owner, blob.digest, chunks, no_lock)
        done.blobs += 1
    except (FileNotFoundError, WrongDigest):
        done.lost.append(blob)


async def absent(store: BlobStore, blobs: Sequence[BlobRow]) -> list[BlobRow]:
    """The blobs that are not in the store."""
    found = list[BlobRow]()

    async def look(blob: BlobRow) -> None:
        if not await store.has(blob.owner, blob.digest):
            found.append(blob)

    await _each(blobs, look)
    return found


async def _each(blobs: Sequence[BlobRow], do: Callable[[BlobRow], Awaitable[None]]) -> None:
    waiting = iter(blobs)

    async def work() -> None:
        for blob in waiting:
            await do(blob)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(work())
