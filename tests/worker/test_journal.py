"""How events are joined on their way to Redis and kept, without a child."""

from __future__ import annotations

from pathlib import Path

from mecapy_backend.store import events
from mecapy_worker import journal
from mecapy_worker.journal import Journal

from .conftest import Desk, text_of


async def test_burst_is_joined(desk: Desk, tmp_path: Path) -> None:
    """A hundred writes in a burst become few events with the same text."""
    async with Journal(desk.queue, "t1", desk.settings, tmp_path / "log") as written:
        for n in range(100):
            written.text("stdout", b"%d\n" % n)
    seen = await events.read(desk.queue, "t1")
    assert text_of(seen) == "".join(f"{n}\n" for n in range(100)) and len(seen) <= 3
    kept, spool = written.kept()
    assert [(event.id, event.data) for event in kept] == [(event.id, event.data) for event in seen] and spool is None


async def test_characters_are_not_cut(desk: Desk, tmp_path: Path) -> None:
    """A character whose bytes come in two frames arrives whole; bytes that are none are replaced."""
    async with Journal(desk.queue, "t2", desk.settings, tmp_path / "log") as written:
        for part in (b"gr\xc3", b"\xbc\xc3\x9fe \xff", b"\xe2\x82"):
            written.text("stdout", part)
    assert text_of(await events.read(desk.queue, "t2")) == "grüße \ufffd\ufffd"


async def test_last_progress_counts(desk: Desk, tmp_path: Path) -> None:
    """Of many progress events in a row the last is shown, and none is kept in the log."""
    async with Journal(desk.queue, "t3", desk.settings, tmp_path / "log") as written:
        for n in range(1000):
            written.add("progress", {"fraction": n / 999, "text": ""})
    seen = await events.read(desk.queue, "t3")
    assert seen[-1].data["fraction"] == 1 and len(seen) < 5 and written.kept() == ([], None)


async def test_live_cap(desk: Desk, tmp_path: Path) -> None:
    """Above the live cap the stream ends with one note, and the log's file has everything."""
    line = b"x" * 99_999 + b"\n"
    async with Journal(desk.queue, "t4", desk.settings, tmp_path / "log") as written:
        for _ in range(100):
            written.text("stdout", line)
            await written.room()
    seen = await events.read(desk.queue, "t4")
    assert len(text_of(seen)) <= journal.LIVE_BYTES and text_of(seen, "stderr").count("log keeps all of it") == 1
    _, spool = written.kept()
    assert spool and spool.stat().st_size > 10_000_000
