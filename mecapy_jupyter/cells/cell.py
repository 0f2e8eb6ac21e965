"""One `%%mecapy` cell, from its text to its variables: send, replay, bind."""

from __future__ import annotations

import functools
import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from mecapy_jupyter import wire
from mecapy_jupyter.block import notes
from mecapy_jupyter.block.live import OUTPUT, LiveBlock
from mecapy_jupyter.block.surfaces import BarAlone
from mecapy_jupyter.cells import history, kernel_shutdown, process_bound, replay, resubmit_check
from mecapy_jupyter.cells.cell_errors import CellSource, plain
from mecapy_jupyter.cells.ipython_types import Shell
from mecapy_jupyter.cells.prepared import Prepared, cancel
from mecapy_jupyter.cells.shown_widgets import ShownWidgets
from mecapy_jupyter.client import config, deferred_interrupt, result_cache
from mecapy_jupyter.client.caching_task import CachingTask
from mecapy_jupyter.client.client import Client
from mecapy_jupyter.client.task import Task
from mecapy_jupyter.hooks.ipython import show_as, show_group_as
from mecapy_jupyter.results import bind
from mecapy_jupyter.shared import errors
from mecapy_jupyter.travel.files import missing

_TICK_S = 0.1
_LAST_WORDS_S = 10.0  # how long an interrupted cell waits for the task's end


def run(client: Client, prepared: Prepared) -> None:
    """Run the cell on the pool and wait: output live, variables at the end, its own exception on
    failure.
    """
    shell, options = prepared.shell, prepared.options
    taken_up = resubmit_check.taken_up(client, prepared)
    expected_s = history.expected_s(prepared.key.text)
    surface = BarAlone() if options.quiet else None
    with LiveBlock(
        options.name,
        after_s=options.progress_after_s,
        marked=config.read().get("mark") != "off",
        one_host=client.gateway.embedded,
        expected_s=expected_s,
        surface=surface,
    ) as block:
        task = taken_up or prepared.send(client)
        outcome, home = come_home(shell, task, block)
    prepared.key.ended(task.id, outcome)
    for other in task.other_ids if isinstance(task, CachingTask) else ():
        history.ended(prepared.key.here, other)
    missed = prepared.missed(home)
    for sentence in missed:
        notes.say(sentence)
    if outcome.state != wire.COMPLETED:
        error = failure(outcome, home, prepared.source)
        for sentence in missing.unsent(error, Path.cwd(), prepared.along.index.paths):
            if sentence not in missed:
                notes.say(sentence)
        told_once(error, outcome, block)
        if outcome.error is not None and isinstance(error, BaseExceptionGroup):
            show_group_as(shell, cast(BaseException, error), outcome.error.traceback)
        raise error
    for name in bind.not_there(home, options.outputs or ()):
        notes.say(f"`-o` names {name!r}, but the cell did not bind it")


def come_home(shell: Shell, task: Task, block: LiveBlock) -> tuple[wire.Outcome, bind.Home]:
    """Replay the task until its end and apply its results. An interrupt cancels it; the kernel's
    shutdown does not.
    """
    widgets = replay.widgets_of(shell, task.packed.memo.values())
    with widgets.speaking_to(task):
        outcome = _replayed(shell, task, block, widgets)
        home = bind.with_inputs(task.open(outcome), task.inputs, shell.user_ns)
        names = bind.into(shell.user_ns, home)
    replay.remember(shell, home.value)
    block.finish(outcome, bind.came_back(shell.user_ns, home, names))
    remarks = [*bind.remarks(home, task.id), *widgets.remarks(), *cache_remarks(task, outcome)]
    remarks += process_bound.caches_left(home.caches)
    for remark in [*remarks, *task.bring_folder(), *task.change_folder()]:
        notes.say(remark)
    return outcome, home


def _replayed(shell: Shell, task: Task, block: LiveBlock, widgets: ShownWidgets) -> wire.Outcome:
    show = functools.partial(replay.show, shell, widgets=widgets)
    try:
        kernel_shutdown.watch(shell)
        block.sent(task.sent_bytes, task.reused_bytes, task.id)
        task.follow(lambda _: None)
        return until_final(task, block, show)
    except KeyboardInterrupt:
        if kernel_shutdown.ends(shell):
            raise plain(
                errors.TaskDetached(
                    "the kernel ends, but the task goes on; `%mecapy attach "
                    f"{task.id[:8]}` brings it home"
                )
            ) from None
        cancel(task)
        task.follow(lambda _: None)  # the interrupt may have come earlier
        return until_final(task, block, show, time.monotonic() + _LAST_WORDS_S)


def cache_remarks(task: Task, outcome: wire.Outcome) -> list[str]:
    if not isinstance(task, CachingTask):
        return []
    remark = result_cache.remark(task.cached, outcome)
    return [remark] if remark else []


def until_final(
    task: Task, block: LiveBlock, show: Callable[[wire.Event], None], deadline: float | None = None
) -> wire.Outcome:
    """Show events until the final one. Output of a lost attempt is replaced by that of the next."""
    shown = False
    while True:
        if deadline is None:
            deferred_interrupt.raise_discarded()
        try:
            event = task.events.get(timeout=_TICK_S)
        except queue.Empty:
            block.tick()
            if deadline is not None and time.monotonic() > deadline:
                unheard = (
                    "the task was asked to stop, but it did not report its end; `%mecapy "
                    "tasks` shows its state"
                )
                raise errors.ConnectionFailed(unheard) from None
            continue
        if isinstance(event, errors.MecapyError):
            raise plain(event)
        block.event(event)
        if event.type in wire.FINAL:
            return wire.Outcome.from_json(event.data)
        if event.type == wire.STARTED and shown:
            block.event(replay.ANEW)
            show(replay.ANEW)
        shown = event.type in OUTPUT or (shown and event.type != wire.STARTED)
        show(event)


def told_once(error: BaseException, outcome: wire.Outcome, block: LiveBlock) -> BaseException:
    """Shown by its name alone if the block's line already reports that the task was cancelled."""
    cancelled = outcome.state == wire.CANCELLED and block.ends_with_a_line
    return show_as(error, [type(error).__name__]) if cancelled else error


def failure(outcome: wire.Outcome, home: bind.Home, source: CellSource | None) -> BaseException:
    """The exception for an outcome, shown as the worker's IPython rendered it; one of MecaPy's with
    its line.
    """
    exception = bind.raised(outcome, home, source.rename if source else str)
    if outcome.error is not None and outcome.error.kind == "cell" and outcome.error.traceback:
        return show_as(exception, outcome.error.traceback)
    if outcome.error is not None and outcome.error.line and source:
        return source.at(exception, outcome.error.line)
    return plain(exception)
