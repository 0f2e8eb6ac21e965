"""One `%%mecapy` cell, from its text to its variables: check, capture, send, replay, bind.

Before it: `magic`. After it: `capture` (what to send), `client` (sending), `replay` and `block` (showing), `bind` (coming home).
"""

from __future__ import annotations

import fnmatch
import os
import queue
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from .. import capture, errors, wire
from ..block.live import OUTPUT, LiveBlock
from ..block.surfaces import BarAlone
from ..client import Client
from ..environment import files
from ..tasks.task import Task
from ..values import bind, diagnose, payload
from . import again, history, leaving, preflight, replay
from .failures import CellSource, plain, show_as, show_group_as
from .ipython import Shell

_TICK_S = 0.1
_LAST_WORDS_S = 10.0  # how long an interrupted cell waits for the task's end
_SHELL_OWN = frozenset({"get_ipython", "exit", "quit", "open", "display", "input"})


@dataclass(frozen=True, slots=True)
class Options:
    """The magic's line, read. None means automatic."""

    inputs: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None
    job_name: str = ""
    timeout_s: float = 300.0
    priority: int = 5
    name: str = ""
    retries: int = 0
    dry_run: bool = False
    quiet: bool = False
    progress_after_s: float = 2.0
    files: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Key:
    """A cell in its history: `text` by its text alone (how long it takes), `here` in this notebook (which task of it lives)."""

    text: str
    here: str

    @classmethod
    def of(cls, body: str) -> Key:
        place = f"{os.environ.get('JPY_SESSION_NAME', '')}\0{Path.cwd()}"
        return cls(history.key_of(body), history.key_of(body, place))

    def last_task(self) -> str:
        return history.last_task(self.here)

    def forget(self, task_id: str) -> None:
        history.ended(self.here, task_id)

    def ended(self, task_id: str, outcome: wire.Outcome) -> None:
        self.forget(task_id)
        if outcome.state == wire.COMPLETED:
            history.record(self.text, outcome.seconds)


class Prepared:
    """A cell that has been checked and captured: `request` and the `values` to send with it. Nothing has been sent."""

    def __init__(self, shell: Shell, options: Options, header: str, body: str) -> None:
        self.shell, self.options = shell, options
        self.source = CellSource(shell, header, body, shell.displayhook.prompt_count)
        self.key = Key.of(body)
        python = self.python = shell.transform_cell(body)
        self.names = self._analyse(python)
        for pattern in options.keep:
            files.inside(pattern)
        self.values = self._captured()
        if options.files:
            self.values[files.SLOT] = files.along(options.files, Path.cwd())
        self.words: Sequence[str] = re.findall(r"[^\W\d]\w*", python)
        self.request = wire.TaskRequest(
            code=body,
            name=options.name,
            outputs=options.outputs,
            priority=options.priority,
            timeout=options.timeout_s,
            retries=options.retries,
            keep=options.keep,
            cell=wire.Cell(self.source.number, header, self.source.filename),
        )

    def _analyse(self, python: str) -> capture.Names:
        try:
            capture.compiled(python, self.shell.compile.flags, self.source.filename)
        except SyntaxError as error:
            self.source.syntax_error(error)
        namespace = self.shell.user_ns
        names = capture.analyse(python, namespace, self.shell.compile.flags)
        missing = capture.missing(names, namespace) if self.options.inputs is None else None
        if missing is not None:
            self.source.name_error(missing[0], missing[1])
        return replace(names, dynamic=True) if capture.looks_up(names, namespace) else names

    def _captured(self) -> dict[str, Any]:
        """The variables to send."""
        namespace, hidden = self.shell.user_ns, self.shell.user_ns_hidden
        if self.options.inputs is not None:
            return _picked(namespace, self.options.inputs)
        wanted = namespace if self.names.dynamic else self.names.reads | self.names.deletes
        # What the user calls `display` or `open` is theirs, and travels.
        own = {name for name in _SHELL_OWN if name in hidden and namespace.get(name) is hidden[name]}
        mine = {name: namespace[name] for name in namespace if name in wanted and name not in own}
        if not self.names.dynamic:
            return mine
        # The cell looks its names up at run time: it gets all that can travel.
        shown = {name: value for name, value in mine.items() if not name.startswith("_") and name not in hidden}
        return {name: value for name, value in shown.items() if diagnose.can_travel(value, namespace)}

    @property
    def variables(self) -> dict[str, Any]:
        """What is sent of the notebook's variables; `values` has the files, too."""
        return {name: value for name, value in self.values.items() if name != files.SLOT}

    def fits(self, packed: payload.Packed, there: preflight.Workers) -> None:
        """Raises, or says, what does not fit on the workers."""
        above = 1 if self.source.header else 0
        for sentence in preflight.check(packed, self.names.imports, self.python, there, above, bool(self.options.files)):
            print(f"mecapy: {sentence}", file=sys.stderr)

    def send(self, client: Client) -> Task:
        """Pack, upload and submit it. An interrupt leaves nothing behind that runs."""
        imports, born = sorted(self.names.imports), list[Task]()
        try:
            there = preflight.workers(client.gateway)
            fits = partial(self.fits, there=there)
            task = client.send(self.request, self.values, self.shell.user_ns, self.words, imports, fits, born.append)
            history.submitted(self.key.here, task.id)
        except KeyboardInterrupt:
            for task in born:
                _cancel(task)
            raise plain(errors.TaskCancelled("the cell was interrupted before it ran; run it again to start it")) from None
        return task


