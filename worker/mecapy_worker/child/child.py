"""One task in a confined process: opens the inputs, lets IPython run the cell, sends everything
home, ends. Must not import the store, the queue or a secret. It reaches the worker only through the
channel.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import sys
import tempfile
from dataclasses import replace
from typing import Any

from mecapy_jupyter.shared import own_json as json
from mecapy_jupyter.travel.environment import (
    fingerprint,
    prelude,
    process_state,
    python_settings,
)
from mecapy_jupyter.travel.pickling import known_blobs, payload, pickler
from mecapy_jupyter.wire import BUNDLE, Cell, Payload
from mecapy_worker.child import (
    bundle,
    earlier_folder,
    imports,
    kept,
    observing,
    page_messages,
    results,
    task_inputs,
)
from mecapy_worker.child.hooks import caches, ipython
from mecapy_worker.child.output import Send
from mecapy_worker.child.shell import TaskShell, as_in_a_kernel, build, connect
from mecapy_worker.shared.channel import Channel
from mecapy_worker.shared.frames import Frame, json_of
from mecapy_worker.shared.message_codec import frame_of, read
from mecapy_worker.shared.messages import InterruptedMessage, Message, OutcomeMessage, TaskMessage

_shell: TaskShell
_warm_up_task: Frame
_ARGUMENTS = ("ipykernel_launcher.py", "-f", "kernel.json")
"""A kernel's: what `argparse` shows and complains of in a notebook."""
_REHEARSALS = 10
_REST_S = 1.0

enter = imports.enter


def prepare(preload: list[str]) -> None:
    """In the zygote, once: import what tasks will want and build the shell. Runs no user code."""
    global _shell
    known_blobs.hash_alone()
    _shell = build()
    imports.ahead(preload)
    _try_cells()
    caches.close_fonts()
    sys.argv[:] = _ARGUMENTS
    python_settings.begin()
    os.umask(python_settings.UMASK)  # of a child, so that the notebook's differs from it
    process_state.note()
    _rehearse()


def _try_cells() -> None:
    """Run cells of our own, so that what IPython and matplotlib import late is imported before the
    fork.
    """
    connect(_shell, _discard)
    cells = ["1 + 1", "1 / 0"]
    if "matplotlib" in sys.modules:
        _shell.enable_matplotlib("inline")  # pyright: ignore[reportUnknownMemberType]
        cells.append(
            "import matplotlib.pyplot as p; p.figure(figsize=(1, 1)); p.plot([1, 2]); "
            "p.title('$x$')"
        )
    names_before = set(_shell.user_ns)
    for cell in cells:
        _shell.run(cell)
    _forget(names_before)
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        sys.__dict__.pop(name, None)  # of `1 / 0`
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        with contextlib.suppress(AttributeError):  # `%run` would draw a figure that nobody made
            pyplot.draw_if_interactive.called = False


def _rehearse() -> None:
    """Run whole tasks before the fork, as often as Python runs code before it specialises it, so
    that children find specialised code and warm caches instead of writing to these pages.
    """
    global _warm_up_task
    caches.clear_type_cache()
    numpy: Any = sys.modules.get("numpy")
    task, buffers = _task(
        {"a": 1} | ({"x": numpy.zeros(pickler.BUFFER_BYTES, "u1")} if numpy else {})
    )
    _warm_up_task = _task({"a": 1})[0]
    worker_end, child_end = map(Channel, socket.socketpair())
    with worker_end.sock, child_end.sock, tempfile.TemporaryFile(buffering=0) as blob:
        for buffer in buffers:
            blob.write(buffer)
        for _ in range(_REHEARSALS):
            _warm_up()
            worker_end.send_frame(replace(task, fds=(blob.fileno(),) * len(buffers)))
            if (frame := child_end.receive()) is not None:
                _carry_our_own(child_end.send, frame)
            while (frame := worker_end.receive()) and frame.kind != OutcomeMessage.tag:
                pass


def _task(inputs: dict[str, Any]) -> tuple[Frame, tuple[Any, ...]]:
    """A task of our own with these inputs, and its buffers."""
    packed = payload.pack(
        [inputs],
        {},
        prelude=lambda modules: prelude.make(modules, inputs, ()) | dict[str, Any](surroundings={}),
    )
    task = TaskMessage(
        "b = a + 1",
        Cell(header="%%mecapy", number=1),
        Payload(buffers=tuple("0" * 64 for _ in packed.buffers)),
    )
    # as it comes over a channel: each part is JSON
    header = json.loads(json_of(frame_of(task).header))
    return Frame(TaskMessage.tag, header, packed.stream), packed.buffers


