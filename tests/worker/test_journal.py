"""How events are joined on their way to Redis and kept, without a child."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from mecapy_backend.queue import keys
from mecapy_backend.store.log import events, final_log
from mecapy_jupyter import wire
from mecapy_worker.run.event_writer import EventWriter

from .conftest import Desk, text_of


async def test_burst_is_joined(desk: Desk, tmp_path: Path) -> None:
    """A hundred writes in a burst become few events with the same text."""
    async with EventWriter(desk.queue, "t1", desk.settings, tmp_path / "log") as written:
        for n in range(100):
            written.text("stdout", b"%d\n" % n)
    await written.end("completed", {})
    *seen, _ = await events.read(desk.queue, "t1")
    assert text_of(seen) == "".join(f"{n}\n" for n in range(100)) and len(seen) <= 3
    final_log, spool = await written.kept()
    assert [(event.id, event.data) for event in final_log] == [
        (event.id, event.data) for event in seen
    ] and spool is None


async def test_a_short_attempt_writes_with_its_end(desk: Desk, tmp_path: Path) -> None:
    """What the first attempt says last goes into the stream with the final event, under the ids it
    has in the log.
    """
    async with EventWriter(desk.queue, "t5", desk.settings, tmp_path / "log") as written:
        written.add(wire.StartedEvent())
        written.text("stdout", b"all\n")
    assert await events.read(desk.queue, "t5") == []
    await written.end("completed", {"state": "completed"})
    told = await events.read(desk.queue, "t5")
    assert [event.type for event in told] == [
        "started",
        "stdout",
        "completed",
    ] and await written.kept() == (told[:-1], None)
    assert await desk.queue.ttl(keys.events("t5")) <= events.ENDED_TTL_S


async def test_a_long_attempt_is_written_while_it_runs(desk: Desk, tmp_path: Path) -> None:
    """What it said before is in the stream, what it says last comes after that."""
    async with EventWriter(desk.queue, "t6", desk.settings, tmp_path / "log") as written:
        written.text("stdout", b"one ")
        (seen,) = await events.read(desk.queue, "t6", block_ms=7000)
        written.text("stderr", b"two")
        written.close()
    await written.end("completed", {})
    told = await events.read(desk.queue, "t6")
    assert told[0] == seen and told[1].data == {"text": "two"}
    assert await written.kept() == (told[:-1], None)


async def test_the_end_comes_also_where_its_ids_are_taken(desk: Desk, tmp_path: Path) -> None:
    """A write's answer gets lost: what was said last still comes before the end."""
    async with EventWriter(desk.queue, "t7", desk.settings, tmp_path / "log") as written:
        written.text("stdout", b"said")
    await events.append(desk.queue, "t7", [("stdout", {"text": "before "})])
    await desk.queue.xadd(keys.events("t7"), {"type": "usage", "data": "{}"}, "99999999999999-0")  # pyright: ignore
    await written.end("completed", {})
    told = await events.read(desk.queue, "t7")
    assert text_of(told) == "before said" and told[-1].type == "completed" and len(told) == 4


async def test_an_attempt_that_is_tried_again_is_heard(desk: Desk, tmp_path: Path) -> None:
    """What it said last goes into the stream before the next attempt begins."""
    async with EventWriter(desk.queue, "t8", desk.settings, tmp_path / "log") as written:
        written.text("stdout", b"one")
    await written.flush()
    async with EventWriter(desk.queue, "t8", desk.settings, tmp_path / "log2", (2, 0)) as again:
        again.text("stdout", b" two")
    assert text_of(await events.read(desk.queue, "t8")) == "one two"


async def test_a_start_that_was_lost(desk: Desk, tmp_path: Path) -> None:
    """PostgreSQL forgot in a crash that the first attempt had begun, so there is a second first
    one: its events count, and those of the other no more.
    """
    began = datetime.now(UTC)
    again = events.first_number(1, began + timedelta(milliseconds=1))
    lost = EventWriter(
        desk.queue, "t9", desk.settings, tmp_path / "log", events.first_number(1, began)
    )
    async with lost:
        for n in range(9):
            lost.add(wire.StderrEvent(f"{n}"))
            lost.add(wire.ProgressEvent(0.1))
    await lost.flush()
    async with EventWriter(desk.queue, "t9", desk.settings, tmp_path / "log2", again) as counts:
        counts.text("stdout", b"counts")
    await counts.flush()
    late = ("stdout", {"text": "late"})
    await events.append(desk.queue, "t9", [late], (1, events.first_number(1, began)[1] + 100))
    await counts.end("completed", {})
    is_new = events.NewEvents()
    seen = [e.type for e in await events.read_encoded(desk.queue, "t9") if is_new(e)]
    assert seen[-2:] == ["stdout", "completed"] and seen.count("stdout") == 1


async def test_characters_are_not_cut(desk: Desk, tmp_path: Path) -> None:
    """A character whose bytes come in two frames arrives whole;
    bytes that are none are replaced.
    """
    async with EventWriter(desk.queue, "t2", desk.settings, tmp_path / "log") as written:
        for part in (b"gr\xc3", b"\xbc\xc3\x9fe \xff", b"\xe2\x82"):
            written.text("stdout", part)
    await written.flush()
    assert text_of(await events.read(desk.queue, "t2")) == "grüße \ufffd\ufffd"


async def test_last_progress_counts(desk: Desk, tmp_path: Path) -> None:
    """The last of many progress events in a row is shown, and none is kept in the log."""
    async with EventWriter(desk.queue, "t3", desk.settings, tmp_path / "log") as written:
        for n in range(1000):
            written.add(wire.ProgressEvent(n / 999))
    await written.flush()
    seen = await events.read(desk.queue, "t3")
    assert seen[-1].data["fraction"] == 1 and len(seen) < 5 and await written.kept() == ([], None)


async def test_live_cap(desk: Desk, tmp_path: Path) -> None:
    """Above the live cap the stream ends with one note, and the log's file has everything."""
    line = b"x" * 99_999 + b"\n"
    async with EventWriter(desk.queue, "t4", desk.settings, tmp_path / "log") as written:
        for _ in range(100):
            written.text("stdout", line)
            await written.room()
    seen = await events.read(desk.queue, "t4")
    assert (
        len(text_of(seen)) <= final_log.LIVE_BYTES
        and text_of(seen, "stderr").count("log keeps all of it") == 1
    )
    _, spool = await written.kept()
    assert spool and spool.stat().st_size > 10_000_000
