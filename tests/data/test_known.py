"""Whether memory still holds a blob: every way to write to it is noticed, and reading it is not
mistaken for one.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blake3
import numpy as np
import pytest

from mecapy_jupyter.travel.changes import array_copy
from mecapy_jupyter.travel.pickling import known_blobs, memory_pages

linux = pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")


def _by_view(array: Any) -> None:
    array[5:9][1] += 1


def _by_out(array: Any) -> None:
    np.add(array[-1:], 1, out=array[-1:])


def _by_c(array: Any) -> None:
    ctypes.memset(array.ctypes.data + array.nbytes - 1, 0x41, 1)


def _by_read(array: Any) -> None:
    with Path("/dev/urandom").open("rb", buffering=0) as source:
        assert source.readinto(memoryview(array)[4096:4104]) == 64


def _by_thread(array: Any) -> None:
    writer = threading.Thread(target=lambda: array.__setitem__(array.size // 2, -1.0))
    writer.start()
    writer.join()


WRITERS = [_by_view, _by_out, _by_c, _by_read, _by_thread]


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def raw(array: Any) -> memoryview:
    return memoryview(array).cast("B")


def mapped(content: bytes) -> tuple[Any, str]:
    """An array in the private map of a file, as results and inputs are."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        digest = known_blobs.hashed(content)
        return np.frombuffer(known_blobs.map_blob(file.fileno(), digest)), digest


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts what is hashed."""
    counted: list[int] = []
    real = known_blobs.hashed
    monkeypatch.setattr(
        known_blobs,
        "hashed",
        lambda buffer: counted.append(memoryview(buffer).nbytes) or real(buffer),
    )
    return counted


@linux
def test_a_map_that_was_only_read_is_not_hashed(hashes: list[int]) -> None:
    """Its digest is its blob's name, however often it is read."""
    array, digest = mapped(np.arange(1 << 18, dtype=float).tobytes())
    hashes.clear()
    assert array.sum() is not None and known_blobs.digest_of(raw(array)) == digest
    assert hashes == []


@linux
@pytest.mark.parametrize("write", WRITERS)
def test_a_written_map_is_noticed(write: Callable[[Any], None]) -> None:
    """A changed element of a mapped array changes its digest, whoever wrote it."""
    array, digest = mapped(np.ones(1 << 18).tobytes())
    write(array)
    assert known_blobs.digest_of(raw(array)) is None
    assert known_blobs.digest(raw(array)) == known_blobs.hashed(
        raw(array)
    ) != digest and known_blobs.in_map(raw(array))