def begin(*, warm: bool) -> None:
    """In the confined child, before it has a task. `warm`: a warm-up task from beginning to end, so
    that everything that the real one needs is in place, on pages of this process.
    """
    sys.path.insert(0, "")
    process_state.begin_environment()
    if warm:
        _warm_up()


def _discard(message: Message, body: bytes) -> None:
    """Ignores the messages of a warm-up task."""


def _warm_up() -> None:
    _carry_our_own(_discard, _warm_up_task)


def _carry_our_own(send: Send, frame: Frame) -> None:
    names_before = set(_shell.user_ns)
    _carry(send, frame, "")
    _forget(names_before)


def _forget(names: set[str]) -> None:
    """Remove all names except `mine` and everything else that ran."""
    results.forget()
    _shell.failure = _shell.displayhook.value = None
    for name in set(_shell.user_ns) - names:
        del _shell.user_ns[name]


def serve(channel: Channel, outbox: str) -> None:
    """Wait for the task, run it in the working directory, send its outcome. `outbox`: the folder
    for large results.
    """
    frame = channel.receive()
    if frame is not None and frame.kind == TaskMessage.tag:
        sys.addaudithook(lambda event, _: _shell.outgoing.hear(event))
        page_messages.connect(channel)
        earlier_folder.connect(channel)
        _carry(channel.send, frame, outbox)
        _rest(channel)


def _carry(send: Send, frame: Frame, outbox: str) -> None:
    imports.begin()
    connect(_shell, send)
    kept.connect(_shell.outgoing.send, outbox)
    ended = _ended(read(TaskMessage, frame.header), frame)
    try:
        outcome, body = results.written(ended, outbox)
    except BaseException as error:
        outcome, body = results.uncollected(error), b""
    ctypes.CDLL(None).fflush(None)  # output of native code comes before the end
    _shell.outgoing.send(outcome, body)


def _ended(task: TaskMessage, frame: Frame) -> results.Ended:
    seen, folder = None, os.getcwd()  # noqa: PTH109 as in results
    try:
        if task.declared is not None:
            observing.install()
        watch = task_inputs.opened(_shell, task, frame)
    except BaseException as error:
        return results.Ended(results.unopened(error))
    if (calls := _shell.user_ns.pop(BUNDLE, None)) is None:
        if task.declared is None:
            _run(task)
        else:
            seen = observing.observed(lambda: _run(task), task.declared, folder)
        fingerprint.say_what_was_set(_shell.words(task.code))
    else:
        watch = bundle.run_each(_shell, calls, _ended, _forget)
    if _shell.outgoing.told_to_stop:
        _shell.outgoing.send(InterruptedMessage())
    try:
        ended = results.collect(_shell, task, watch)
        if new := imports.new():
            ended = replace(ended, outcome=replace(ended.outcome, imported=new))
    except BaseException as error:
        return results.Ended(results.uncollected(error))
    if seen is not None:
        told = replace(ended.outcome, uncached=seen[0], drew=seen[1])
        ended = replace(ended, outcome=told)
    return ended


def _rest(channel: Channel) -> None:
    """Wait for the worker to end this process. Freeing all memory here would take a processor from
    the processes that deliver the outcome.
    """
    channel.sock.settimeout(_REST_S)
    with contextlib.suppress(OSError):
        channel.sock.recv(1)


def _run(task: TaskMessage) -> None:
    """Run the cell with its notebook's number and lines."""
    cell, source = task.cell or Cell(), task.code
    _shell.compile.filename, _shell.compile.source = cell.filename, source
    _shell.compile.of_a_script = not cell.number
    ipython.count_below(cell.filename, cell.header)
    _shell.execution_count = cell.number or 1
    _shell.displayhook.source = source
    _shell.of_a_kernel = bool(cell.number)
    if _shell.of_a_kernel:
        as_in_a_kernel()
    try:
        _shell.run(source)
    except KeyboardInterrupt as interrupt:  # an interrupt between the cell's end and ours
        _shell.failure = interrupt, ["KeyboardInterrupt"]
