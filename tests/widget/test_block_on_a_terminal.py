"""The block where nothing draws widgets: on a terminal, in a log file, as the line that is left."""

from __future__ import annotations

import io
from typing import Any

import pytest

from mecapy_jupyter.block.line import line
from mecapy_jupyter.block.live import LiveBlock
from mecapy_jupyter.block.surfaces import Notebook, Terminal
from mecapy_jupyter.client.call_options import CallOptions
from mecapy_jupyter.client.chunk_size import CallTime
from mecapy_jupyter.client.mapping import Map, MapOptions
from mecapy_jupyter.hooks.ipython import lines_of
from mecapy_jupyter.shared import errors
from mecapy_jupyter.widget import BlockWidget

from .surface import DONE, Clock, Published, event


def test_without_widgets_the_static_twin_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A widget that cannot be made costs the live view only."""
    monkeypatch.setattr(BlockWidget, "__init__", lambda *_, **__: 1 / 0)
    clock, published = Clock(), Published()
    block = LiveBlock("beam", after_s=0, surface=Notebook(published), now=clock)
    block.tick()
    clock.now_s += 1
    block.event(event("started", worker="w2"))
    block.finish(DONE, [])
    assert [(set(data), updates) for data, updates, _ in published] == [
        ({"text/html", "text/plain"}, False),
        ({"text/html", "text/plain"}, True),
    ]


@pytest.mark.parametrize(
    ("error", "text"),
    [(ConnectionError("gone"), "✖ ConnectionError"), (KeyboardInterrupt(), "■ cancelled · 0:03")],
)
def test_a_block_left_by_an_error_does_not_go_on_running(error: BaseException, text: str) -> None:
    """When following the task fails, the last line says with what."""
    clock, published = Clock(), Published()

    def lost() -> None:
        with LiveBlock("beam", after_s=0, surface=Notebook(published), now=clock) as block:
            block.event(event("started", worker="w2"))
            clock.now_s += 3
            raise error

    with pytest.raises(type(error)):
        lost()
    assert [data["text/plain"] for data, _, _ in published] == ["▶ running on w2 · 0:00", text]


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(written: str) -> str:
    """What a terminal shows of it (only the controls that Terminal uses)."""
    return "\n".join(part.split("\x1b[2K")[-1] for part in written.split("\n"))


def test_a_terminal_rewrites_one_line_and_steps_aside() -> None:
    """The line is rewritten in place, erased before the cell's own output, kept off a line the cell
    has begun, and ends as one line.
    """
    clock, stream = Clock(), Tty()
    block = LiveBlock("beam", after_s=0, surface=Terminal(stream), now=clock)
    block.event(event("started", worker="w2"))
    clock.now_s += 1
    block.tick()
    assert screen(stream.getvalue()) == "▶ running on w2 · 0:01"
    block.event(event("stdout", text="half a line"))
    stream.write("half a line")
    clock.now_s += 1
    block.tick()
    assert screen(stream.getvalue()) == "half a line"
    block.event(event("stdout", text=", done\n"))
    stream.write(", done\n")
    clock.now_s += 1
    block.tick()
    assert screen(stream.getvalue()) == "half a line, done\n▶ running on w2 · 0:03"
    block.finish(DONE, ["T"])
    assert screen(stream.getvalue()) == "half a line, done\n✔ 3:38 · T\n"


def test_a_stderr_that_is_no_terminal_gets_the_last_line_only() -> None:
    """A log file is not filled with rewritten lines."""
    clock, stream = Clock(), io.StringIO()
    block = LiveBlock("beam", after_s=0, surface=Terminal(stream), now=clock)
    for _ in range(5):
        clock.now_s += 1
        block.tick()
    block.finish(DONE, ["T"])
    assert stream.getvalue() == "✔ 3:38 · T\n"


def test_the_name_is_cleaned_before_it_is_kept() -> None:
    """A name with escapes is harmless wherever the state goes."""
    block = LiveBlock("\x1b[2Jbeam\n" + "x" * 100, surface=Terminal(io.StringIO()))
    assert block.state.name == "beam " + "x" * 34 + "…"
    assert line(block.state, block.state.since_s) == "◔ sending"


def test_detach_leaves_the_task_and_says_how_to_come_back() -> None:
    """Detached from another thread, the next tick raises; the last line has the way back, and it is
    no failure.
    """
    clock, published = Clock(), Published()
    block = LiveBlock("beam", after_s=0, surface=Notebook(published), now=clock)

    def waits() -> None:
        with block:
            block.sent(10, 0, "1a2b3c4d-0000-4000-8000-000000000000")
            block.event(event("started", worker="w2"))
            block.detach()
            block.tick()

    with pytest.raises(errors.TaskDetached, match="%mecapy attach 1a2b3c4d"):
        waits()
    assert (
        published[-1][0]["text/plain"]
        == "↗ detached · the task goes on · %mecapy attach 1a2b3c4d brings it home"
    )


def test_an_interrupted_map_is_one_line() -> None:
    """An interrupt of a map leaves its line and the error's name, not a traceback; where no line
    stands, the interrupt itself.
    """
    options = MapOptions(CallOptions())
    for quiet, kind in ((False, errors.TaskCancelled), (True, KeyboardInterrupt)):
        surface = Notebook(published := Published())
        block = LiveBlock("f", after_s=0, quiet=quiet, surface=surface)
        results = Map(_never, abs, iter(()), None, 1, CallTime(), options, block)
        reader = results.results()
        next(reader)
        with pytest.raises(kind) as raised:
            reader.throw(KeyboardInterrupt())
        assert type(raised.value) is kind
        if not quiet:
            assert lines_of(raised.value) == ["TaskCancelled"]
            assert published[-1][0]["text/plain"].startswith("■ cancelled · 0:0")


def _never(*_: Any) -> Any:
    raise AssertionError("a map of nothing sends nothing")
