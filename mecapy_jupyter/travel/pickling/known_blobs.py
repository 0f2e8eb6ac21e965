"""Which memory of this process still holds which blob, so that it is neither hashed nor sent again.

Every answer comes from the operating system's page state (`memory_pages`). Where it gives none,
nothing is known and the caller hashes.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import threading
import weakref
from dataclasses import dataclass, field
from typing import Any

import blake3

from mecapy_jupyter.travel.pickling import memory_pages

GUARDED_BYTES = 1 << 20
"""Ordinary memory of this size or more is guarded; below, hashing costs less than the faults."""

_MOST_GUARDED = 1024  # each splits a mapping, of which Linux allows 65,530 per process

_lock = threading.Lock()


@dataclass(slots=True)
class _BlobMap:
    """A private map of a blob, and the digests of its parts that were requested."""

    alive: weakref.ref[Any]
    address: int
    size_bytes: int
    digest: str
    parts: dict[tuple[int, int], str] = field(default_factory=dict[tuple[int, int], str])

    def digest_of(self, address: int, size_bytes: int) -> str | None:
        """Its name, if the pages are still the file's."""
        whole = (address, size_bytes) == (self.address, self.size_bytes)
        digest = self.digest if whole else self.parts.get((address, size_bytes))
        return digest if digest and memory_pages.is_file(address, size_bytes) else None

    def note(self, address: int, size_bytes: int, digest: str) -> None:
        """The digest of a part. It is valid while the pages are the file's: a written page never
        becomes the file's again.
        """
        if memory_pages.is_file(address, size_bytes):
            self.parts[address, size_bytes] = digest


_MAP_FIXED = 0x10  # replaces the mapping there
_mmap: Any = ctypes.CDLL(None).mmap if sys.platform == "linux" else None
if _mmap is not None:
    _mmap.restype = ctypes.c_void_p
    _numbers = ctypes.c_int, ctypes.c_int, ctypes.c_int
    _mmap.argtypes = ctypes.c_void_p, ctypes.c_size_t, *_numbers, ctypes.c_long

_maps: dict[int, _BlobMap] = {}
_guarded: dict[tuple[int, int], str] = {}
_guard: memory_pages.Guard | None = None
_can_guard = True
_hash_threads = blake3.blake3.AUTO


def map_blob(fd: int, digest: str) -> Any:
    """A private, writable, copy-on-write view of an immutable file: read on first touch, never
    written back.
    """
    size_bytes = os.fstat(fd).st_size
    if not size_bytes:
        return bytearray()
    view = private_map(fd, size_bytes)
    address = address_of(view)
    if address is not None:
        with _lock:
            _maps[address] = _BlobMap(weakref.ref(view), address, size_bytes, digest)
    return view


def take_blob(fd: int, digest: str) -> Any:
    """Like `map_blob`, but a small file is read, because thousands of maps are slow to search and
    small data is quick to hash.
    """
    size_bytes = os.fstat(fd).st_size
    if size_bytes >= GUARDED_BYTES:
        return map_blob(fd, digest)
    content = bytearray(size_bytes)
    with open(fd, "rb", buffering=0, closefd=False) as file:
        file.seek(0)
        if file.readinto(content) != size_bytes:
            raise OSError(f"blob {digest[:12]}… is shorter than it was")
    return content


def private_map(fd: int, size_bytes: int) -> mmap.mmap:
    """A map without a descriptor. Python's own map keeps one, and a process may have 1,024."""
    if sys.version_info >= (3, 13):
        return mmap.mmap(fd, size_bytes, access=mmap.ACCESS_COPY, trackfd=False)
    if sys.platform != "linux":
        return mmap.mmap(fd, size_bytes, access=mmap.ACCESS_COPY)
    access = mmap.PROT_READ | mmap.PROT_WRITE
    view = mmap.mmap(-1, size_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, access)
    address = ctypes.addressof(ctypes.c_char.from_buffer(view))
    if _mmap(address, size_bytes, access, mmap.MAP_PRIVATE | _MAP_FIXED, fd, 0) != address:
        return mmap.mmap(fd, size_bytes, access=mmap.ACCESS_COPY)
    return view


