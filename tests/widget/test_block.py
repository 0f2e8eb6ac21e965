"""When a block is drawn, and what is left of it: on a recording surface, on a terminal, and as the
messages a kernel publishes.
"""

from __future__ import annotations

import io
import time
from typing import Any

import pytest

from mecapy_jupyter import wire
from mecapy_jupyter.block import control_channel
from mecapy_jupyter.block.line import line
from mecapy_jupyter.block.live import LiveBlock
from mecapy_jupyter.block.surfaces import BLOCK_MIME, BarAlone, Notebook, Terminal

from .surface import DONE, Clock, Published, event


def test_nothing_is_shown_of_a_short_task() -> None:
    """A task that ends within `after_s` publishes nothing at all."""
    clock, published = Clock(), Published()
    block = LiveBlock("beam", surface=Notebook(published), now=clock)
    block.sent(10, 20)
    block.event(event("started", worker="w2"))
    clock.now_s += 1.9
    block.tick()
    block.finish(DONE, ["T"])
    assert published == []


def test_nothing_is_shown_when_quiet() -> None:
    """A quiet block stays away however long it takes."""
    clock, published = Clock(), Published()
    block = LiveBlock("beam", quiet=True, surface=Notebook(published), now=clock)
    clock.now_s += 100
    block.tick()
    block.finish(DONE, ["T"])
    assert published == []


def test_a_quiet_cell_has_its_own_bar() -> None:
    """With `--quiet` nothing is shown but the cell's progress, once a second in one line of stderr;
    it makes room for the cell's output, and nothing of it stays.
    """
    clock, stream = Clock(), io.StringIO()
    block = LiveBlock("beam", surface=BarAlone(stream), now=clock)
    block.event(event("started", worker="w2"))
    clock.now_s += 5
    block.tick()
    assert stream.getvalue() == ""
    for done in range(31, 41):
        block.event(event("progress", fraction=done / 50, text=f"loads {done}/50"))
        clock.now_s += 0.2
    shown = ["64 % · loads 32/50", "74 % · loads 37/50"]
    assert stream.getvalue() == "".join(f"\r{text}" for text in shown)
    gone = f"\r{' ' * len(shown[0])}\r"
    block.event(event("stdout", text="half way"))
    assert stream.getvalue().endswith(f"{shown[1]}{gone}")
    clock.now_s += 2
    block.tick()
    assert stream.getvalue().endswith("\r80 % · loads 40/50")
    block.finish(DONE, ["T"])
    assert stream.getvalue().endswith(f"loads 40/50{gone}")


def test_a_late_block_becomes_static_in_its_place() -> None:
    """Published once as a widget with its twins, and at the end replaced by the twins alone; the
    widget is closed.
    """
    clock, published = Clock(), Published()
    notebook = Notebook(published)
    block = LiveBlock("beam", surface=notebook, now=clock)
    block.event(event("started", worker="w2"))
    clock.now_s += 2.0
    block.tick()
    widget = notebook.widget
    assert widget is not None and widget.comm is not None
    [(first, updates, shown_id)] = published
    assert not updates and set(first) == {wire.WIDGET_VIEW, BLOCK_MIME, "text/html", "text/plain"}
    assert first["text/plain"] == "▶ running on w2 · 0:02"
    clock.now_s += 1
    block.finish(DONE, ["T (12 MB)"])
    last, updates, last_id = published[-1]
    assert updates and last_id == shown_id and set(last) == {"text/html", "text/plain"}
    assert last["text/plain"] == "✔ 3:38 · T (12 MB)"
    assert widget.comm is None


def test_a_sent_task_is_queued() -> None:
    """Once the gateway has the task it is shown as queued, whether or not an event says so."""
    block = LiveBlock("beam", surface=Terminal(io.StringIO()), now=Clock())
    block.sent(1_200_000, 0)
    assert line(block.state, 1000.0) == "◔ queued · sent 1.2 MB"


def test_at_most_ten_updates_a_second() -> None:
    """A thousand progress events in a second change the trait at most ten times, and the last of
    them is shown.
    """
    clock = Clock()
    notebook = Notebook(Published())
    block = LiveBlock("beam", after_s=0, surface=notebook, now=clock)
    block.event(event("started", worker="w2"))
    seen: list[Any] = []
    widget = notebook.widget
    assert widget is not None
    widget.observe(lambda change: seen.append(change["new"]["fraction"]), "view")
    for step in range(1000):
        clock.now_s += 0.001
        block.event(event("progress", fraction=step / 999))
    clock.now_s += 0.1
    block.tick()
    assert 5 <= len(seen) <= 11
    assert seen[-1] == 1.0
    block.finish(DONE, [])


