"""`--bg`: the cell returns at once, and its task continues in the cell's output. A thread per task
reads its events, shows them in the cell, and at the end binds what has not changed here.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mecapy_jupyter import wire
from mecapy_jupyter.block import notes
from mecapy_jupyter.block.live import LiveBlock
from mecapy_jupyter.block.surfaces import Notebook
from mecapy_jupyter.capture.parts import path_to
from mecapy_jupyter.cells import cell, history, process_bound, replay, resubmit_check
from mecapy_jupyter.cells.ipython_types import Shell
from mecapy_jupyter.cells.prepared import Prepared
from mecapy_jupyter.client.client import Client
from mecapy_jupyter.client.task import Task, unread
from mecapy_jupyter.results import bind
from mecapy_jupyter.shared.units import listed
from mecapy_jupyter.travel.changes.watch import Watch
from mecapy_jupyter.travel.environment import (
    held_objects,
    import_hook,
    module_changes,
    open_figures,
    process_state,
)

_OF_A_THREAD = frozenset(
    (
        *("numpy.printoptions", "numpy.errstate", "numpy.errcall", "numpy.bufsize", "sklearn"),
        *("decimal.context", "decimal.signals", "sympy.parameters", "signals"),
    )
)
"""Kinds of state that each thread has for itself, or that only the main thread may set."""
started: dict[str, Task] = {}
"""The background tasks of this kernel by the name of their variable; the newest per name."""


def start(client: Client, prepared: Prepared) -> Task:
    """Send the cell and return at once with its Future."""
    shell, options = prepared.shell, prepared.options
    output = replay.CellOutput(shell)
    task = resubmit_check.taken_up(client, prepared) or prepared.send(client)
    job_name = options.job or "job"
    before = _Before(shell.user_ns, task, prepared.values.values())
    shell.user_ns[job_name] = started[job_name] = task
    print(
        f"{job_name}: {task.id[:8]} submitted; `.result()` waits for it, `.vars` has its "
        f"variables, `.cancel()` stops it"
    )
    surface = Notebook(output.publish, task.cancel) if output.live else None
    expected_s = history.expected_s(prepared.key.text)
    block = LiveBlock(
        options.name or job_name,
        after_s=0,
        one_host=client.gateway.embedded,
        quiet=options.quiet or surface is None,
        expected_s=expected_s,
        surface=surface,
    )
    block.sent(task.sent_bytes, task.reused_bytes, task.id)
    task.follow(lambda _: None)
    carry = _Carry(task, block, output, before, prepared)
    threading.Thread(
        target=carry.on, args=(shell,), name=f"mecapy job {task.id[:8]}", daemon=True
    ).start()
    return task


def _note(held: weakref.ref[_Before], kind: str) -> None:
    if before := held():
        before.ambient.update(process_state.current([kind]))


class _Before:
    """The notebook's state when the task was submitted, to detect changes at its end."""

    def __init__(self, namespace: dict[str, Any], task: Task, sent: Iterable[object]) -> None:
        self.names = dict(namespace)
        self.ambient = process_state.current()
        for name, kind in process_state.KINDS.items():
            if kind.module not in sys.modules:  # the result may import it
                note = functools.partial(_note, weakref.ref(self), name)
                import_hook.when_imported(kind.module, note)
        self.held = held_objects.now()
        self.figures = open_figures.current()
        self.modules = module_changes.standing()
        self._watch = Watch(task.packed.memo, sent, namespace)

    def spared(self) -> frozenset[int]:
        """The inputs whose content has changed since."""
        return frozenset(n for changes in self._watch.changed() for n in changes.numbers)

    def places(self, aside: Iterable[tuple[object, object]]) -> dict[str, object]:
        """New objects by the names of, or the paths to, the spared ones (`model['params']`)."""
        variables = {name: value for name, value in self.names.items() if not name.startswith("_")}
        held = {
            f"{at}.{name}": one for at, its in self.modules.items() for name, one in its.items()
        }
        found: dict[str, object] = {}
        for old, new in aside:
            names = [name for name, value in (self.names | held).items() if value is old]
            found |= dict.fromkeys(
                names or [path_to(old, variables) or f"a {type(old).__name__}"], new
            )
        return found

    def stand(self, held: held_objects.Held) -> held_objects.Held:
        """Those whose place has what it had."""
        now = held_objects.now()
        return {at: one for at, one in held.items() if now.get(at) is self.held.get(at)}

    def same(self, name: str, namespace: Mapping[str, Any]) -> bool:
        return namespace.get(name) is self.names.get(name)

    def still(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """The kinds of state that are here as they were, as this thread has them."""
        here = process_state.current(state)
        return {
            kind: value
            for kind, value in state.items()
            if process_state.equal(self.ambient.get(kind), here.get(kind))
        }

    def take_later(self, shell: Shell, state: Mapping[str, Any]) -> None:
        """Apply the state in the thread of the cells, as the next one begins."""

        def take(*_: object) -> None:
            shell.events.unregister("pre_run_cell", take)
            process_state.take(self.still(state))

        shell.events.register("pre_run_cell", take)


@dataclasses.dataclass(frozen=True)
class _Carry:
    """One background task, from its first event to its variables."""

    task: Task
    block: LiveBlock
    output: replay.CellOutput
    before: _Before
    prepared: Prepared

    def on(self, shell: Shell) -> None:
        """Runs in the task's own thread."""
        with self.block:
            try:
                with self.output.widgets.speaking_to(self.task):
                    outcome = cell.until_final(self.task, self.block, self.output.show)
                home = self.task.open(outcome, self.before.spared())
                home = bind.with_inputs(home, self.task.inputs, shell.user_ns)
                bound, waiting = self._bind(shell, home)
            except Exception as error:  # after any error: nobody may wait forever
                self.task.set_exception(unread(error))
                raise
            try:
                self.block.finish(outcome, bind.came_back(shell.user_ns, home, bound))
                self.output.update_again(shell)
                self._say(home, outcome, waiting)
                self.prepared.key.ended(self.task.id, outcome)
                if outcome.state == wire.FAILED:
                    self.output.error(cell.failure(outcome, home, self.prepared.source))
            finally:
                self.task.end(
                    outcome,
                    home,
                    lambda outcome, home: cell.failure(outcome, home, self.prepared.source),
                )

    def _bind(self, shell: Shell, home: bind.Home) -> tuple[list[str], list[str]]:
        """Bind what has not changed here. Returns the bound names, and those that wait in
        `job.vars`.
        """
        namespace = shell.user_ns
        free = {
            name: value for name, value in home.bound.items() if self.before.same(name, namespace)
        }
        aside = self.before.places(home.aside)
        modules = home.process_state.get("own modules", {})
        modules, theirs = module_changes.apart(modules, self.before.modules)
        aside |= theirs
        waiting = [
            name for name in (*home.bound, *aside) if name not in free and not name.startswith("_")
        ]
        state = dict(home.process_state)
        if late := {kind: state.pop(kind) for kind in _OF_A_THREAD & state.keys()}:
            self.before.take_later(shell, late)
        still = self.before.still(state)
        if process_state.HELD in still:
            still[process_state.HELD] = self.before.stand(still[process_state.HELD])
        if theirs:
            still["own modules"] = modules
        figures = home.figures if open_figures.current() == self.before.figures else None
        deleted = tuple(name for name in home.deleted if self.before.same(name, namespace))
        bound = bind.into(
            namespace,
            dataclasses.replace(
                home, bound=free, deleted=deleted, process_state=still, figures=figures
            ),
        )
        home.bound.update(aside)
        if home.figures is not None and figures is None:
            waiting.append(open_figures.CARRIED)
            home.bound[open_figures.CARRIED] = home.figures
        return bound, waiting

    def _say(self, home: bind.Home, outcome: wire.Outcome, waiting: Sequence[str]) -> None:
        remarks = [
            *bind.remarks(home, self.task.id),
            *process_bound.caches_left(home.caches),
            *cell.cache_remarks(self.task, outcome),
            *self.output.widgets.remarks(),
            *self.task.bring_folder(),
            *self.prepared.missed(home),
        ]
        if waiting:
            verb = "waits" if len(waiting) == 1 else "wait"
            remarks.append(
                f"{listed(waiting)} {verb} in `.vars` of the job: changed here since "
                "it was submitted"
            )
        for sentence in remarks:
            if self.output.live:
                notes.publish(self.output.publish, sentence)


def summary() -> dict[str, str]:
    """Task id → the name of its variable, for `%mecapy`."""
    return {task.id: name for name, task in started.items()}
