"""The disk that client and store share: files taken over, blobs mapped, and the way over HTTP where
there is no such disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip(
    "mecapy_backend.api.app", reason="needs the server parts (pip install 'mecapy-jupyter[local]')"
)

from mecapy_jupyter import wire
from mecapy_jupyter.client import blob_transfer
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors
from mecapy_jupyter.travel.pickling import known_blobs

SIZE = 3_000_001


@pytest.fixture
def http(gateway: Any) -> Gateway:
    return Gateway(gateway.url, gateway.token)


@pytest.fixture
def puts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The uploads made over HTTP."""
    made: list[str] = []
    real = Gateway.put_bytes
    monkeypatch.setattr(
        Gateway, "put_bytes", lambda self, url, data: made.append(url) or real(self, url, data)
    )
    return made


def files(root: Path) -> Iterator[Path]:
    return root.glob("*/??/*")


def test_there_and_back_by_the_disk(http: Gateway, puts: list[str], tmp_path: Path) -> None:
    """No byte goes through HTTP; the store names what it took by what is in it; the blob comes back
    as a private map.
    """
    data = os.urandom(SIZE)
    sent = blob_transfer.send(http, [data])
    assert sent == blob_transfer.SentBlobs((known_blobs.hashed(data),), SIZE) and puts == []
    back = blob_transfer.fetch(http, sent.digests[0])
    assert bytes(back) == data
    back[0] ^= 1
    assert [path.name for path in files(tmp_path / "blobs")] == list(sent.digests)
    assert next(files(tmp_path / "blobs")).read_bytes() == data


def test_what_came_home_is_not_sent_again(http: Gateway) -> None:
    """A blob that was fetched and not changed is known by name; changed, it travels."""
    first = blob_transfer.send(http, [np.ones(1 << 18).tobytes()])
    array = np.frombuffer(blob_transfer.fetch(http, first.digests[0]))
    assert blob_transfer.send(http, [array]) == blob_transfer.SentBlobs(first.digests, 0)
    array[7] = 2.0
    changed = blob_transfer.send(http, [array])
    assert changed.sent_bytes == array.nbytes and changed.digests == (known_blobs.hashed(array),)


def test_over_http_where_the_disk_is_another(
    http: Gateway, puts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway whose folders are not here gets the same bytes by PUT, and gives them by GET."""
    monkeypatch.setattr(blob_transfer, "_folders", lambda gateway: None)
    data = os.urandom(SIZE)
    sent = blob_transfer.send(http, [data])
    assert sent == blob_transfer.SentBlobs((known_blobs.hashed(data),), SIZE) and puts == [
        f"/blobs/{sent.digests[0]}"
    ]
    assert bytes(blob_transfer.fetch(http, sent.digests[0])) == data
    assert blob_transfer.send(http, [data]).sent_bytes == 0


def test_a_folder_that_looks_like_it(
    http: Gateway, puts: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Files left in a folder that is not the gateway's are not found there; nothing stays behind
    and the bytes go by PUT.
    """
    monkeypatch.setattr(
        blob_transfer,
        "_folders",
        lambda gateway: wire.StoreFolders(str(tmp_path), str(tmp_path / "none")),
    )
    data = os.urandom(SIZE)
    sent = blob_transfer.send(http, [data])
    assert (
        puts == [f"/blobs/{sent.digests[0]}"]
        and [path for path in tmp_path.iterdir() if path.is_file()] == []
    )


@pytest.mark.parametrize("name", ["../../x", "", "a/b", "0" * 31, "A" * 32])
def test_only_plain_names_are_taken(http: Gateway, name: str) -> None:
    """A name that could lead out of the folder is no file."""
    with pytest.raises(errors.NotFound):
        http.post("/blobs/take", {"files": [name]})


def test_links_are_not_taken(http: Gateway, tmp_path: Path) -> None:
    """A link to somebody's file does not make it a blob, and a second name for it does not let
    anybody change the blob.
    """
    incoming, secret = Path(http.get("/blobs/place")["incoming"]), tmp_path / "secret"
    secret.write_bytes(b"secret")
    (incoming / ("0" * 32)).symlink_to(secret)
    with pytest.raises(errors.MecapyError):
        http.post("/blobs/take", {"files": ["0" * 32]})
    os.link(secret, incoming / ("1" * 32))
    [taken] = http.post("/blobs/take", {"files": ["1" * 32]})["taken"]
    secret.write_bytes(b"changed")
    assert bytes(blob_transfer.fetch(http, taken["digest"])) == b"secret"
