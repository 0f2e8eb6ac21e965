"""A result's files hold what its buffers held, whatever memory these share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mecapy_worker.outbox")

from mecapy_worker import outbox


def test_buffers_that_overlap(tmp_path: Path) -> None:
    """Memory that a later buffer needs is not given back for an earlier one."""
    array = np.arange(1 << 20, dtype="u8")
    parts = [array, array[1000:600_000], array[::-1].copy(), array[-70_000:], np.zeros(0)]
    expected = [part.tobytes() for part in parts]
    names = outbox.write(tmp_path, [memoryview(part).cast("B") if part.size else memoryview(b"") for part in parts])
    assert [(tmp_path / name).read_bytes() for name in names] == expected


def test_memory_is_given_back(tmp_path: Path) -> None:
    """What was written takes no memory any more, and its neighbours keep theirs."""
    whole = np.ones(1 << 20)
    middle = whole[100_000:900_000]
    outbox.write(tmp_path, [memoryview(middle).cast("B")])
    assert (whole[:100_000] == 1).all() and (whole[900_000:] == 1).all()
    assert np.count_nonzero(middle) < middle.size
