"""Transfers blobs between this process and the store: over a shared disk, or over HTTP. Stored data
is not sent again. On the gateway's machine a buffer is written once, into a folder of the store,
which hashes and names it; a blob is read from its file.
"""

from __future__ import annotations

import concurrent.futures
import os
import tempfile
import uuid
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mecapy_jupyter import wire
from mecapy_jupyter.client import gateway_api, presigned
from mecapy_jupyter.client.http import Elsewhere, Gateway
from mecapy_jupyter.shared import errors
from mecapy_jupyter.travel.pickling import buffer_file, known_blobs, payload

_PARALLEL = 4
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class SentBlobs:
    """The digests of the requested buffers, in order, and the bytes that were sent.

    `believed`: digests that were in a store before and that this store was not asked about. The
    task names them; if they are missing, `complete` sends them.
    """

    digests: tuple[str, ...]
    sent_bytes: int
    believed: Mapping[str, memoryview] = field(default_factory=dict[str, memoryview], compare=False)


_folders_of: weakref.WeakKeyDictionary[Gateway, wire.StoreFolders | None] = (
    weakref.WeakKeyDictionary()
)
_MOST_NOTED = 4096
_noted_of: weakref.WeakKeyDictionary[Gateway, dict[str, None]] = weakref.WeakKeyDictionary()
"""Digests of small buffers that the gateway's store has had. Large ones are known by their memory,
so that they are not hashed.
"""


def send(gateway: Gateway, parts: Sequence[Any]) -> SentBlobs:
    """Make sure that the store has each of these buffers, except those it is believed to have."""
    views = [memoryview(part).cast("B") for part in parts]
    names = [known_blobs.digest_of(view) if view.nbytes else None for view in views]
    believed = {name: view for name, view in zip(names, views, strict=True) if name}
    noted = _noted_of.setdefault(gateway, {})
    asked: dict[str, memoryview] = {}
    for number, view in enumerate(views):
        if names[number] is not None:
            continue
        if view.nbytes and known_blobs.in_map(view):
            names[number] = digest = known_blobs.digest(view)
            asked[digest] = view
        elif _is_small(view) and (digest := known_blobs.hashed(view)) in noted:
            names[number], believed[digest] = digest, view
    unknown = [number for number, name in enumerate(names) if name is None]
    digests, left = _leave_or_hash(gateway, [views[number] for number in unknown])
    for number, digest in zip(unknown, digests, strict=True):
        names[number] = digest
    new = {digest: views[number] for number, digest in zip(unknown, digests, strict=True)}
    sent_bytes = (
        sum(view.nbytes for view in new.values()) + complete(gateway, asked)
        if left
        else complete(gateway, asked | new)
    )
    noted |= dict.fromkeys(digest for digest, view in new.items() if _is_small(view))
    if len(noted) > _MOST_NOTED:
        noted.clear()
    return SentBlobs(tuple(name or "" for name in names), sent_bytes, believed)


def _is_small(view: memoryview) -> bool:
    return view.nbytes < known_blobs.GUARDED_BYTES


def _leave_or_hash(gateway: Gateway, views: Sequence[memoryview]) -> tuple[list[str], bool]:
    """The digests of unknown buffers, known from here on, and whether the store has them."""
    guarded = [known_blobs.begin(view) for view in views]
    left = _leave(gateway, views)
    digests = [known_blobs.hashed(view) for view in views] if left is None else left
    for view, digest, noted in zip(views, digests, guarded, strict=True):
        if noted:
            known_blobs.remember(view, digest)
    return digests, left is not None


def complete(gateway: Gateway, wanted: Mapping[str, memoryview]) -> int:
    """Upload the missing ones; returns the bytes sent."""
    if not wanted:
        return 0
    sizes = [wire.BlobSize(digest, view.nbytes) for digest, view in wanted.items()]
    missing = gateway_api.missing_blobs(gateway, sizes)
    if missing and _leave(gateway, [wanted[blob.digest] for blob in missing]) is None:
        _upload(gateway, [(blob.digest, blob.url, wanted[blob.digest]) for blob in missing])
    return sum(wanted[blob.digest].nbytes for blob in missing)


