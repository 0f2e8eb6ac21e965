"""How a buffer becomes a file: in pieces that end where large pages do, its blocks set aside before
the first.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from mecapy_jupyter.travel.pickling import buffer_file

SIZE = 3 * buffer_file.PIECE_BYTES + 1_234_567
CONTENT = np.random.default_rng(3).integers(0, 256, SIZE, "u1")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "buffer")


@pytest.fixture
def room() -> list[int]:
    """What the file took on the disk before each piece was written."""
    return []


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch, room: list[int]) -> list[int]:
    """The bytes of each write(2)."""
    made: list[int] = []
    real = os.write

    def write(fd: int, data: memoryview) -> int:
        room.append(512 * os.fstat(fd).st_blocks)
        made.append(real(fd, data))
        return made[-1]

    monkeypatch.setattr(os, "write", write)
    return made


def test_one_pass(path: str, pieces: list[int]) -> None:
    """Each byte is written once, in whole pieces but for the last; each piece is told when it is
    written.
    """
    told: list[tuple[int, int]] = []
    buffer_file.write(path, memoryview(CONTENT), lambda start, end: told.append((start, end)))
    assert Path(path).read_bytes() == CONTENT.tobytes()
    assert pieces == [buffer_file.PIECE_BYTES] * 3 + [1_234_567]
    assert told == [
        (n * buffer_file.PIECE_BYTES, min((n + 1) * buffer_file.PIECE_BYTES, SIZE))
        for n in range(4)
    ]
    assert buffer_file.PIECE_BYTES % buffer_file.LARGE_PAGE_BYTES == 0


@pytest.mark.skipif(sys.platform != "linux", reason="fallocate(2)")
def test_blocks_are_set_aside(path: str, room: list[int], pieces: list[int]) -> None:
    """The first piece finds the blocks of the whole file there;
    a small file does not ask for them.
    """
    buffer_file.write(path, memoryview(CONTENT))
    assert pieces and room[0] >= SIZE
    room.clear()
    buffer_file.write(path + "2", memoryview(CONTENT[:1000]))
    assert room == [0]


def test_writes_cut_short(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that takes less than it was given is followed by one up to where the piece would have
    ended.
    """
    real, at = os.write, [0]

    def short(fd: int, data: memoryview) -> int:
        at.append(at[-1] + real(fd, data[:3_000_001]))
        return at[-1] - at[-2]

    monkeypatch.setattr(os, "write", short)
    buffer_file.write(path, memoryview(CONTENT))
    assert Path(path).read_bytes() == CONTENT.tobytes()
    assert buffer_file.PIECE_BYTES in at and 2 * buffer_file.PIECE_BYTES in at


def test_never_over_another(path: str) -> None:
    """A file that is there already is nobody's to write to."""
    Path(path).write_bytes(b"another's")
    with pytest.raises(FileExistsError):
        buffer_file.write(path, memoryview(CONTENT))
    assert Path(path).read_bytes() == b"another's"
