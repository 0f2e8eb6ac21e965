"""`mecapy backup` and `mecapy restore`: what is copied in which order, and what is printed.

A backup takes the database first and then the blobs it names: a blob is never changed, so nothing
that the rows need can be missing but what was deleted meanwhile. A restore takes the blobs first:
whoever sees a row finds its bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import redis

from mecapy_backend import migrations
from mecapy_backend.stack.places import Place, opened
from mecapy_backend.store.backup import rows
from mecapy_backend.store.backup.archive import Archive, BlobRow, Manifest
from mecapy_backend.store.backup.blob_copy import Copied, absent, copy_blobs
from mecapy_backend.store.backup.rows import IncompleteTask
from mecapy_backend.store.health_probes import known_schema
from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.shared.units import size

Say = Callable[[str], None]
_SHOWN = 20


def backup(folder: str, data: str | None, *, replace: bool = False, say: Say = print) -> int:
    """Returns the exit code: 1 where the store has lost blobs that the database names."""
    archive = Archive(Path(folder).expanduser().absolute())
    archive.prepare(replace=replace)
    with opened(data) as place:
        copied, lost = asyncio.run(_back_up(place, archive))
    say(
        f"backed up {place.name} into {archive.folder}: the database, and "
        f"{copied.blobs} new blobs ({size(copied.bytes)}; {copied.there_already} were there)"
    )
    for blob in lost:
        say(f"not in the object store, or damaged there: {blob.digest} of {blob.owner}")
    return 1 if lost else 0


async def _back_up(place: Place, archive: Archive) -> tuple[Copied, list[BlobRow]]:
    manifest, blobs = await rows.dump(place.database_url, archive.new_database())
    copied = await copy_blobs(place.blobs, archive.blobs, blobs)
    archive.finish(manifest)
    for blob in set(await archive.all_blobs()).difference(blobs):
        await archive.blobs.delete(blob.owner, blob.digest)
    return copied, await rows.still_there(place.database_url, copied.lost)


def restore(folder: str, data: str | None, *, replace: bool = False, say: Say = print) -> int:
    """Returns the exit code. Raises ConfigError, and then nothing was touched, where the target is
    in use or is not empty.
    """
    archive = Archive(Path(folder).expanduser().absolute())
    manifest = archive.read()
    if manifest.schema > known_schema():
        raise ConfigError(
            f"the backup was made by MecaPy {manifest.version}, whose tables this version does not "
            f"know: upgrade this one first"
        )
    with opened(data) as place:
        asyncio.run(_check_target(place, replace))
        incomplete = asyncio.run(_restore(place, archive, manifest))
        _forget_queue(place.redis_url)
    say(f"restored {place.name} to {manifest.taken_at}, from {archive.folder}")
    _name(incomplete, say)
    return 0


async def _check_target(place: Place, replace: bool) -> None:
    if place.runs:
        raise ConfigError(f"{place.name} runs: stop it (`mecapy down`), then restore")
    if live := await rows.live_workers(place.database_url):
        raise ConfigError(
            f"workers serve {place.name} ({', '.join(live[:3])}): stop all gateways and workers, "
            f"then restore"
        )
    held = await rows.why_not_empty(place.database_url)
    if held and not replace:
        raise ConfigError(
            f"{place.name} holds {held}: a restore would replace all of it. `--replace` does that"
        )


async def _restore(place: Place, archive: Archive, manifest: Manifest) -> list[IncompleteTask]:
    blobs = await archive.all_blobs()
    copied = await copy_blobs(archive.blobs, place.blobs, blobs)
    url = place.database_url
    await rows.drop_all(url)
    migrations.upgrade(url, to=manifest.schema)
    await rows.load(url, archive.folder / manifest.database, manifest)
    migrations.upgrade(url)
    whole = set(blobs) - set(copied.lost)
    await rows.forget_blobs(url, [blob for blob in await rows.blobs(url) if blob not in whole])
    return await rows.incomplete_tasks(url)


def _forget_queue(redis_url: str) -> None:
    """What Redis knows is of the time after the backup. The workers fill it from the database."""
    if redis_url:
        with cast(Any, redis.Redis).from_url(redis_url) as connection:
            for key in connection.scan_iter("mecapy:*", count=1000):
                connection.unlink(key)


def reconcile(data: str | None, *, say: Say = print) -> int:
    """After the database alone was set back to an earlier moment: rows of blobs that are not in the
    store go, so that clients send them again.
    """
    with opened(data) as place:
        incomplete, gone = asyncio.run(_reconcile(place))
    say(f"{place.name}: {gone} blobs that the database names were not in the object store")
    _name(incomplete, say)
    return 0


async def _reconcile(place: Place) -> tuple[list[IncompleteTask], int]:
    lost = await absent(place.blobs, await rows.blobs(place.database_url))
    await rows.forget_blobs(place.database_url, lost)
    return await rows.incomplete_tasks(place.database_url), len(lost)


def _name(incomplete: Sequence[IncompleteTask], say: Say) -> None:
    for task in incomplete[:_SHOWN]:
        say(f"  incomplete: task {task.task_id} ({task.state}) {task.name}: {task.digests[0]}")
    if len(incomplete) > _SHOWN:
        say(f"  and {len(incomplete) - _SHOWN} more")
    if incomplete:
        say(
            f"{len(incomplete)} tasks name blobs that are not there. Run their cells again: a "
            f"client sends what is missing"
        )
    else:
        say("nothing is missing: every blob that a task names is there")