def address_of(buffer: Any) -> int | None:
    """The address and size of a contiguous buffer."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    except (TypeError, ValueError, BufferError):  # only numpy gives the address of a read-only one
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            return int(numpy.frombuffer(buffer, "u1").__array_interface__["data"][0])
        return None


def digest_of(buffer: memoryview) -> str | None:
    """The digest of the buffer's current content if it is known without reading, which means that
    it was in a store before.
    """
    address = address_of(buffer)
    if address is None:
        return None
    with _lock:
        owner = _map_at(address, buffer.nbytes)
        if owner is not None:
            return owner.digest_of(address, buffer.nbytes)
        digest = _guarded.get((address, buffer.nbytes))
        if digest is None:
            return None
        if _guard is not None and _guard.untouched(address, buffer.nbytes):
            return digest
        _forget(address, buffer.nbytes)
        return None


def in_map(buffer: memoryview) -> bool:
    """Whether it lies in the map of a blob. It may have been rewritten with equal bytes, so that
    the store may know its digest.
    """
    address = address_of(buffer)
    with _lock:
        return address is not None and _map_at(address, buffer.nbytes) is not None


def let_go(buffer: memoryview) -> None:
    """Lets its whole pages leave memory if they are a blob's; they are read again when touched."""
    address = address_of(buffer)
    if address is None or not in_map(buffer):
        return
    page_bytes = memory_pages.PAGE_BYTES
    start, end = -(-address // page_bytes) * page_bytes, address + buffer.nbytes
    size_bytes = end - end % page_bytes - start
    if size_bytes > 0 and memory_pages.is_file(start, size_bytes):
        memory_pages.give_back(start, size_bytes)


def digest(buffer: memoryview) -> str:
    """The digest of its current content. Reads it only if needed, and an unchanged part of a map
    only once.
    """
    found = digest_of(buffer)
    if found is None:
        found, address = hashed(buffer), address_of(buffer)
        with _lock:
            owner = _map_at(address, buffer.nbytes) if address is not None else None
            if owner is not None and address is not None:
                owner.note(address, buffer.nbytes, found)
    return found


def begin(buffer: memoryview) -> bool:
    """Call before the buffer is read and hashed: its writes are recorded from here on. Returns
    whether `remember` may follow.
    """
    global _guard, _can_guard
    address = address_of(buffer)
    if buffer.nbytes < GUARDED_BYTES or address is None or not _can_guard:
        return False
    place = address, buffer.nbytes
    with _lock:
        if _map_at(*place) is not None:
            return False
        try:
            _guard = _guard or memory_pages.Guard()
        except OSError:
            _can_guard = False
            return False
        while len(_guarded) >= _MOST_GUARDED:
            _forget(*next(iter(_guarded)))
        try:
            _guard.guard(*place)
        except OSError:
            return False
        return True


def remember(buffer: memoryview, digest: str) -> None:
    """The content read since `begin` has this digest."""
    address = address_of(buffer)
    with _lock:
        if address is not None and _guard is not None and _guard.untouched(address, buffer.nbytes):
            _guarded[address, buffer.nbytes] = digest


def _forget(address: int, size_bytes: int) -> None:
    _guarded.pop((address, size_bytes), None)
    if _guard is not None:
        _guard.release(address, size_bytes)


def _map_at(address: int, size_bytes: int) -> _BlobMap | None:
    for start, one in list(_maps.items()):
        if one.alive() is None:
            del _maps[start]
        elif start <= address and address + size_bytes <= start + one.size_bytes:
            return one
    return None


def hashed(buffer: Any) -> str:
    """The digest of a buffer's bytes."""
    return blake3.blake3(memoryview(buffer).cast("B"), max_threads=_hash_threads).hexdigest()


def hash_alone() -> None:
    """Hash without threads from here on: this process is forked later and would lose them."""
    global _hash_threads
    _hash_threads = 1


def _after_fork() -> None:
    """A forked process has its own memory, which the parent's guard does not cover, and no hashing
    threads.
    """
    global _guard, _lock
    hash_alone()
    _lock = threading.Lock()
    _guarded.clear()
    _guard = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
