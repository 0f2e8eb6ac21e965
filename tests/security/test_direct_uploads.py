"""What a client may send past the gateway, into a real S3 server: the parts and bytes that were
signed, within the quota, while the signature is good.
"""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import sqlalchemy as sa
from blake3 import blake3

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.blobs import blob_rows, bucket, reservations
from mecapy_backend.store.blobs.blob_store import open_store
from mecapy_backend.store.tables import blobs
from mecapy_backend.store.tables import reservations as reserved
from mecapy_jupyter.client import blob_transfer
from mecapy_jupyter.client.http import Gateway

from ..backend.speak import client
from ..conftest import TOKEN, served

SIZE = 9 << 20  # two parts
QUOTA = 20 << 20


@pytest.fixture
def tight(s3_settings: Settings) -> Settings:
    return s3_settings.model_copy(update={"quota_bytes": QUOTA})


@pytest.fixture
def http(tight: Settings) -> Iterator[httpx.Client]:
    with served(tight) as running, client(running) as http:
        yield http


@pytest.fixture
def store(tight: Settings) -> Any:
    return open_store(tight.blob_url, endpoint_url=tight.s3_endpoint_url, cache_dir=tight.cache_dir)


def begun(store: Any) -> list[str]:
    """Uploads in parts that have begun and not ended."""
    at = store._bucket
    pages = at._s3.get_paginator("list_multipart_uploads").paginate(
        Bucket="blobs", Prefix=at._prefix
    )
    return [one["UploadId"] for page in pages for one in page.get("Uploads", ())]


def begin(http: httpx.Client, digest: str, size: int = SIZE, **more: Any) -> httpx.Response:
    return http.post(f"/blobs/{digest}/parts", json={"size": size, **more})


def sending(http: httpx.Client, digest: str, size: int) -> str:
    """The URL to send a blob to that is not stored."""
    need = {"digests": [{"digest": digest, "size": size}]}
    return http.post("/blobs/missing", json=need).json()["missing"][0]["url"]


def put(url: str, data: bytes) -> None:
    httpx.put(url, content=data, timeout=120).raise_for_status()


def test_a_part_s_url(http: httpx.Client, store: Any) -> None:
    """It is good for one part of one upload, with so many bytes; any change is refused by the
    store.
    """
    data, other = os.urandom(SIZE), blake3(b"other").hexdigest()
    digest = blake3(data).hexdigest()
    told = begin(http, digest).json()
    first, last = told["urls"]
    pieces = data[: told["part_bytes"]], data[told["part_bytes"] :]
    assert "content-length" in parse_qs(urlsplit(first).query)["X-Amz-SignedHeaders"][0]
    with httpx.Client(timeout=120) as s3:
        tried = {
            "more bytes": s3.put(last, content=pieces[1] + b"x"),
            "fewer bytes": s3.put(last, content=pieces[1][:-1]),
            "another part": s3.put(last.replace("partNumber=2", "partNumber=3"), content=pieces[1]),
            "another upload": s3.put(last.replace(told["upload"], "0" * 32), content=pieces[1]),
            "another blob": s3.put(last.replace(digest, other), content=pieces[1]),
            "another owner": s3.put(last.replace("/local/", "/ann/"), content=pieces[1]),
            "no part": s3.put(last.replace("partNumber=2&", ""), content=pieces[1]),
            "another method": s3.delete(last),
            "reading": s3.get(last),
            "a longer life": s3.put(
                last.replace("X-Amz-Expires=600", "X-Amz-Expires=6000"), content=pieces[1]
            ),
            "unsigned": s3.put(last.partition("?")[0], content=pieces[1]),
        }
        assert {name for name, answer in tried.items() if answer.status_code < 400} == set()
        etags = [
            s3.put(url, content=piece).headers["ETag"]
            for url, piece in zip((first, last), pieces, strict=True)
        ]
        path = f"/blobs/{digest}/parts/{told['upload']}"
        assert http.post(path, json={"size": SIZE, "etags": etags}).status_code == 204
        assert s3.put(last, content=pieces[1]).status_code >= 400, "the upload has ended"
    assert http.get(f"/blobs/{digest}?through=gateway").content == data
    assert begun(store) == []


