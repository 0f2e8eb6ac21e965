"""What a child leaves where it should say its line: anything, and it costs the worker nothing."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest

from mecapy_jupyter.wire import Cell
from mecapy_worker.shared import crash_line

CELL = Cell(filename="<cell>")
STEP = 'Current thread 0x1 (most recent call first):\n  File "<cell>", line 7 in f\n'


def opened_in(folder: Path) -> list[str]:
    """What this process has open there; other threads open and close files elsewhere."""
    found: list[str] = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(descriptor.readlink()))
    return [path for path in found if path.startswith(str(folder))]


@pytest.mark.parametrize(
    "kind",
    ["nothing", "a folder", "a pipe nobody writes into", "a pipe held open", "a link", "no text"],
)
async def test_what_is_no_answer(tmp_path: Path, kind: str) -> None:
    """No line, no error, no descriptor kept."""
    place = tmp_path / crash_line.NAME
    held = -1
    if kind == "a folder":
        place.mkdir()
    elif kind.startswith("a pipe"):
        os.mkfifo(place)
        held = os.open(place, os.O_RDWR) if kind.endswith("open") else -1
    elif kind == "a link":
        (tmp_path / "elsewhere").write_text(STEP)
        place.symlink_to("elsewhere")
    elif kind == "no text":
        place.write_bytes(bytes(range(256)) * 1000)
    before = opened_in(tmp_path)
    assert crash_line.line_of(tmp_path, "while True: pass", CELL) is None
    assert opened_in(tmp_path) == before
    if held >= 0:
        os.close(held)


@pytest.mark.parametrize("end", ['  File "<string>", line 1 in <module>\n', "  ...\n"])
async def test_an_answer_in_two_parts(
    tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that waits for its turn in mid-answer is waited for; one that has said all is not."""
    place = tmp_path / crash_line.NAME
    place.write_text(STEP)
    began = time.monotonic()
    await crash_line.answered(tmp_path)
    assert time.monotonic() - began >= 1
    place.write_text(STEP + end)
    monkeypatch.setattr(crash_line, "_ASKED_S", 3600.0)  # else this test would take that long
    await crash_line.answered(tmp_path)
    assert crash_line.line_of(tmp_path, "while True: pass", CELL) == 7
