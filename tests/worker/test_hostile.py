"""Children that crash, lie, flood or garble: only their own task suffers, and it says why."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

import psutil
import pytest

from mecapy_backend.store.people.shares import Took
from mecapy_jupyter import wire
from mecapy_worker.run import relay
from mecapy_worker.run.consumer import Consumer

from ..gate import Gate
from .conftest import OWNER, Desk, content, gone

CHANNEL = (
    "import gc, os\nfrom mecapy_worker.shared.channel import Channel\ngc.unfreeze()\n"
    "from mecapy_worker.shared.frames import Frame\n"
    "ch = [o for o in gc.get_objects() if isinstance(o, Channel) and o.sock.fileno() >= 0][-1]\n"
    "def send(kind, header={}, body=b''): ch.send_frame(Frame(kind, header, body))\n"
)


async def served_on(desk: Desk) -> None:
    assert (await desk.run("6 * 7")).result == 42


async def test_kill_of_the_child(desk: Desk, worker: Consumer) -> None:
    """A child killed from outside fails its task as `killed` with the signal's name; the next task
    runs.
    """
    task_id = await desk.submit("import os, time\nprint('pid', os.getcwd())\ntime.sleep(600)")
    os.kill(await desk.pid(task_id), signal.SIGKILL)
    outcome = await desk.outcome(task_id)
    assert outcome.error and outcome.error.kind == "killed" and "SIGKILL" in outcome.error.message
    await served_on(desk)


async def test_segfault(desk: Desk, worker: Consumer) -> None:
    """A crash in native code is named so."""
    error = await desk.failed("import ctypes; ctypes.string_at(0)")
    assert error.kind == "killed" and "crashed in native code" in error.message


async def test_exit(desk: Desk, worker: Consumer) -> None:
    """A process that ends without a word fails with its exit code."""
    error = await desk.failed("import os; os._exit(3)")
    assert error.kind == "killed" and "exit code 3" in error.message


async def test_says_again_that_its_cell_begins(desk: Desk, worker: Consumer) -> None:
    """Once is all: each goes past the bounds of what a child may print."""
    code = "for _ in 1, 2: send('home', {'folder': os.getcwd(), 'home': '/n'})\n"
    error = await desk.failed(f"{CHANNEL}{code}import time; time.sleep(600)")
    assert error.kind == "protocol" and "only once" in error.message
    await served_on(desk)


async def test_stopped_unasked(
    desk: Desk, worker: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says that it has stopped before it was told to gains no time: it is ended as one that
    does not hear.
    """
    monkeypatch.setattr(relay, "HOME_S", 3600.0)
    code = (
        "import signal\nfor number in (2, 15): signal.signal(number, signal.SIG_IGN)\n"
        "send('stopped')\nwhile True: pass"
    )
    assert (await desk.failed(CHANNEL + code, timeout=1)).kind == "timeout"
    await served_on(desk)