def _picked(namespace: dict[str, Any], patterns: Sequence[str]) -> dict[str, Any]:
    picked = {n: v for n, v in namespace.items() if not n.startswith("_") and any(fnmatch.fnmatchcase(n, p) for p in patterns)}
    exact = [pattern for pattern in patterns if not re.search(r"[*?[]", pattern)]
    for name in exact:
        if name not in namespace and name != "none":
            raise plain(errors.ConfigError(f"-i names {name!r}, but there is no such variable; define it first or leave it out"))
    return picked | {name: namespace[name] for name in exact if name in namespace}


def run(client: Client, prepared: Prepared) -> None:
    """Run the cell on the pool and wait: output live, variables at the end, its own exception if it fails."""
    shell, options = prepared.shell, prepared.options
    taken_up = again.taken_up(client, prepared)
    expected_s = history.expected_s(prepared.key.text)
    surface = BarAlone() if options.quiet else None
    with LiveBlock(options.name, after_s=options.progress_after_s, expected_s=expected_s, surface=surface) as block:
        task = taken_up or prepared.send(client)
        outcome, home = come_home(shell, task, block)
    prepared.key.ended(task.id, outcome)
    if outcome.state != wire.COMPLETED:
        error = failure(outcome, home, prepared.source)
        for sentence in files.unsent(error, Path.cwd()):
            print(f"mecapy: {sentence}", file=sys.stderr)
        if outcome.error is not None and isinstance(error, BaseExceptionGroup):
            show_group_as(shell, cast(BaseException, error), outcome.error.traceback)
        raise error
    for name in bind.not_there(home, options.outputs or ()):
        print(f"mecapy: -o names {name!r}, but the cell left no such variable", file=sys.stderr)


def come_home(shell: Shell, task: Task, block: LiveBlock) -> tuple[wire.Outcome, bind.Home]:
    """Replay the task until its end, and put what it brings where it belongs. An interrupt cancels it; the kernel's end does not."""
    try:
        leaving.watch(shell)
        block.sent(task.sent_bytes, task.reused_bytes, task.id)
        task.follow(lambda _: None)
        outcome = until_final(task, block, lambda event: replay.show(shell, event))
    except KeyboardInterrupt:
        if leaving.ends(shell):
            raise plain(errors.TaskDetached(f"the kernel ends, the task goes on; `%mecapy attach {task.id[:8]}` brings it home")) from None
        _cancel(task)
        task.follow(lambda _: None)  # the interrupt may have come before
        outcome = until_final(task, block, lambda event: replay.show(shell, event), time.monotonic() + _LAST_WORDS_S)
    home = task.open(outcome)
    if task.inputs:
        home = bind.with_inputs(home, task.inputs, shell.user_ns)
    names = bind.into(shell.user_ns, home)
    replay.remember(shell, home.value)
    block.finish(outcome, bind.came_back(shell.user_ns, home, names))
    for remark in bind.remarks(home, task.id):
        print(f"mecapy: {remark}", file=sys.stderr)
    return outcome, home


def _cancel(task: Task) -> None:
    try:
        task.cancel()
    except errors.ConnectionFailed as unheard:
        todo = f"`%mecapy cancel {task.id[:8]}` tries again"
        raise plain(errors.ConnectionFailed(f"the task goes on, for nobody could be told to stop it ({unheard}); {todo}")) from None


def until_final(task: Task, block: LiveBlock, show: Callable[[wire.Event], None], deadline: float | None = None) -> wire.Outcome:
    """Show events until the final one. What an attempt said that was lost makes way for the next one's."""
    said = False
    while True:
        try:
            event = task.events.get(timeout=_TICK_S)
        except queue.Empty:
            block.tick()
            if deadline is not None and time.monotonic() > deadline:
                unheard = "the task was told to stop, but its end was not heard; `%mecapy tasks` shows its state"
                raise errors.ConnectionFailed(unheard) from None
            continue
        if isinstance(event, errors.MecapyError):
            raise plain(event)
        block.event(event)
        if event.type in wire.FINAL:
            return wire.Outcome.from_json(event.data)
        if event.type == wire.STARTED and said:
            block.event(replay.ANEW)
            show(replay.ANEW)
        said = event.type in OUTPUT or (said and event.type != wire.STARTED)
        show(event)


def failure(outcome: wire.Outcome, home: bind.Home, source: CellSource | None) -> BaseException:
    """The exception to raise for an outcome, shown as the worker's IPython rendered it; one of ours with the line it was at."""
    exception = bind.raised(outcome, home, source.rename if source else str)
    if outcome.error is not None and outcome.error.kind == "cell" and outcome.error.traceback:
        return show_as(exception, outcome.error.traceback)
    if outcome.error is not None and outcome.error.line and source:
        return source.at(exception, outcome.error.line)
    return plain(exception)
