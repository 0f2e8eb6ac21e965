"""Calls that share a child. Each is run as a task of its own: it opens its inputs, has the
namespace to itself, and its outcome and prints are kept apart.
"""

from __future__ import annotations

import itertools
import os
import pickle
from collections.abc import Callable
from operator import itemgetter

from mecapy_jupyter.travel import checkpoints
from mecapy_jupyter.travel.call_bundle import CallBundle, CallEnd
from mecapy_jupyter.travel.changes.watch import Watch
from mecapy_jupyter.travel.files.index import Index
from mecapy_jupyter.wire import RESULT, Payload
from mecapy_worker.child import results
from mecapy_worker.child.results import Ended
from mecapy_worker.child.shell import TaskShell, connect
from mecapy_worker.shared.frames import Frame
from mecapy_worker.shared.messages import Message, OutputMessage, TaskMessage


def run_each(
    shell: TaskShell,
    calls: CallBundle,
    run: Callable[[TaskMessage, Frame], Ended],
    forget: Callable[[set[str]], None],
) -> Watch:
    """Their ends become the result of the task. `run`: one task; `forget`: all names but these."""
    task, ends = TaskMessage(calls.code, payload=Payload(), outputs=(RESULT,)), list[CallEnd]()
    prints, names = _Prints(shell.outgoing.send), set(shell.user_ns)
    folder = os.getcwd()  # noqa: PTH109 as in results
    connect(shell, prints.send)
    checkpoints.disconnect()  # which of the calls one is of would not be known
    try:
        for stream in calls.each():
            ended = run(task, Frame(TaskMessage.tag, {}, stream))
            if shell.outgoing.told_to_stop:
                raise KeyboardInterrupt
            shell.outgoing.flush()
            ends.append(_end_of(ended, prints.taken()))
            forget(names)
            os.chdir(folder)
    except KeyboardInterrupt as interrupt:  # it may also come between two calls
        forget(names)
        shell.failure = interrupt, ["KeyboardInterrupt"]
    watch = results.begin(shell, Watch({}, ()), Index())
    shell.user_ns[RESULT] = ends
    return watch


class _Prints:
    """Keeps what calls print, because it comes home with their ends; passes all else on."""

    def __init__(self, send: Callable[[Message, bytes], None]) -> None:
        self._send, self._kept = send, list[tuple[str, bytes]]()

    def send(self, message: Message, body: bytes) -> None:
        if isinstance(message, OutputMessage):
            self._kept.append((message.name, body))
        else:
            self._send(message, body)

    def taken(self) -> tuple[tuple[str, str], ...]:
        """What was printed since the last look."""
        kept, self._kept = self._kept, []
        return tuple(
            (name, b"".join(body for _, body in pieces).decode("utf-8", "replace"))
            for name, pieces in itertools.groupby(kept, itemgetter(0))
        )


def _end_of(ended: Ended, printed: tuple[tuple[str, str], ...]) -> CallEnd:
    buffers = (*ended.buffers, memoryview(ended.small)) if ended.small else ended.buffers
    beside = tuple(map(pickle.PickleBuffer, buffers))
    return CallEnd(ended.outcome.state, ended.outcome.error, ended.stream, beside, printed)
