"""One task from queued to final, in a real child."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from blake3 import blake3

from mecapy_backend.store import tasks
from mecapy_jupyter import wire
from mecapy_jupyter.travel.environment import prelude
from mecapy_jupyter.travel.pickling import payload, pickler
from mecapy_worker.run.consumer import Consumer
from mecapy_worker.run.record import retry_pause_s

from .conftest import OWNER, Desk, content, text_of


def kinds(seen: list[wire.Event]) -> list[str]:
    """Of a cell that takes no time: one that waits for a processor is measured meanwhile."""
    return [event.type for event in seen if event.type != wire.USAGE]


async def test_straight_line(desk: Desk, worker: Consumer) -> None:
    """A queued task starts, prints, ends; its row, its events and its kept log say the same."""
    task_id = await desk.submit("print('hello')\nx * 2", inputs={"x": 21})
    seen = await desk.until(task_id, *wire.FINAL)
    assert kinds(seen) == ["started", "stdout", "display", "completed"]
    limit = worker.context.settings.max_memory_bytes
    assert seen[0].data == {
        "worker": worker.context.worker_id,
        "attempt": 1,
        "memory_limit_bytes": limit,
        "timeout_s": wire.TIMEOUT_S,
    }
    outcome = wire.Outcome.from_json(seen[-1].data)
    assert (outcome.result, outcome.error, outcome.seconds > 0) == (42, None, True)
    row = await desk.row(task_id)
    assert (row.state, row.attempt, row.outcome) == ("completed", 1, outcome.as_json())
    assert await tasks.stored_log(desk.db, OWNER, task_id) == seen[:-1]


async def test_output_keeps_its_order(desk: Desk, worker: Consumer) -> None:
    """What is written to stdout, stderr and the display arrives in the order it was written."""
    code = (
        "import sys\nfor n in range(5):\n    print(n)\n    print(-n, file=sys.stderr)\n    "
        "display(n)"
    )
    seen = await desk.until(await desk.submit(code), *wire.FINAL)
    assert kinds(seen)[1:-1] == ["stdout", "stderr", "display"] * 5


async def test_output_is_live(desk: Desk, worker: Consumer) -> None:
    """A line printed now is in the stream long before the cell ends."""
    task_id = await desk.submit("import time\nprint('early')\ntime.sleep(30)")
    await desk.until(task_id, "stdout", text="early")
    assert await desk.state(task_id) == "running"
    await desk.queue.announce_cancel(task_id)
    await desk.outcome(task_id)


async def test_cell_error(desk: Desk, worker: Consumer) -> None:
    """A cell that raises fails with its own exception, and the worker serves on."""
    error = await desk.failed("a = 1\n1/0")
    assert (error.kind, error.type, error.line) == ("cell", "ZeroDivisionError", 2)
    error = await desk.failed("a = 1\n1/0", cell=wire.Cell(5, "%%mecapy", "<cell 5>"))
    assert error.line == 3  # as the page counts, where the magic's line is the first
    assert (await desk.run("3")).result == 3


async def test_python_mismatch(desk: Desk, worker: Consumer) -> None:
    """A payload of another Python version is not opened; the message names both versions."""
    error = await desk.failed("1", python="2.7")
    assert (
        error.kind == "python" and "2.7" in error.message and "workers Python 3." in error.message
    )


async def test_payload_there_and_back(desk: Desk, worker: Consumer) -> None:
    """A large array goes as a blob into the child and comes home as one, byte for byte, changed in
    place.
    """
    import numpy as np

    a = np.arange(500_000.0)
    sent = payload.pack([{"a": a}], {}, prelude=lambda own: prelude.make(own, {"a": a}, (), ()))
    digests = [await _stored(desk, bytes(buffer)) for buffer in sent.buffers]
    outcome = await desk.run(
        "a += 1\nb = a[:100_000] * 1", payload=wire.Payload(bytes(sent.stream), "", tuple(digests))
    )
    assert outcome.state == "completed" and outcome.payload and outcome.payload.buffers, outcome
    sizes = [len(await content(desk, digest)) for digest in outcome.payload.buffers]
    assert sum(sizes) >= a.nbytes


async def test_many_small_objects_come_home(desk: Desk, start_worker: Any) -> None:
    """However long the pickle is, beyond what a frame may hold; the worker does not hold it in its
    memory.
    """
    worker = await start_worker()
    sent = payload.pack([{}], {}, prelude=lambda own: prelude.make(own, {}, (), ()))
    outcome = await desk.run(
        "rows = [f'{n:0100}' for n in range(1_400_000)]", payload=wire.Payload(bytes(sent.stream))
    )
    assert outcome.state == "completed" and outcome.payload and outcome.payload.pickle_blob, outcome
    stream = await content(desk, outcome.payload.pickle_blob)
    assert len(stream) > 128 << 20 and b"%0100d" % 1_399_999 in stream
    assert _most_bytes(worker.process.pid) < 300 << 20


def _most_bytes(pid: int) -> int:
    """The most memory a process ever had."""
    line = next(
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    )
    return int(line.split()[1]) << 10


async def test_missing_input(desk: Desk, worker: Consumer) -> None:
    """An input that is no longer in the store fails the task with a sentence, not the worker."""
    digest = await _stored(desk, b"x" * 100_000)
    task_id = await desk.submit("1", payload=wire.Payload(b"", "", (digest,)), enqueue=False)
    await desk.blobs.delete(OWNER, digest)
    await desk.queue.enqueue(task_id, OWNER)
    outcome = await desk.outcome(task_id)
    assert (
        outcome.error
        and outcome.error.kind == "storage"
        and "run the cell again" in outcome.error.message
    )


async def test_more_inputs_than_the_usual_limit_of_open_files(
    desk: Desk, start_worker: Any
) -> None:
    """A worker may open as many files as its system allows."""
    await start_worker(open_files=(256, 4096))
    outcome = await desk.run(
        "total = sum(a.sum() for a in arrays)", payload=await _arrays(desk, 900)
    )
    assert outcome.state == wire.COMPLETED, outcome


async def test_more_inputs_than_files_may_be_open(desk: Desk, start_worker: Any) -> None:
    """The task fails at once, and says whose limit that is."""
    await start_worker(open_files=(256, 256))
    error = await desk.failed("arrays", payload=await _arrays(desk, 300))
    assert (
        error.kind == "storage"
        and "Too many open files" in error.message
        and "ulimit" in error.message
    )


async def test_too_many_inputs(desk: Desk, worker: Consumer) -> None:
    """More than go along with one task: a sentence of its own, before anything is opened."""
    sent = await _arrays(desk, 1)  # our own client refuses to send so many
    error = await desk.failed("arrays", payload=replace(sent, buffers=sent.buffers * 1001))
    assert error.kind == "inputs" and "1,001" in error.message and "numpy.stack" in error.message


async def _arrays(desk: Desk, count: int) -> wire.Payload:
    import numpy as np

    arrays = [np.zeros(pickler.BUFFER_BYTES, "u1") for _ in range(count)]
    sent = payload.pack(
        [{"arrays": arrays}],
        {},
        prelude=lambda own: prelude.make(own, {"arrays": arrays}, (), ()),
    )
    digest = await _stored(desk, bytes(sent.buffers[0]))
    return wire.Payload(bytes(sent.stream), "", (digest,) * len(sent.buffers))


async def test_retries(desk: Desk, worker: Consumer) -> None:
    """A failing task is tried again as often as its owner asked, then fails for good."""
    task_id = await desk.submit("print('try')\n1/0", retries=2)
    seen = await desk.until(task_id, *wire.FINAL)
    assert [event.data["attempt"] for event in seen if event.type == "started"] == [1, 2, 3]
    assert (await desk.row(task_id)).state == "failed"


async def test_long_log_becomes_a_blob(desk: Desk, worker: Consumer) -> None:
    """A log above 64 KiB is kept as a blob of JSON lines that holds everything, in order."""
    task_id = await desk.submit("for n in range(20_000): print(f'line {n:06}')")
    seen = await desk.until(task_id, *wire.FINAL)
    row = await desk.row(task_id)
    assert row.log_blob and not await tasks.stored_log(desk.db, OWNER, task_id)
    lines = [json.loads(line) for line in (await content(desk, row.log_blob)).splitlines()]
    text = "".join(line["data"]["text"] for line in lines if line["type"] == "stdout")
    assert text == "".join(f"line {n:06}\n" for n in range(20_000)) == text_of(seen)
    assert [line["id"] for line in lines if line["type"] != "usage"] == [
        event.id for event in seen if event.type in ("started", "stdout")
    ]


async def test_priority(desk: Desk, worker: Consumer) -> None:
    """While all slots are busy, a later task of higher priority overtakes."""
    busy = await desk.submit("import time; print('busy'); time.sleep(600)")
    await desk.until(busy, "stdout")
    low, high = await desk.submit("1", priority=1), await desk.submit("2", priority=9)
    await tasks.cancel(desk.db, OWNER, busy)
    await desk.queue.announce_cancel(busy)
    await desk.outcome(low)
    first, second = await desk.row(high), await desk.row(low)
    assert first.started_at and second.started_at and first.started_at < second.started_at


async def _stored(desk: Desk, data: bytes) -> str:
    async def chunks() -> Any:
        yield data

    digest = blake3(data).hexdigest()
    await desk.blobs.write(OWNER, digest, chunks())
    await tasks_know(desk, digest)
    return digest


async def tasks_know(desk: Desk, digest: str) -> None:
    """The store's table of blobs, as the upload route fills it."""
    import sqlalchemy as sa

    from mecapy_backend.store.tables import blobs

    async with desk.db.connect() as connection:
        await connection.execute(sa.insert(blobs).values(owner=OWNER, digest=digest, size=1))


async def test_a_retry_waits_longer_each_time() -> None:
    """A second after the first failure, twice as long after each further one, a minute at most."""
    assert [retry_pause_s(failures) for failures in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
