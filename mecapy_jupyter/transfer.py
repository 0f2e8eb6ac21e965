"""Blobs between this process and the store: by the disk both share, else over HTTP; what is there is not sent again.

On the gateway's own machine a buffer is written once, into a folder of the store, which hashes it and gives it its name; a blob is
mapped from its file. Before it: `client`. Beside it: `known` (what need not be hashed). After it: `http`.
"""

from __future__ import annotations

import concurrent.futures
import os
import tempfile
import uuid
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import blake3

from . import errors, known
from .http import Gateway

_PARALLEL = 4
_PIECE_BYTES = 8 << 20
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Place:
    """Folders of the store that we reach without HTTP."""

    incoming: Path
    blobs: Path


@dataclass(frozen=True, slots=True)
class Sent:
    """The digests of what was to be there, in order, and how many bytes had to travel for it."""

    digests: tuple[str, ...]
    sent_bytes: int


_places: weakref.WeakKeyDictionary[Gateway, Place | None] = weakref.WeakKeyDictionary()


def send(gateway: Gateway, parts: Sequence[Any]) -> Sent:
    """See to it that the store has each of these buffers."""
    if not parts:
        return Sent((), 0)
    views = [memoryview(part).cast("B") for part in parts]
    digests = [known.digest_of(view) if view.nbytes else None for view in views]
    fresh = [number for number, digest in enumerate(digests) if digest is None]
    guarded = [number for number in fresh if known.begin(views[number])]
    left = _leave(gateway, [views[number] for number in fresh])
    for number, digest in zip(fresh, left or [known.hashed(views[number]) for number in fresh], strict=True):
        digests[number] = digest
    names = [digest or "" for digest in digests]
    for number in guarded:
        known.remember(views[number], names[number])
    asked = {names[n]: views[n] for n in range(len(views)) if left is None or n not in fresh}
    travelled = {names[n]: views[n].nbytes for n in fresh} if left is not None else {}
    return Sent(tuple(names), sum(travelled.values()) + _complete(gateway, asked))


def _complete(gateway: Gateway, wanted: dict[str, memoryview]) -> int:
    """Upload what is missing of this; how many bytes that were."""
    if not wanted:
        return 0
    asked = [{"digest": digest, "size": view.nbytes} for digest, view in wanted.items()]
    missing: list[dict[str, str]] = gateway.post("/blobs/missing", {"digests": asked})["missing"]
    if missing and _leave(gateway, [wanted[blob["digest"]] for blob in missing]) is None:
        with concurrent.futures.ThreadPoolExecutor(_PARALLEL) as uploads:
            list(uploads.map(gateway.put_bytes, [blob["url"] for blob in missing], [wanted[blob["digest"]] for blob in missing]))
    return sum(wanted[blob["digest"]].nbytes for blob in missing)


def _leave(gateway: Gateway, views: Sequence[memoryview]) -> list[str] | None:
    """Write buffers where the gateway takes them over; their digests, which the store found. None: not possible here."""
    place = _place(gateway)
    if place is None:
        return None
    names = [uuid.uuid4().hex for _ in views]
    try:
        for name, view in zip(names, views, strict=True):
            _write(place.incoming / name, view)
        taken: list[dict[str, str]] = gateway.post("/blobs/take", {"files": names})["taken"] if names else []
        return [blob["digest"] for blob in taken]
    except (OSError, errors.NotFound, errors.Unavailable):
        return None  # the disk is full or the folder another's: over HTTP it works, or says why not
    finally:
        for name in names:
            with suppress(OSError):
                (place.incoming / name).unlink(missing_ok=True)


def _write(path: Path, view: memoryview) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        while view:
            view = view[os.write(fd, view[:_PIECE_BYTES]) :]
    finally:
        os.close(fd)


def fetch(gateway: Gateway, digest: str) -> Any:
    """A blob's bytes, writable, and private to this process."""
    place = _place(gateway)
    if place is not None:
        with suppress(OSError):
            fd = os.open(place.blobs / digest[:2] / digest, os.O_RDONLY)
            try:
                return known.map_blob(fd, digest)
            finally:
                os.close(fd)
    with tempfile.TemporaryFile() if not hasattr(os, "memfd_create") else os.fdopen(os.memfd_create(digest[:12]), "w+b", 0) as file:
        found = blake3.blake3()
        for piece in gateway.get_pieces(f"/blobs/{digest}"):
            found.update(piece)
            file.write(piece)
        if found.hexdigest() != digest:
            raise errors.StorageFailed(f"blob {digest[:12]}… arrived damaged; fetch the result again with `%mecapy get`")
        file.flush()
        return known.map_blob(file.fileno(), digest)


def _place(gateway: Gateway) -> Place | None:
    """Where the store is, if it is on this machine and ours to write to. Asked once."""
    if gateway not in _places:
        _places[gateway] = _find_place(gateway) if urlsplit(gateway.url).hostname in _LOOPBACK else None
    return _places[gateway]


def _find_place(gateway: Gateway) -> Place | None:
    try:
        told = gateway.get("/blobs/place")
    except (errors.NotFound, errors.Refused):
        return None
    if not told["incoming"] or not os.access(told["incoming"], os.W_OK | os.X_OK):
        return None
    return Place(Path(told["incoming"]), Path(told["blobs"]))
