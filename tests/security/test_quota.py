"""Stored bytes keep to the quota, however many come at once and whatever way they take."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from blake3 import blake3
from pydantic import SecretStr

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.blobs import blob_rows, reservations
from mecapy_backend.store.blobs.blob_store import open_store
from mecapy_backend.store.blobs.reservations import NoRoom

from ..backend.speak import client
from ..conftest import TOKEN, served

QUOTA = 1_000_000


@pytest.fixture
def tight(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return Settings(  # pyright: ignore[reportCallIssue]
        database_url=database_url,
        redis_url=redis_url,
        blob_url=f"file://{tmp_path}/blobs",
        token=SecretStr(TOKEN),
        quota_bytes=QUOTA,
    )


def stored(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "blobs").glob("*/??/*"))


@pytest.mark.parametrize("told", [True, False])
async def test_many_uploads_at_once(tight: Settings, tmp_path: Path, told: bool) -> None:
    """Of 40 uploads of 900 kB to two gateways one fits, whether they say how long they are or not;
    the others are refused before the bytes come, and say how much fits.
    """

    async def upload(gateway: Any) -> httpx.Response:
        data = os.urandom(900_000)

        async def pieces() -> Any:
            for at in range(0, len(data), 100_000):
                await asyncio.sleep(0.05)
                yield data[at : at + 100_000]

        length = {"Content-Length": str(len(data))} if told else {}
        async with httpx.AsyncClient(base_url=gateway.url, timeout=120) as http:
            while True:
                answer = await http.put(
                    f"/blobs/{blake3(data).hexdigest()}",
                    content=pieces(),
                    headers={"Authorization": f"Bearer {TOKEN}"} | length,
                )
                if answer.status_code != 503:
                    return answer
                # all connections of a busy gateway were taken
                await asyncio.sleep(float(answer.headers["Retry-After"]))

    with ExitStack() as stack:
        gateways = [stack.enter_context(served(tight)) for _ in range(2)]
        answers = await asyncio.gather(*(upload(gateways[n % 2]) for n in range(40)))
    assert sorted(answer.status_code for answer in answers) == [204] + 39 * [413]
    assert "more may be stored" in next(a for a in answers if a.status_code == 413).text
    assert stored(tmp_path) == 900_000


async def test_results_count(db: Any, tight: Settings, tmp_path: Path) -> None:
    """Of ten results that come at once, as many are kept as there is room for."""
    store = open_store(tight.blob_url)

    async def keep(number: int) -> bool:
        made = tmp_path / f"made-{number}"
        made.write_bytes(os.urandom(300_000))
        try:
            await store.adopt("ann", made, reservations.reserving(db, "ann", tight))
        except NoRoom as full:
            assert "delete tasks" in str(full)
            return False
        return True

    assert sum(await asyncio.gather(*map(keep, range(10)))) == 3
    assert stored(tmp_path) == 900_000


async def test_what_is_reserved_is_given_back(db: Any, tight: Settings, tmp_path: Path) -> None:
    """The blob frees it when it is stored, so does an upload that broke, and so does time."""
    digest, store = blake3(b"1").hexdigest(), open_store(tight.blob_url)
    for key, size in ((digest, QUOTA), ("upload that broke", QUOTA - 1)):
        await reservations.reserve(db, "ann", {key: size}, tight, 60)
        with pytest.raises(NoRoom, match="0 more may be stored"):
            await reservations.reserve(db, "ann", {"another": 1}, tight, 60)
        if key == digest:
            (tmp_path / "made").write_bytes(b"1")
            await store.adopt("ann", tmp_path / "made", blob_rows.row_lock(db, "ann"))
        else:
            await reservations.release(db, "ann", [key])
    await reservations.reserve(db, "ann", {"presigned": QUOTA - 2}, tight, 0.2)
    until = time.monotonic() + 240
    while time.monotonic() < until:
        try:
            return await reservations.reserve(db, "ann", {"another": 2}, tight, 60)
        except NoRoom:
            await asyncio.sleep(0.05)
    raise AssertionError("a reservation never ends")


def test_a_task_whose_result_has_no_room_is_not_begun(tight: Settings) -> None:
    """It is refused when it is submitted, with how much may still be stored."""
    data = os.urandom(QUOTA)
    with served(tight) as gateway, client(gateway) as http:
        path = f"/blobs/{blake3(data).hexdigest()}"
        assert http.put(path, content=data).status_code == 204
        refused = http.post("/tasks", json={"code": "1"})
        assert refused.status_code == 413 and refused.json()["type"].endswith(":quota")
        assert "0 more may be stored" in refused.json()["detail"]