def test_a_url_s_time(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """After it the store refuses both ways of sending."""
    monkeypatch.setattr(bucket, "PRESIGNED_S", 1)
    whole = sending(http, blake3(b"small").hexdigest(), 5)
    part = begin(http, blake3(b"large").hexdigest()).json()["urls"][1]
    with httpx.Client(timeout=120) as s3:
        until = time.monotonic() + 240
        for url, content in ((whole, b"small"), (part, bytes(SIZE - (8 << 20)))):
            while s3.put(url, content=content).status_code < 400:  # each at its own time
                assert time.monotonic() < until, "it never ends"
                time.sleep(0.2)


def test_nothing_unfolds_on_the_way_home(http: httpx.Client, tight: Settings) -> None:
    """Bytes that were put there as compressed ones come as they are: neither a kernel nor the
    gateway unpacks them.
    """
    data = gzip.compress(bytes(50 << 20))
    digest = blake3(data).hexdigest()
    url = sending(http, digest, len(data))
    with httpx.Client(timeout=120) as s3:
        s3.put(url, content=data, headers={"Content-Encoding": "gzip"}).raise_for_status()
        sending_again = {"digests": [{"digest": digest, "size": len(data)}]}
        assert http.post("/blobs/missing", json=sending_again).json() == {"missing": []}
        there = s3.get(http.get(f"/blobs/{digest}", follow_redirects=False).headers["Location"])
        assert there.headers.get("Content-Encoding") == "gzip", "the store tells the encoding"
    gateway = Gateway(str(http.base_url).rstrip("/"), TOKEN)
    try:
        assert bytes(blob_transfer.fetch(gateway, digest)) == data
        assert b"".join(gateway.get_pieces(f"/blobs/{digest}?through=gateway")) == data
    finally:
        gateway.close()


def test_compressed_requests_are_not_unfolded(http: httpx.Client) -> None:
    """A body is what arrives: one that says it is compressed is no JSON, and no other blob."""
    body = gzip.compress(b'{"code": "1"}' + b" " * (50 << 20))
    coded = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    assert http.post("/tasks", content=body, headers=coded).status_code == 422
    unfolded = blake3(b"1").hexdigest()
    put = http.put(f"/blobs/{unfolded}", content=gzip.compress(b"1"), headers=coded)
    assert put.status_code == 422


def test_each_upload_in_parts_counts(http: httpx.Client, store: Any) -> None:
    """Two of one blob hold the parts of two; a third has no room, and leaves nothing begun. What
    was given up gives its room back.
    """
    digest = blake3(b"x").hexdigest()
    uploads = [begin(http, digest).json()["upload"] for _ in range(2)]
    refused = begin(http, digest)
    assert refused.status_code == 413 and refused.json()["type"].endswith(":quota")
    assert sorted(begun(store)) == sorted(uploads)
    again = begin(http, digest, upload=uploads[0], first=1)
    assert again.status_code == 201, "fresh URLs are no upload more"
    assert http.delete(f"/blobs/{digest}/parts/{uploads[0]}").status_code == 204
    assert begin(http, digest).status_code == 201


def test_a_smaller_size_frees_no_room(http: httpx.Client) -> None:
    """A URL that was signed for many bytes keeps their room, whatever is said of that blob
    afterwards.
    """
    one, two = blake3(b"1").hexdigest(), blake3(b"2").hexdigest()

    def missing(digest: str, size: int) -> int:
        need = {"digests": [{"digest": digest, "size": size}]}
        return http.post("/blobs/missing", json=need).status_code

    assert missing(one, QUOTA - 1) == 200
    assert missing(one, 1) == 200
    assert missing(two, 1000) == 413
    assert missing(two, 1) == 200


async def test_what_nobody_ended(http: httpx.Client, store: Any, db: Any) -> None:
    """When its time is over, parts are removed, and bytes that were sent and never announced count
    as stored.
    """
    large, data = blake3(b"large").hexdigest(), os.urandom(1000)
    small = blake3(data).hexdigest()
    told, url = begin(http, large).json(), sending(http, small, len(data))
    put(told["urls"][0], bytes(told["part_bytes"]))
    put(url, data)
    async with db.connect() as connection:
        await blob_rows.sweep(db, store, 3600)
        assert begun(store) == [told["upload"]], "its time is not over"
        await connection.execute(sa.update(reserved).values(until=sa.func.now()))
        await blob_rows.sweep(db, store, 3600)
        assert begun(store) == []
        assert (await connection.execute(sa.select(reserved.c.key))).all() == []
        found = (await connection.execute(sa.select(blobs.c.digest, blobs.c.size))).all()
    assert [tuple(row) for row in found] == [(small, 1000)]


ODD = ["a%00b", "%0d%0aX", "a" * 1001, "%F0%9F%98%80", "a%20b", "..", "a%2F..%2F..%2Fb"]


@pytest.mark.parametrize("odd", ODD)
def test_odd_names_of_uploads(http: httpx.Client, odd: str) -> None:
    """Whatever is called an upload, or a digest, is answered with a reason, never with a fault."""
    digest = blake3(b"x").hexdigest()
    answers = [
        http.post(f"/blobs/{digest}/parts/{odd}", json={"size": 5, "etags": ["\x00<", '"']}),
        http.delete(f"/blobs/{digest}/parts/{odd}"),
        begin(http, odd, 5),
        begin(http, digest, 5, upload=str(httpx.URL(f"http://x/{odd}").path[1:])),
    ]
    # SeaweedFS takes its own time over an upload it does not know
    assert [answer.status_code for answer in answers if answer.status_code >= 500] == []


async def test_room_is_not_lent_twice(db: Any, tight: Settings) -> None:
    """Room that moves from an upload to its blob is counted once all the time."""
    await reservations.reserve(db, "ann", {"parts x": QUOTA}, tight, 60)
    with pytest.raises(reservations.NoRoom):
        await reservations.reserve(db, "ann", {"blob": 1}, tight, 60)
    await reservations.reserve(db, "ann", {"blob": QUOTA}, tight, 60, instead_of="parts x")
    with pytest.raises(reservations.NoRoom):
        await reservations.reserve(db, "ann", {"parts x": 1}, tight, 60)
