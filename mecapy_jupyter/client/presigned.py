"""Blobs directly to and from the object store, with URLs that the gateway signs; parts of one blob
travel in parallel. The store gets no token of ours. If the store cannot be reached from here, the
bytes go through the gateway from then on.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar, cast

import urllib3
from urllib3.util import Retry, Timeout

from mecapy_jupyter import wire
from mecapy_jupyter.client import gateway_api
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared.own_requests import unlogged

WHOLE_BYTES = 16 << 20
"""Larger blobs travel in parts."""

_PART_BYTES = 8 << 20
_PIECE_BYTES = 1 << 20
_PARALLEL = 8
_TRIES = 3

_retries = Retry(
    total=4,
    connect=1,
    backoff_factor=0.1,
    backoff_max=2.0,
    status_forcelist=(500, 502, 503, 504),
    raise_on_status=False,
)
_pool = urllib3.PoolManager(
    maxsize=4 * _PARALLEL, timeout=Timeout(connect=3.0, read=60.0), retries=_retries
)
_out_of_reach: weakref.WeakSet[Gateway] = weakref.WeakSet()

T = TypeVar("T")


def put(gateway: Gateway, digest: str, url: str, view: memoryview) -> None:
    """Upload a blob to the gateway's URL: the gateway itself, or the store."""
    if url.startswith("http") and gateway not in _out_of_reach:
        try:
            if view.nbytes > WHOLE_BYTES:
                _put_parts(gateway, digest, view)
            else:
                _put(url, view)
            return
        except urllib3.exceptions.HTTPError:
            _out_of_reach.add(gateway)
    gateway.put_bytes(f"/blobs/{digest}", view)


def _put_parts(gateway: Gateway, digest: str, view: memoryview) -> None:
    """Uploads all parts, or removes what it began."""
    begun = gateway_api.part_urls(gateway, digest, view.nbytes)
    upload, size = begun.upload, begun.part_bytes
    parts = [view[start : start + size] for start in range(0, view.nbytes, size)]
    urls = _Urls(gateway, digest, view.nbytes, begun)
    try:
        etags = _at_once(lambda number: _put_part(urls, number, parts[number]), range(len(parts)))
        gateway_api.end_parts(gateway, digest, upload, view.nbytes, etags)
    except BaseException:
        with suppress(errors.MecapyError):  # the sweeper removes it later
            gateway_api.abort_parts(gateway, digest, upload)
        raise


class _Urls:
    """The URLs of the parts of one upload, valid for minutes. New ones for the remaining parts are
    requested after half of that.
    """

    def __init__(
        self, gateway: Gateway, digest: str, size_bytes: int, begun: wire.PartUrls
    ) -> None:
        self._gateway, self._digest, self._lock = gateway, digest, threading.Lock()
        self._size_bytes, self._upload = size_bytes, begun.upload
        self._take(begun, 0)

    def _take(self, parts: wire.PartUrls, first: int) -> None:
        self._first, self._urls = first, parts.urls
        self._renew_at = time.monotonic() + parts.valid_s / 2

    def _renewed(self, first: int) -> wire.PartUrls:
        return gateway_api.part_urls(
            self._gateway, self._digest, self._size_bytes, self._upload, first
        )

    def of(self, number: int) -> str:
        with self._lock:
            if time.monotonic() > self._renew_at:
                # a request that began before may still use an old one
                first = max(0, number - _PARALLEL)
                self._take(self._renewed(first), first)
            return self._urls[number - self._first]


def _put_part(urls: _Urls, number: int, part: memoryview) -> str:
    url = urls.of(number)
    try:
        return _put(url, part)
    except errors.StorageFailed:
        if (fresh := urls.of(number)) == url:
            raise
        return _put(fresh, part)  # the URL was too old to retry


def _put(url: str, data: memoryview) -> str:
    """The store's answer: an ETag."""
    headers = {"Content-Type": "application/octet-stream"}
    with unlogged():
        answer = _pool.request("PUT", url, body=cast(Any, data), headers=headers)
    _check(answer)
    return answer.headers.get("ETag", "")


def get(gateway: Gateway, url: str, fd: int) -> bool:
    """Download into an empty file. False: the store is out of reach, the file still empty."""
    if not hasattr(os, "pwrite"):  # Windows
        _out_of_reach.add(gateway)
        return False
    try:
        size_bytes = _get(url, fd, 0)
        _at_once(lambda start: _get(url, fd, start), range(_PART_BYTES, size_bytes, _PART_BYTES))
    except urllib3.exceptions.HTTPError:
        _out_of_reach.add(gateway)
        os.ftruncate(fd, 0)
        return False
    return True


def reachable(gateway: Gateway) -> bool:
    """False once the store behind this gateway did not answer."""
    return gateway not in _out_of_reach


def _get(url: str, fd: int, start: int) -> int:
    """Writes one part in its place; returns the size of the whole. Resumes after a broken
    connection.
    """
    for tries_left in reversed(range(_TRIES)):
        try:
            return _range(url, fd, start)
        except (urllib3.exceptions.ProtocolError, urllib3.exceptions.ReadTimeoutError):
            if not tries_left:
                raise
    raise AssertionError


def _range(url: str, fd: int, start: int) -> int:
    headers = {"Range": f"bytes={start}-{start + _PART_BYTES - 1}"}
    with unlogged():
        answer = _pool.request("GET", url, headers=headers, preload_content=False)
    try:
        if answer.status == 416:  # empty data has no part
            return 0
        _check(answer)
        at = start
        # as stored: a named encoding could unpack a bomb here
        for piece in answer.stream(_PIECE_BYTES, decode_content=False):
            at += os.pwrite(fd, piece, at)
        return int(answer.headers.get("Content-Range", "").rpartition("/")[2] or at)
    finally:
        answer.close()


def _check(answer: urllib3.BaseHTTPResponse) -> None:
    if answer.status >= 300:
        raise errors.StorageFailed(
            f"the object store refused a transfer ({answer.status}); run the cell again, or tell "
            f"the operator"
        )


def _at_once(work: Callable[[int], T], items: Sequence[int]) -> list[T]:
    """Several at a time, in order. The first failure ends it when the running ones have ended."""
    with ThreadPoolExecutor(_PARALLEL) as threads:
        futures = [threads.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise
