"""A `%%mecapy` cell before it is sent: options, identity, variables; checked and captured. `cell`
runs it, `dry_run` shows it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mecapy_jupyter import wire
from mecapy_jupyter.block import notes
from mecapy_jupyter.capture import diagnose, names, notebook_code
from mecapy_jupyter.cells import (
    history,
    kernel_magics,
    notebook_folder,
    preflight,
    process_bound,
    submitter,
    task_options,
)
from mecapy_jupyter.cells.cell_errors import CellSource, plain
from mecapy_jupyter.cells.input_patterns import picked
from mecapy_jupyter.cells.ipython_types import Shell
from mecapy_jupyter.cells.magic_options import CellOptions
from mecapy_jupyter.client import deferred_interrupt, requirements, result_cache, submission
from mecapy_jupyter.client.client import Client
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.client.result_cache import CacheInputs
from mecapy_jupyter.client.task import Task
from mecapy_jupyter.hooks import ipykernel
from mecapy_jupyter.results import bind
from mecapy_jupyter.shared import errors
from mecapy_jupyter.travel.environment import (
    held_objects,
    open_figures,
    patches,
    process_state,
)
from mecapy_jupyter.travel.files.gather import Along
from mecapy_jupyter.travel.files.index import inside
from mecapy_jupyter.travel.pickling import payload

_SESSION = "JPY_SESSION_NAME"
_OF_SHELL = re.compile(r"_+(\d*|i+\d*)|__.*__")
"""Results and inputs of cells, and names of Python."""
_SHELL_OWN = frozenset({"get_ipython", "exit", "quit", "open", "display", "input"})


@dataclass(frozen=True, slots=True)
class CellKey:
    """A cell in its history: `text` by its text alone (run times), `here` in this notebook (its
    running task).
    """

    text: str
    here: str

    @classmethod
    def of(cls, body: str) -> CellKey:
        place = f"{os.environ.get(_SESSION, '')}\0{Path.cwd()}"
        return cls(history.key_of(body), history.key_of(body, place))

    def submitted(self, task_id: str, variables: Mapping[str, Any]) -> None:
        """A task was submitted by this kernel, or the kernel attached to it."""
        history.submitted(self.here, task_id, submitter.mark(variables))

    def ended(self, task_id: str, outcome: wire.Outcome) -> None:
        history.ended(self.here, task_id)
        if outcome.state == wire.COMPLETED:
            history.record(self.text, outcome.seconds)


class Prepared:
    """A cell that has been checked and captured: `request` and the `values` to send. Nothing has
    been sent.
    """

    def __init__(self, shell: Shell, options: CellOptions, header: str, body: str) -> None:
        self.shell, self.options, self.body = shell, options, body
        self.source = CellSource(shell, header, body, shell.displayhook.prompt_count)
        self.key = CellKey.of(body)
        python = self.python = shell.transform_cell(body)
        self.names = self._analyse(python)
        kernel_magics.check(python, shell, 1 if header else 0)
        for pattern in options.keep:
            inside(pattern)
        self.values = self._captured() | self._open_figures() | self._held_elsewhere()
        self.along = Along()
        self.named = frozenset[str]()
        self.words: Sequence[str] = re.findall(r"[^\W\d]\w*", python)
        cell = wire.Cell(self.source.number, header, self.source.filename)
        self.request = task_options.request(options, body, cell, options.outputs)

    def _analyse(self, python: str) -> names.Names:
        namespace = self.shell.user_ns
        try:
            found = names.analyse(python, namespace, self.shell.compile.flags)
        except SyntaxError as error:
            self.source.syntax_error(error)
        missing = notebook_code.missing(found, namespace) if self.options.inputs is None else None
        if missing is not None:
            self.source.name_error(missing[0], missing[1])
        return replace(found, dynamic=True) if notebook_code.looks_up(found, namespace) else found

    def _captured(self) -> dict[str, Any]:
        """The variables to send."""
        namespace, hidden = self.shell.user_ns, self.shell.user_ns_hidden
        if self.options.inputs is not None:
            return picked(namespace, self.options.inputs)
        wanted = namespace if self.names.dynamic else self.names.reads | self.names.deletes
        # A user's own `display` or `open` travels.
        own = {
            name for name in _SHELL_OWN if name in hidden and namespace.get(name) is hidden[name]
        }
        called = notebook_code.read_by(process_state.functions(), namespace)
        wanted = wanted if self.names.dynamic else {*wanted, *called}
        mine = {name: namespace[name] for name in namespace if name in wanted and name not in own}
        if not self.names.dynamic:
            # names that a string may mean, or that a library's function may read
            tried = mine.keys() & (self.names.hinted | (called - self.names.reads))
            left = set[str]()
        else:  # it looks up names at run time, so it gets everything that can travel
            shells = {name for name in mine if name in hidden or _OF_SHELL.fullmatch(name)}
            tried = mine.keys() - (self.names.reads - self.names.hinted) - shells
            left = shells - (self.names.reads - self.names.hinted)
        left |= tried - diagnose.travelling({name: mine[name] for name in tried}, namespace)
        return {name: value for name, value in mine.items() if name not in left}

    def _open_figures(self) -> dict[str, Any]:
        """The open figures of pyplot, because a cell may draw into the current one without naming
        it.
        """
        figures = open_figures.current()
        if self.options.inputs is not None or figures is None or not figures.numbered:
            return {}
        if not diagnose.can_travel(figures, self.shell.user_ns):
            remark = "an open figure cannot travel, so the cell does not see pyplot's open figures"
            notes.say(f"{remark}; close it, or save what it shows")
            return {}
        return {open_figures.CARRIED: figures}

    def _held_elsewhere(self) -> dict[str, Any]:
        """What the notebook has put into modules, and what Python and libraries hold of it: they
        may share with the variables what they hold.
        """
        if self.options.inputs is not None or self.options.cache:  # copies travel
            return {}
        placed, held = patches.placed(), held_objects.now()
        names = {place: f"{number} {place[0]}" for number, place in enumerate(held)}
        found: dict[str, object] = {**placed, **{names[at]: one for at, one in held.items()}}
        can = diagnose.travelling(found, self.shell.user_ns) if found else ()
        carried: dict[str, Any] = {
            patches.CARRIED: [one for name, one in placed.items() if name in can],
            held_objects.CARRIED: {at: one for at, one in held.items() if names[at] in can},
        }
        return {name: some for name, some in carried.items() if some}

    def gather(
        self, there: wire.InstalledPackages, holds_secret: Callable[[bytes], bool] | None = None
    ) -> None:
        """Find the files of the notebook's folder that travel, and print the remarks."""
        options = self.options
        self.along = notebook_folder.along(
            options.files, self.python, there, options.folder, holds_secret
        )
        sentences, self.named = notebook_folder.said_before(self.along, self.python, self.values)
        for sentence in sentences:
            notes.say(sentence)

    def missed(self, home: bind.Home) -> list[str]:
        """Remarks on files that the cell looked for and that stayed here."""
        return [
            *bind.kept_nothing(home, self.options.keep),
            *notebook_folder.said_after(self.along, home.folder.looked, self.named),
        ]

    def fits(
        self,
        packed: payload.Packed,
        there: wire.InstalledPackages,
        gateway: Gateway | None = None,
    ) -> None:
        """Raise or report what does not fit on the workers. `gateway`: to ask anew where something
        lacks.
        """
        above, files = 1 if self.source.header else 0, bool(self.options.files)
        adds = bool(self.request.packages or requirements.default)
        check = partial(preflight.check, packed, self.names.imports, self.python, adds=adds)
        try:
            said = check(there, above, files)
        except errors.PackageMissing:
            if gateway is None:
                raise
            there = preflight.installed_since(gateway, there)
            try:
                said = check(there, above, files)
            except errors.PackageMissing as missing:
                if not gateway.embedded:
                    raise
                raise errors.PackageMissing(
                    f"{missing}. The embedded stack runs in another environment than this kernel: "
                    f"after `!mecapy down` the next cell starts it in this one"
                ) from None
        for sentence in said:
            notes.say(sentence)
        for sentence in process_bound.remarks(packed, self.python, self.values):
            notes.say(sentence)

    def send(self, client: Client) -> Task:
        """Pack, upload and submit it. An interrupt leaves no running task behind."""
        born = list[Task]()
        try:
            there = preflight.workers(client.gateway)
            self.gather(there, client.gateway.secret_in)
            ready = submission.prepared(
                client.gateway,
                self.request,
                self.values,
                self.shell.user_ns,
                self.words,
                sorted(self.names.imports),
                partial(self.fits, there=there, gateway=client.gateway),
                self.along,
                self.cache_inputs(client.gateway),
            )
            task = client.submit_prepared(ready, born.append)
            self.key.submitted(task.id, self.values)
            if (cell := ipykernel.cell_of(self.shell)) and (book := os.environ.get(_SESSION)):
                history.stands_in(task.id, cell, book)
            deferred_interrupt.raise_discarded()
        except KeyboardInterrupt:
            for task in born:
                cancel(task)
            raise plain(
                errors.TaskCancelled(
                    "the cell was interrupted before it ran; run it again to start it"
                )
            ) from None
        return task

    def cache_inputs(self, gateway: Gateway) -> CacheInputs | None:
        """None without `--cache`."""
        if not self.options.cache:
            return None
        there = result_cache.versions(gateway)
        imports = sorted(self.names.imports)
        return CacheInputs(self.python, there, imports, self.along, gateway.embedded)


def cancel(task: Task) -> None:
    """Raises `ConnectionFailed` if the gateway could not be reached."""
    try:
        task.cancel()
    except errors.ConnectionFailed as unheard:
        todo = f"`%mecapy cancel {task.id[:8]}` tries again"
        raise plain(
            errors.ConnectionFailed(
                f"the task goes on, because it could not be cancelled ({unheard}); {todo}"
            )
        ) from None