def test_the_browser_hears_of_an_unchanged_block() -> None:
    """Without news the widget is fed every five seconds, not every tick."""
    clock = Clock()
    notebook = Notebook(Published())
    block = LiveBlock("beam", after_s=0, surface=notebook, now=clock)
    block.event(event("started", worker="w2"))
    elapsed: list[float] = []
    widget = notebook.widget
    assert widget is not None
    widget.observe(lambda change: elapsed.append(change["new"]["elapsed_s"]), "view")
    for _ in range(60):
        clock.now_s += 0.2
        block.tick()
    assert len(elapsed) == 2
    block.finish(DONE, [])


@pytest.mark.parametrize("wait", [False, True])
def test_a_cleared_block_comes_back(wait: bool) -> None:
    """After the cell's `clear_output` the same widget is published again; with `wait` only with the
    output that clears, and above it.
    """
    clock, published = Clock(), Published()
    block = LiveBlock("beam", after_s=0, surface=Notebook(published), now=clock)
    block.event(event("started", worker="w2"))
    clock.now_s += 1
    block.event(event("display", kind="clear_output", wait=wait))
    clock.now_s += 0.2
    block.tick()
    assert len(published) == (1 if wait else 2)
    block.event(event("stdout", text="frame"))
    clock.now_s += 0.2
    block.tick()
    (first, _, _), *place, (second, updates, _) = published
    assert second[wire.WIDGET_VIEW] == first[wire.WIDGET_VIEW]
    assert [(data["text/html"], update) for data, update, _ in place] == [("", False)] * wait
    assert updates == wait
    block.finish(DONE, [])


def test_a_block_does_not_begin_inside_an_output_widget() -> None:
    """It waits until the widget has let go of what is shown, and what is cleared inside the widget
    does not take it away.
    """

    def captures(message_id: str) -> wire.Event:
        data: wire.JsonObject = {"method": "update", "state": {"msg_id": message_id}}
        return wire.Event.of(wire.CommEvent("comm_msg", "out", data))

    clock, published = Clock(), Published()
    block = LiveBlock("beam", after_s=2, surface=Notebook(published), now=clock)
    block.event(event("started", worker="w2"))
    block.event(captures("cell"))
    clock.now_s += 5
    block.tick()
    block.event(captures(""))
    assert not published
    block.tick()
    assert len(published) == 1
    block.event(captures("cell"))
    block.event(event("display", kind="clear_output", wait=False))
    clock.now_s += 1
    block.event(captures(""))
    block.tick()
    assert len(published) == 1
    block.finish(DONE, [])


def test_cancel_message_reaches_a_task_in_the_background() -> None:
    """With `on_cancel` the button sends a message, and exactly that message cancels."""
    cancelled: list[bool] = []
    notebook = Notebook(Published(), lambda: cancelled.append(True))
    block = LiveBlock("beam", after_s=0, surface=notebook, now=Clock())
    block.tick()
    widget = notebook.widget
    assert widget is not None
    assert widget.kernel_id == ""
    for content in ({"type": "cancel"}, {"type": "other"}, "cancel", None):
        widget._handle_custom_msg(content, [])  # pyright: ignore[reportPrivateUsage]  # what ipywidgets calls for a message of the page
    assert cancelled == [True]
    block.finish(DONE, [])


def test_a_page_reaches_a_busy_kernel() -> None:
    """What the page says on the control channel comes to the listener it names; anything else is
    nobody's.
    """

    class Kernel:
        control_thread: object = object()

        def __init__(self) -> None:
            self.control_handlers = dict[str, Any]()

    kernel, heard = Kernel(), list[str]()
    name = control_channel.listen(kernel, heard.append)
    handle = kernel.control_handlers[control_channel.MESSAGE]
    for content in (
        {"listener": name, "word": "detach"},
        {"listener": "other", "word": "x"},
        {"listener": name, "word": 7},
        {},
        None,
        [],
    ):
        handle(None, [], {"content": content})
    control_channel.forget(name)
    handle(None, [], {"content": {"listener": name, "word": "late"}})
    assert heard == ["detach"]
    assert control_channel.listen(object(), heard.append) == ""


def test_a_task_come_back_to_shows_how_long_it_has_run() -> None:
    """The clock of a task that is attached to begins where the task began; that of one just sent
    begins now.
    """
    hour_ago = wire.Event(f"{int((time.time() - 3600) * 1000)}-0", "started", {"worker": "w2"})
    for sent_bytes, text in ((0, "1:00:0"), (10, "0:0")):
        clock = Clock()
        block = LiveBlock("beam", surface=Terminal(io.StringIO()), now=clock)
        block.sent(sent_bytes, 0, "1a2b3c4d")
        block.event(hour_ago)
        assert line(block.state, clock.now_s)[:-1] == f"▶ running on w2 · {text}"
