"""A blob goes to the disk in pieces, so that no commit waits for all of it."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from pathlib import Path

import pytest

pytest.importorskip(
    "mecapy_backend.store.blobs.disk_sync",
    reason="needs the server parts (pip install 'mecapy-jupyter[local]')",
)

from mecapy_backend.store.blobs import disk_sync

SIZE = 10 * disk_sync.PIECE_BYTES + 12_345
_CACHESTAT = 451  # Linux 6.5, the same on every architecture


def unwritten_bytes(fd: int) -> int:
    """What of a file is in memory and not on the disk yet."""
    if platform.system() != "Linux":
        pytest.skip("asks the Linux kernel")
    whole, found = (ctypes.c_uint64 * 2)(0, 0), (ctypes.c_uint64 * 5)()
    if ctypes.CDLL(None, use_errno=True).syscall(_CACHESTAT, fd, whole, found, 0):
        pytest.skip(f"this kernel does not tell: {errno.errorcode[ctypes.get_errno()]}")
    _, dirty, writing, _, _ = found
    return (dirty + writing) * os.sysconf("SC_PAGE_SIZE")


def test_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the last call, which waits for whatever is left, each piece has been waited for and
    nothing is left.
    """
    left: list[int] = []
    real = disk_sync._piece

    def piece(fd: int, start: int) -> None:
        before = unwritten_bytes(fd)
        real(fd, start)
        left.append(before - unwritten_bytes(fd))

    monkeypatch.setattr(disk_sync, "_piece", piece)
    monkeypatch.setattr(os, "fdatasync", lambda fd: left.append(unwritten_bytes(fd)))
    with (tmp_path / "blob").open("w+b", buffering=0) as file:
        file.write(os.urandom(SIZE))
        if not unwritten_bytes(file.fileno()):
            pytest.skip("a file system that writes at once, or never")
        disk_sync.to_disk(file.fileno())
    assert len(left) == 12 and left[-1] == 0
    assert (
        max(left) <= 2 * disk_sync.PIECE_BYTES
    )  # a piece may lie on the border of pages of the file that are larger


def test_errors_are_told() -> None:
    """What cannot be written out says so."""
    read_end, write_end = os.pipe()
    try:
        with pytest.raises(OSError):
            disk_sync.to_disk(write_end)
    finally:
        os.close(read_end)
        os.close(write_end)
