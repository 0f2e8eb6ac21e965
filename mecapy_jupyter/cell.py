"""One `%%mecapy` cell, from its text to its variables: check, capture, send, replay, bind.

Before it: `magic`. After it: `capture` (what to send), `client` (sending), `replay` and `block` (showing), `bind` (coming home).
"""

from __future__ import annotations

import ast
import dataclasses
import fnmatch
import queue
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from . import bind, capture, diagnose, errors, files, replay, wire
from .block import LiveBlock
from .client import Client, Task
from .failures import CellSource, plain, show_as, show_group_as
from .ipython import Shell

_TICK_S = 0.1
_LAST_WORDS_S = 3.0  # how long an interrupted cell waits for the task's end
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


class Prepared:
    """A cell that has been checked and captured: `request` and the `values` to send with it. Nothing has been sent."""

    def __init__(self, shell: Shell, options: Options, header: str, body: str) -> None:
        self.shell, self.options = shell, options
        self.source = CellSource(shell, header, body, shell.displayhook.prompt_count)
        python = shell.transform_cell(body)
        self.names = self._analyse(python)
        for pattern in options.keep:
            files.inside(pattern)
        self.values = self._captured()
        if options.files:
            self.values[files.SLOT] = files.gather(options.files, Path.cwd(), required=True)
        self.words: Sequence[str] = re.findall(r"[^\W\d]\w*", python)
        self.request = wire.TaskRequest(
            code=body,
            name=options.name,
            outputs=options.outputs,
            priority=options.priority,
            timeout=options.timeout_s,
            retries=options.retries,
            keep=options.keep,
            cell=wire.Cell(self.source.number, header),
        )

    def _analyse(self, python: str) -> capture.Names:
        try:
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | self.shell.compile.flags
            compile(python, self.source.filename, "exec", flags, dont_inherit=True)
        except SyntaxError as error:
            self.source.syntax_error(error)
        namespace = self.shell.user_ns
        names = capture.analyse(python, namespace, self.shell.compile.flags)
        missing = capture.missing(names, namespace) if self.options.inputs is None else None
        if missing is not None:
            self.source.name_error(missing[0], missing[1])
        return names

    def _captured(self) -> dict[str, Any]:
        """The variables to send."""
        namespace, hidden = self.shell.user_ns, self.shell.user_ns_hidden
        if self.options.inputs is not None:
            return _picked(namespace, self.options.inputs)
        wanted = namespace if self.names.dynamic else self.names.reads | self.names.deletes
        mine = {name: namespace[name] for name in namespace if name in wanted and name not in _SHELL_OWN}
        if not self.names.dynamic:
            return mine
        # The cell looks its names up at run time: it gets all that can travel.
        shown = {name: value for name, value in mine.items() if not name.startswith("_") and name not in hidden}
        return {name: value for name, value in shown.items() if diagnose.can_travel(value, namespace)}

    def send(self, client: Client) -> Task:
        """Pack, upload and submit it."""
        return client.send(self.request, self.values, self.shell.user_ns, self.words, sorted(self.names.imports))


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
    with LiveBlock(options.name, after_s=options.progress_after_s, quiet=options.quiet) as block:
        task = prepared.send(client)
        block.sent(task.sent_bytes, task.reused_bytes)
        outcome, home = come_home(shell, task.follow(lambda _: None), block)
    if outcome.state != wire.COMPLETED:
        error = failure(outcome, home, prepared.source.rename)
        if outcome.error is not None and isinstance(error, BaseExceptionGroup):
            show_group_as(shell, cast(BaseException, error), outcome.error.traceback)
        raise error


def come_home(shell: Shell, task: Task, block: LiveBlock) -> tuple[wire.Outcome, bind.Home]:
    """Replay the task until its end, and put what it brings where it belongs. An interrupt cancels it."""
    try:
        outcome = replay_until_final(shell, task, block)
    except KeyboardInterrupt:
        task.cancel()
        outcome = replay_until_final(shell, task, block, time.monotonic() + _LAST_WORDS_S)
    home = task.open(outcome)
    names = bind.into(shell.user_ns, home)
    replay.remember(shell, home.value)
    block.finish(outcome, bind.came_back(shell.user_ns, home, names))
    for name, why in home.left.items():
        print(f"mecapy: {name} stays on the worker, it cannot travel ({why})", file=sys.stderr)
    return outcome, home


def replay_until_final(shell: Shell, task: Task, block: LiveBlock, deadline: float | None = None) -> wire.Outcome:
    """Show events until the final one."""
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
        replay.show(shell, event)


def start(client: Client, prepared: Prepared) -> Task:
    """Send the cell and return at once; when it ends, its variables are bound (`--bg`)."""
    shell, options = prepared.shell, prepared.options
    task = prepared.send(client)
    before = dict(shell.user_ns)

    def bind_at_end(outcome: wire.Outcome) -> None:
        task.settle(outcome)
        unchanged = {n: v for n, v in task.home.bound.items() if shell.user_ns.get(n) is before.get(n)}
        bind.into(shell.user_ns, dataclasses.replace(task.home, bound=unchanged, deleted=()))

    job_name = options.job_name or "job"
    shell.user_ns[job_name] = task.follow(bind_at_end)
    print(f"{job_name}: {task.id[:8]} submitted; `.result()` waits for it, `.vars` has its variables, `.cancel()` stops it")
    return task


def describe(prepared: Prepared) -> str:
    """What would travel, for `--dry-run`."""
    sizes = {name: diagnose.size_estimate(value) for name, value in prepared.values.items()}
    lines = [f"  {name:<20} {type(prepared.values[name]).__name__:<16} {size / 1e6:10.3f} MB" for name, size in sizes.items()]
    head = f"would send {len(sizes)} variable{'s' if len(sizes) != 1 else ''}, about {sum(sizes.values()) / 1e6:.3f} MB:"
    wanted = prepared.options.outputs
    back = ", ".join(sorted(prepared.names.binds) if wanted is None else wanted) or "nothing"
    return "\n".join([head, *lines, f"would bring back: {back}, and inputs it changes in place"])


def failure(outcome: wire.Outcome, home: bind.Home, rename: Callable[[str], str]) -> BaseException:
    """The exception to raise for an outcome, shown as the worker's IPython rendered it."""
    exception = bind.raised(outcome, home, rename)
    if outcome.error is not None and outcome.error.kind == "cell" and outcome.error.traceback:
        return show_as(exception, outcome.error.traceback)
    return plain(exception)