@linux
@pytest.mark.parametrize("write", WRITERS)
def test_an_older_kernel_is_asked_page_by_page(
    write: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel does not look through the pages itself, we do, and find the same."""
    monkeypatch.setattr(memory_pages, "_SCAN", 0)  # a request no kernel knows
    array, digest = mapped(np.ones(1 << 18).tobytes())
    assert array.sum() and known_blobs.digest_of(raw(array)) == digest
    write(array)
    assert known_blobs.digest_of(raw(array)) is None


@linux
def test_one_question_for_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """However large a map, the kernel is asked once and no page is looked at here."""
    try:
        memory_pages.Guard().close()
    except OSError as why:
        pytest.skip(f"this kernel does not look through pages: {why}")
    asked: list[int] = []
    real = memory_pages._ioctl
    monkeypatch.setattr(
        memory_pages,
        "_ioctl",
        lambda fd, request, *rest: asked.append(request) or real(fd, request, *rest),
    )
    monkeypatch.setattr(memory_pages, "_all_of_file", lambda *_: asked.append(-1))
    array, digest = mapped(np.ones(1 << 23).tobytes())
    assert array.sum() and known_blobs.digest_of(raw(array)) == digest
    assert asked == [memory_pages._SCAN]


def test_part_of_a_map(hashes: list[int]) -> None:
    """A slice of a mapped array has a digest of its own, found once, and right before and after a
    write elsewhere and in it.
    """
    array, _ = mapped(np.arange(1 << 18, dtype=float).tobytes())
    part = array[1 << 16 : 1 << 17]
    right = bytes(raw(part))
    hashes.clear()
    for _ in range(3):
        assert known_blobs.digest(raw(part)) == blake3.blake3(right).hexdigest()
    assert hashes == [part.nbytes] or not sys.platform.startswith("linux")
    for index in (0, 70_000):
        array[index] = -1.0
        assert known_blobs.digest(raw(part)) == blake3.blake3(bytes(raw(part))).hexdigest()
    assert hashes == [part.nbytes] * 2 or not sys.platform.startswith("linux")


@pytest.fixture
def guarded() -> None:
    try:
        memory_pages.Guard().close()
    except OSError as why:
        pytest.skip(f"this kernel guards no memory: {why}")


def own_memory(value: float) -> Any:
    """An array with pages of its own; in a smaller one's first and last page, the allocator's other
    customers write, too.
    """
    array = np.frombuffer(mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    if value:
        array[:] = value
    return array


def _sent(array: Any) -> str:
    """What `transfer` does with an array it does not know."""
    assert known_blobs.begin(raw(array))
    digest = known_blobs.hashed(raw(array))
    known_blobs.remember(raw(array), digest)
    return digest


@pytest.mark.usefixtures("guarded")
def test_unchanged_memory_is_not_hashed(hashes: list[int]) -> None:
    """Ordinary memory that was sent and then only read is known without hashing; zeros that were
    never written, too.
    """
    for array in (own_memory(1.0), own_memory(0.0)):
        digest = _sent(array)
        hashes.clear()
        assert array.sum() is not None and known_blobs.digest_of(raw(array)) == digest
        assert hashes == []


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize("write", WRITERS)
def test_written_memory_is_noticed(write: Callable[[Any], None]) -> None:
    """A changed element of an ordinary array makes it unknown, whoever wrote it."""
    array = own_memory(1.0)
    _sent(array)
    write(array)
    assert known_blobs.digest_of(raw(array)) is None


@pytest.mark.usefixtures("guarded")
def test_memory_used_again_is_unknown() -> None:
    """Another array at the address of one that was freed is another array."""
    map_here = mmap.mmap(-1, 4 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    array = np.frombuffer(map_here, "u1")
    array[:] = 7
    _sent(array)
    address, size_bytes = array.ctypes.data, array.nbytes
    assert (
        ctypes.CDLL(None).madvise(ctypes.c_void_p(address), ctypes.c_size_t(size_bytes), 4) == 0
    )  # as if given back: reads as zeros
    assert known_blobs.digest_of(raw(array)) is None


@pytest.mark.usefixtures("guarded")
def test_shared_memory_is_never_trusted() -> None:
    """Another process may write to it unseen, so it is hashed each time."""
    array = np.frombuffer(mmap.mmap(-1, 4 << 20, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS), "u1")
    array[:] = 7
    if known_blobs.begin(raw(array)):
        known_blobs.remember(raw(array), known_blobs.hashed(raw(array)))
    assert known_blobs.digest_of(raw(array)) is None


@pytest.mark.usefixtures("guarded")
def test_a_fork_knows_nothing() -> None:
    """What the parent's kernel notes says nothing of the memory of a forked process."""
    array = own_memory(1.0)
    _sent(array)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            array[3] = 2
            os.write(
                write_end, b"unknown" if known_blobs.digest_of(raw(array)) is None else b"known"
            )
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read_end, 20) == b"unknown"
    os.close(read_end)
    os.close(write_end)
    assert known_blobs.digest_of(raw(array)) is not None


@linux
@pytest.mark.parametrize("size_bytes", [70_000, 2 << 20])
def test_what_came_home_keeps_no_descriptor(size_bytes: int) -> None:
    """A process has a thousand of them, and a result may be as many arrays. It is writable,
    private, and its file may go.
    """
    content = os.urandom(size_bytes)
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        before = _open_files()
        taken = [
            known_blobs.take_blob(file.fileno(), known_blobs.hashed(content)) for _ in range(20)
        ]
        assert _open_files() == before
    taken[0][0:4] = b"mine"
    assert bytes(taken[0]) == b"mine" + content[4:] and bytes(taken[1]) == content
    assert known_blobs.in_map(raw(taken[1])) == (size_bytes >= known_blobs.GUARDED_BYTES)


@linux
def test_a_result_copied_into_its_array_is_not_in_memory_twice() -> None:
    """What was copied from a blob's map leaves memory; it is there again when it is read."""
    content = np.arange(4 << 20, dtype="f8").reshape(4, -1)
    view, _ = mapped(content.tobytes())
    arrived = np.frombuffer(view, "f8").reshape(4, -1)
    original = np.zeros_like(content)
    before = memory_of_files()
    assert array_copy.set_content(original, arrived, writeable=True)
    assert np.array_equal(original, content)
    assert memory_of_files() - before < arrived.nbytes / 4
    assert np.array_equal(arrived, content)


@pytest.mark.parametrize("order", ["C", "F", "window"])
def test_an_array_is_copied_whatever_its_order(order: str) -> None:
    """Rows, columns, and a window on a larger one."""
    content = np.arange(2 << 20, dtype="f8").reshape(1024, -1)
    if order == "window":
        original = np.zeros((1024, 4096))[:, ::2]
    else:
        original = np.zeros_like(content, order="C" if order == "C" else "F")
        content = np.asarray(content, order="C" if order == "C" else "F")
    assert array_copy.set_content(original, content, writeable=True)
    assert np.array_equal(original, content)


def memory_of_files() -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssFile"))