def _upload(gateway: Gateway, blobs: Sequence[tuple[str, str, memoryview]]) -> None:
    """Small ones in parallel; large ones one by one, each in parallel parts."""
    large = [blob for blob in blobs if blob[2].nbytes > presigned.WHOLE_BYTES]
    with concurrent.futures.ThreadPoolExecutor(_PARALLEL) as uploads:
        started = [
            uploads.submit(presigned.put, gateway, *blob)
            for blob in blobs
            if blob[2].nbytes <= presigned.WHOLE_BYTES
        ]
        for upload in started:
            upload.result()
    for blob in large:
        presigned.put(gateway, *blob)


def _leave(gateway: Gateway, views: Sequence[memoryview]) -> list[str] | None:
    """Write buffers where the gateway takes them over. Returns the store's digests; None: not
    possible here.
    """
    folders = _folders(gateway)
    if folders is None:
        return None
    names = [uuid.uuid4().hex for _ in views]
    try:
        for name, view in zip(names, views, strict=True):
            buffer_file.write(f"{folders.incoming}/{name}", view)
        taken = gateway_api.take_files(gateway, names) if names else ()
        return [blob.digest for blob in taken]
    except (OSError, errors.NotFound, errors.Unavailable):
        return None  # the disk is full or not ours: HTTP works, or reports why not
    finally:
        for name in names:
            with suppress(OSError):
                Path(f"{folders.incoming}/{name}").unlink(missing_ok=True)


def send_again(gateway: Gateway, packed: payload.Packed) -> None:
    """The buffers of a task whose blobs no longer exist, and its stream if that is one."""
    inline = len(packed.stream) <= wire.INLINE_BYTES
    sent = send(gateway, packed.buffers if inline else [packed.stream, *packed.buffers])
    complete(gateway, sent.believed)


def fetch(gateway: Gateway, digest: str) -> Any:
    """A blob's bytes, writable and private to this process."""
    folders = _folders(gateway)
    if folders is not None:
        with suppress(OSError):
            fd = os.open(f"{folders.blobs}/{digest[:2]}/{digest}", os.O_RDONLY)
            try:
                return known_blobs.take_blob(fd, digest)
            finally:
                os.close(fd)
    with (
        tempfile.TemporaryFile()
        if not hasattr(os, "memfd_create")
        else os.fdopen(os.memfd_create(digest[:12]), "w+b", 0) as file
    ):
        _download(gateway, f"/blobs/{digest}", file)
        view = known_blobs.take_blob(file.fileno(), digest)
        if known_blobs.hashed(view) != digest:
            raise errors.StorageFailed(
                f"blob {digest[:12]}… arrived damaged; fetch the result again with `%mecapy get`"
            )
        return view


def _download(gateway: Gateway, path: str, file: Any) -> None:
    """Download into an empty file: from the store, if the gateway names it and it answers."""
    try:
        for piece in gateway.get_pieces(
            path if presigned.reachable(gateway) else f"{path}?through=gateway"
        ):
            file.write(piece)
    except Elsewhere as there:
        if not presigned.get(gateway, there.args[0], file.fileno()):
            _download(gateway, path, file)
    file.flush()


def _folders(gateway: Gateway) -> wire.StoreFolders | None:
    """The store's folder, if it is on this machine and writable. Asked once."""
    if gateway not in _folders_of:
        _folders_of[gateway] = (
            _find_folders(gateway) if urlsplit(gateway.url).hostname in _LOOPBACK else None
        )
    return _folders_of[gateway]


def _find_folders(gateway: Gateway) -> wire.StoreFolders | None:
    try:
        folders = gateway_api.store_folders(gateway)
    except (errors.NotFound, errors.Refused):
        return None
    usable = folders.incoming and os.access(folders.incoming, os.W_OK | os.X_OK)
    return folders if usable else None
