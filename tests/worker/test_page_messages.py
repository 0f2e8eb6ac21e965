"""What a page says to the widgets of a running cell: it is handled while the cell runs."""

from __future__ import annotations

from typing import Any

import pytest

from mecapy_jupyter import wire
from mecapy_worker.run.comm_inbox import MOST_WAITING, CommInbox
from mecapy_worker.run.consumer import Consumer

from .conftest import Desk, text_of

CLICK: wire.JsonObject = {"method": "custom", "content": {"event": "click"}}


def move(**state: wire.Json) -> wire.JsonObject:
    return {"method": "update", "state": state, "buffer_paths": []}


class Page:
    """Hears a task's events as a page does, and speaks to its widgets."""

    def __init__(self, desk: Desk, task_id: str) -> None:
        self.desk, self.task_id = desk, task_id

    async def model(self, name: str) -> str:
        """The id of the task's model of this name, once the cell has printed."""
        seen = await self.desk.until(self.task_id, wire.STDOUT, *wire.FINAL)
        opened = [e.data for e in seen if e.type == wire.COMM and e.data["kind"] == "comm_open"]
        (found,) = [o["comm_id"] for o in opened if o["data"]["state"]["_model_name"] == name]
        return found

    async def say(self, comm_id: str, *data: wire.JsonObject) -> None:
        worker = (await self.desk.row(self.task_id)).worker
        assert worker
        messages: list[wire.JsonObject] = [{"comm_id": comm_id, "data": each} for each in data]
        await self.desk.eventually(
            lambda: self.desk.queue.send_comms(worker, self.task_id, messages)
        )


async def test_a_loop_sees_a_slider_move_and_a_button_pressed(desk: Desk, worker: Consumer) -> None:
    """A cell that only loops: its slider's value changes, `observe` is called, and a button's
    `on_click` sets the flag that ends it. The page is told that the move has arrived.
    """
    code = (
        "import ipywidgets as w, time\nload, stop, seen = w.IntSlider(3), w.Button(), []\n"
        "load.observe(lambda change: seen.append(change['new']), names='value')\n"
        "stop.on_click(lambda _: seen.append('stop'))\nprint('begun')\n"
        "while 'stop' not in seen: time.sleep(0.01)\n[load.value, *seen]"
    )
    page = Page(desk, await desk.submit(code))
    await page.say(await page.model("IntSliderModel"), move(value=7))
    await page.say(await page.model("ButtonModel"), CLICK)
    seen = await desk.until(page.task_id, *wire.FINAL)
    assert wire.Outcome.from_json(seen[-1].data).result == [7, 7, "stop"]
    told = [e.data["data"] for e in seen if e.type == wire.COMM and e.data["kind"] == "comm_msg"]
    assert {"method": "echo_update", "state": {"value": 7}, "buffer_paths": []} in told


async def test_a_cell_that_awaits_is_called_in_its_loop(desk: Desk, worker: Consumer) -> None:
    """An `asyncio.Event`, which only its own loop may set, wakes the cell that awaits it."""
    code = (
        "import asyncio, threading, ipywidgets as w\nstop, pressed = w.Button(), asyncio.Event()\n"
        "where = []\ndef press(_):\n    where.append(threading.current_thread().name)\n"
        "    pressed.set()\nstop.on_click(press)\nprint('begun')\nawait pressed.wait()\nwhere[0]"
    )
    page = Page(desk, await desk.submit(code))
    await page.say(await page.model("ButtonModel"), CLICK)
    assert (await desk.outcome(page.task_id)).result == "MainThread"


async def test_a_loop_that_is_blocked_keeps_no_click(desk: Desk, worker: Consumer) -> None:
    """A cell that imports asyncio and never yields is as one without it."""
    code = (
        "import asyncio, time, ipywidgets as w\nstop, seen = w.Button(), []\n"
        "stop.on_click(lambda _: seen.append(1))\nprint('begun')\nawait asyncio.sleep(0)\n"
        "while not seen: time.sleep(0.01)\nlen(seen)"
    )
    page = Page(desk, await desk.submit(code))
    await page.say(await page.model("ButtonModel"), CLICK)
    assert (await desk.outcome(page.task_id)).result == 1


async def test_a_handler_that_fails_is_shown_and_ends_nothing(desk: Desk, worker: Consumer) -> None:
    """Its error stands in the output; the next click is heard, and the cell ends well."""
    code = (
        "import ipywidgets as w, time\nstop, seen = w.Button(), []\n"
        "def press(_):\n    seen.append(1)\n    if len(seen) == 1: 1 / 0\n"
        "stop.on_click(press)\nprint('begun')\nwhile len(seen) < 2: time.sleep(0.01)\nlen(seen)"
    )
    page = Page(desk, await desk.submit(code))
    await page.say(await page.model("ButtonModel"), CLICK, CLICK)
    seen = await desk.until(page.task_id, *wire.FINAL)
    assert wire.Outcome.from_json(seen[-1].data).result == 2
    (shown,) = [e.data["data"] for e in seen if e.data.get("kind") == "error"]
    assert shown["ename"] == "ZeroDivisionError" and "in press" in "".join(shown["traceback"])


async def test_a_handler_that_runs_ends_before_the_cell(desk: Desk, worker: Consumer) -> None:
    """What it sets after the cell's last line is in what comes home."""
    code = (
        "import ipywidgets as w, time\nstop, seen = w.Button(), []\n"
        "def press(_):\n    seen.append(1)\n    time.sleep(0.3)\n    seen.append(2)\n"
        "stop.on_click(press)\nprint('begun')\nwhile not seen: time.sleep(0.01)"
    )
    page = Page(desk, await desk.submit(code, outputs=("seen",)))
    await page.say(await page.model("ButtonModel"), CLICK)
    assert (await desk.outcome(page.task_id)).result == {"seen": [1, 2]}


async def test_what_names_no_widget_is_ignored(desk: Desk, worker: Consumer) -> None:
    """Messages to unknown models, and damaged ones, end neither the task nor what hears."""
    code = (
        "import ipywidgets as w, time\nload = w.IntSlider(3)\nprint('begun')\n"
        "while load.value == 3: time.sleep(0.01)\nload.value"
    )
    page = Page(desk, await desk.submit(code))
    slider = await page.model("IntSliderModel")
    await page.say("none", CLICK)
    await page.say(slider, {}, {"method": "update"}, {"method": "update", "state": {"value": "x"}})
    await page.say(slider, move(value=5, nothing=1))
    seen = await desk.until(page.task_id, *wire.FINAL)
    assert wire.Outcome.from_json(seen[-1].data).result == 5, text_of(seen, wire.STDERR)


class Deaf:
    """A child that takes nothing, and the log of its task."""

    def __init__(self) -> None:
        self.printed: list[bytes] = []

    def text(self, _name: str, data: bytes) -> None:
        self.printed.append(data)


@pytest.mark.parametrize("data", [move(value=1), CLICK])
async def test_what_waits_for_a_child_is_bounded(data: wire.JsonObject) -> None:
    """Moves of one widget wait as one; clicks beyond the bound are lost, which the log says."""
    deaf: Any = Deaf()
    inbox = CommInbox(deaf, deaf)
    inbox.hear([{"comm_id": "a", "data": {**data}} for _ in range(MOST_WAITING + 5)])
    assert len(deaf.printed) == (data is CLICK)
