"""A result's files hold what its buffers held, whatever memory these share."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mecapy_worker.child.result_files")

from mecapy_jupyter.travel.pickling import buffer_file
from mecapy_worker.child import result_files

PIECE, LARGE = buffer_file.PIECE_BYTES, buffer_file.LARGE_PAGE_BYTES


def test_buffers_that_overlap(tmp_path: Path) -> None:
    """Memory that a later buffer needs is not given back for an earlier one."""
    array = np.arange(1 << 20, dtype="u8")
    parts = [array, array[1000:600_000], array[::-1].copy(), array[-70_000:], np.zeros(0)]
    expected = [part.tobytes() for part in parts]
    names = result_files.write(
        str(tmp_path),
        [memoryview(part).cast("B") if part.size else memoryview(b"") for part in parts],
    )
    assert [(tmp_path / name).read_bytes() for name in names] == expected


def test_memory_is_given_back(tmp_path: Path) -> None:
    """What was written takes no memory any more, and its neighbours keep theirs."""
    whole = np.ones(1 << 20)
    middle = whole[100_000:900_000]
    result_files.write(str(tmp_path), [memoryview(middle).cast("B")])
    assert (whole[:100_000] == 1).all() and (whole[900_000:] == 1).all()
    assert np.count_nonzero(middle) < middle.size


def test_large_pages_are_given_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is written, memory goes back in steps that end where a large page ends: none is
    split, and none is left at the end.
    """
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(
        result_files.memory_pages,
        "give_back",
        lambda address, size_bytes: given.append((address, size_bytes)),
    )
    array = np.ones(5 * PIECE // 8 + 1000)
    result_files.write(str(tmp_path), [memoryview(array).cast("B")])
    address = array.ctypes.data
    assert len(given) == 6 and all((start + size) % LARGE == 0 for start, size in given[:-1])
    assert given[0][0] - address < 4096 and all(
        start + size == after for (start, size), (after, _) in itertools.pairwise(given)
    )
    assert address + array.nbytes - sum(given[-1]) < 4096