async def test_stopped_in_vain(
    desk: Desk, worker: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says again and again that it has stopped, and runs on, gets no more time for it; others
    do.
    """
    monkeypatch.setattr(relay, "HOME_S", 1.0)
    lies = (
        "import signal\nsignal.signal(15, signal.SIG_IGN)\n"
        "signal.signal(2, lambda *_: send('stopped'))\nprint('up')\nwhile True: pass"
    )

    async def lied() -> None:
        task_id = await desk.submit(CHANNEL + lies)
        await desk.until(task_id, wire.STDOUT)
        await desk.queue.announce_cancel(task_id)
        assert (await desk.outcome(task_id)).state == wire.CANCELLED

    context = worker.context
    for _ in range(3):
        assert context.is_believed(OWNER)
        await lied()
    assert not context.is_believed(OWNER) and context.is_believed("somebody else")
    monkeypatch.setattr(relay, "HOME_S", 3600.0)
    await lied()
    await served_on(desk)


@pytest.mark.parametrize(
    "lie",
    [
        "ch.sock.sendall(b'garbage' * 1000)",
        "ch.sock.sendall(b'\\xff' * 11)",
        "send('started')",
        "send('outcome', {'state': 'queued'})",
        "send('outcome', {'state': 'failed', 'error': {'kind': 'worker_lost'}})",
        "send('outcome', {'state': 'completed', 'buffers': ['../../../etc/passwd']})",
        "send('outcome', {'state': 'completed', 'buffers': ['not_there']}, b'x')",
        "send('outcome', {'state': 'completed', 'buffers': 7})",
        "send('outcome', {'state': 'completed', 'buffers': [['a']]})",
        "send('progress', {'fraction': 'half'})",
        "send('progress', {'fraction': 1, 'pad': 'x' * 100_000})",
        "send('stream', {'name': 'stdout'}, b'x' * 2_000_000)",
        "send('outcome', {'state': 'completed', 'stream_file': '../0'})",
        "send('outcome', {'state': 'completed', 'stream_file': 'not_there'})",
        "send('outcome', {'state': 'completed', 'stream_file': ['0']})",
        "send('outcome', {'state': 'completed', 'stream_file': '0', 'buffers': ['0']})",
        "send('usage', {'cpu_s': 1, 'pad': 'x' * 15_000_000})",
        "send('usage', {'cpu_s': float('inf')})",
        "send('usage')",
        "send('exit', {'lost': True})",
        "send('limit', {'kind': 'memory', 'used': 1})",
        "send('ready', {'applied': [], 'missing': {}})",
    ],
)
async def test_lies(desk: Desk, worker: Consumer, lie: str) -> None:
    """Bytes that are no frame, and frames that are no answer, fail their own task as `protocol`."""
    task_id = await desk.submit(CHANNEL + lie + "\nimport time; time.sleep(600)")
    seen = await desk.until(task_id, *wire.FINAL)
    error = wire.Outcome.from_json(seen[-1].data).error
    assert error and error.kind == "protocol", error
    assert (await desk.row(task_id)).attempt == 1 and not any("pad" in event.data for event in seen)
    assert worker.context.unsaved_usage.get(OWNER, Took()).cpu_s < 60
    await served_on(desk)


@pytest.mark.parametrize("where", ["'buffers': ['0']", "'stream_file': '0'"])
@pytest.mark.parametrize(
    "trick",
    ["os.symlink('/etc/passwd', out + '/0')", "os.mkfifo(out + '/0')", "os.mkdir(out + '/0')"],
)
async def test_outbox_tricks(desk: Desk, worker: Consumer, trick: str, where: str) -> None:
    """A buffer, or a long stream, that is a link,
    a pipe or a folder is not taken into the store.
    """
    code = (
        f"{CHANNEL}out = os.path.abspath('../outbox') if os.path.isdir('../outbox') else "
        f"os.path.abspath('outbox')\n{trick}\n"
    )
    error = await desk.failed(
        code + f"send('outcome', {{'state': 'completed', {where}}}); import time; time.sleep(600)"
    )
    assert error.kind == "protocol" and "0" in error.message, error


async def test_output_flood(desk: Desk, worker: Consumer) -> None:
    """A cell that prints without end is stopped at its allowance; Redis gets no more than the live
    cap and a note.
    """
    task_id = await desk.submit(
        "import os\nprint('pid', os.getcwd())\nwhile True: print('x' * 10_000)"
    )
    pid = await desk.pid(task_id)
    seen = await desk.until(task_id, "failed")
    error: Any = seen[-1].data["error"]
    assert error["kind"] == "output" and "20 MB" in error["message"] and gone(pid)
    live = sum(len(event.data.get("text", "")) for event in seen)
    assert 1_000_000 < live < 5_000_000
    assert any(
        "log keeps all of it" in event.data.get("text", "")
        for event in seen
        if event.type == "stderr"
    )
    await served_on(desk)


@pytest.mark.parametrize(
    "said",
    [
        "'stopped', {'pad': 'x' * 60_000}",
        "'progress', {'pad': 'x' * 60_000}",
        "'display', {'kind': 'clear_output'}, b'x' * 10**6",
    ],
)
async def test_flood_of_what_nobody_sees(desk: Desk, worker: Consumer, said: str) -> None:
    """What a frame carries beside its event counts as output, too."""
    error = await desk.failed(f"{CHANNEL}while True: send({said})")
    assert error.kind == "output", error


async def test_one_print_above_what_a_task_may(desk: Desk, worker: Consumer) -> None:
    """It is told so, whatever a frame may hold;
    and not more of it is kept than a task may print.
    """
    task_id = await desk.submit("print('x' * 200_000_000)")
    outcome = await desk.outcome(task_id)
    assert outcome.error and outcome.error.kind == "output", outcome
    log = (await desk.row(task_id)).log_blob
    assert len(await content(desk, log)) < desk.settings.max_output_bytes * 1.01


async def test_one_large_print(desk: Desk, worker: Consumer) -> None:
    """It comes whole, in events of moderate size, so that it holds up no other task."""
    task_id = await desk.submit("print('ab\u00fcc' * 3_000_000)")
    assert (await desk.outcome(task_id)).state == wire.COMPLETED
    log = (await desk.row(task_id)).log_blob
    lines = (await content(desk, log)).splitlines()
    texts = [line["data"]["text"] for line in map(json.loads, lines) if line["type"] == "stdout"]
    assert "".join(texts) == "ab\u00fcc" * 3_000_000 + "\n" and max(map(len, texts)) < 200_000


async def test_large_display(desk: Desk, worker: Consumer) -> None:
    """One display above 16 MiB is left out with a note."""
    task_id = await desk.submit(
        "from IPython.display import HTML\ndisplay(HTML('x' * 5)); display(HTML('y' * 17_000_000))"
    )
    seen = await desk.until(task_id, "completed", "failed")
    assert seen[-1].type == "completed" or seen[-1].data["error"]["kind"] in (
        "protocol",
        "output",
        "killed",
        "cell",
    ), seen[-1]
    assert not any("yyyy" in str(event.data) for event in seen)
    await served_on(desk)


async def test_result_too_large(desk: Desk, worker: Consumer) -> None:
    """A result above what a task may return fails with both numbers."""
    send = "send('outcome', {'state': 'completed'}, b'x' * 60_000_000); import time; time.sleep(99)"
    error = await desk.failed(CHANNEL + send)
    assert (
        error.kind == "result_too_large" and "60 MB" in error.message and "50 MB" in error.message
    )


@pytest.mark.parametrize(
    "entry", [b"\x80\x05garbage", b"not-a-uuid", b"", b"00000000-0000-0000-0000-000000000000"]
)
async def test_garbage_in_the_queue(desk: Desk, worker: Consumer, entry: bytes) -> None:
    """An entry of the queue that is no task's id is dropped."""
    await desk.queue.zadd("mecapy:queue", {entry: 0})
    await served_on(desk)


async def test_kill_of_the_zygote(desk: Desk, worker: Consumer, gate: Gate) -> None:
    """The zygote dies with a task's child: that is not the task's fault, so it runs again on the
    same worker and completes.
    """
    task_id = await desk.submit(f"import os\nprint('pid', os.getcwd())\n{gate.wait}'done'")
    child = psutil.Process(await desk.pid(task_id))
    os.kill(child.ppid(), signal.SIGKILL)
    assert await asyncio.to_thread(gone, child.pid)
    gate.open()
    seen = await desk.until(task_id, "completed", "failed")
    assert seen[-1].data["result"] == "done"
    assert [event.data["attempt"] for event in seen if event.type == "started"] == [1, 2]
