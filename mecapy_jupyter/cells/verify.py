"""`--verify`: runs the cell on the pool and here, and reports differences. The notebook keeps what
ran here; the pool's values are opened as copies.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TextIO

from mecapy_jupyter import wire
from mecapy_jupyter.block import notes
from mecapy_jupyter.block.live import LiveBlock
from mecapy_jupyter.cells import cell
from mecapy_jupyter.cells.ipython_types import Shell
from mecapy_jupyter.cells.prepared import Prepared, cancel
from mecapy_jupyter.client import blob_transfer
from mecapy_jupyter.client.client import Client
from mecapy_jupyter.hooks.ipython import show_as
from mecapy_jupyter.results import bind, difference
from mecapy_jupyter.shared import units
from mecapy_jupyter.travel.changes import setters
from mecapy_jupyter.travel.environment import process_state
from mecapy_jupyter.travel.pickling import payload


@dataclass(slots=True)
class Ran:
    """The results of one run: `variables`, the value of its last expression, its exception and its
    output.
    """

    variables: dict[str, Any] = field(default_factory=dict[str, Any])
    value: Any = None
    error: BaseException | None = None
    stdout: str = ""
    stderr: str = ""


def run(client: Client, prepared: Prepared) -> None:
    """Run it on the pool, then here, and print the differences. Raises what the cell raised."""
    shell = prepared.shell
    before = dict(shell.user_ns)
    there, home = _on_the_pool(client, prepared)
    here = _here(shell, prepared)
    names = {
        name
        for name in (*there.variables, *shell.user_ns)
        if not name.startswith("_")
        and (name in there.variables or shell.user_ns.get(name) is not before.get(name))
    }
    here.variables = {name: shell.user_ns[name] for name in names if name in shell.user_ns}
    for sentence in _report(here, there, home):
        notes.say(sentence)
    if here.error is not None:
        raise here.error


def _on_the_pool(client: Client, prepared: Prepared) -> tuple[Ran, bind.Home]:
    """Run it on the pool, and open its results into copies of the inputs."""
    ran = Ran()
    with LiveBlock(prepared.options.name, after_s=prepared.options.progress_after_s) as block:
        task = prepared.send(client)
        namespace = ran.variables
        inputs = _copies(task.packed, namespace)
        try:
            task.follow(lambda _: None)
            outcome = cell.until_final(task, block, partial(_listen, ran))
        except KeyboardInterrupt:
            cancel(task)
            raise
        block.finish(outcome, [])
    prepared.key.ended(task.id, outcome)
    fetch = partial(blob_transfer.fetch, client.gateway)
    home = bind.open_outcome(outcome, fetch, namespace, inputs.memo)
    setters.rebind(namespace, home.swaps)
    namespace.update(home.bound)
    for name in home.deleted:
        namespace.pop(name, None)
    ran.value = home.value
    ran.error = None if outcome.state == wire.COMPLETED else bind.raised(outcome, home)
    return ran, home


def _copies(packed: payload.Packed, namespace: dict[str, Any]) -> payload.Opened:
    """The inputs as the pool got them, opened here, so that the run here does not change them."""
    buffers = [bytearray(buffer) for buffer in packed.buffers]
    opened = payload.unpack(packed.stream, buffers, namespace, on_prelude=lambda _: None)
    inputs = opened.variables
    namespace.update({name: value for name, value in inputs.items() if name.isidentifier()})
    return opened


def _listen(ran: Ran, event: wire.Event) -> None:
    if event.type in (wire.STDOUT, wire.STDERR):
        setattr(ran, event.type, getattr(ran, event.type) + event.data["text"])


class _Tee(io.TextIOBase):
    """Writes to a stream and keeps a copy."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.kept = stream, io.StringIO()

    def write(self, text: str) -> int:
        self.kept.write(text)
        return self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()


def _here(shell: Shell, prepared: Prepared) -> Ran:
    """Run it here like any cell, with its output and its error."""
    out, err = _Tee(sys.stdout), _Tee(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        done = shell.run_cell(prepared.body, store_history=False)
    error = done.error_before_exec or done.error_in_exec
    if error is not None:  # the error has been shown
        show_as(error, ())
    return Ran({}, done.result, error, out.kept.getvalue(), err.kept.getvalue())


def _report(here: Ran, there: Ran, home: bind.Home) -> Iterator[str]:
    """One sentence per difference, or one that there is none."""
    found = difference.compare(
        here.variables | {"the value of the cell": here.value},
        {name: value for name, value in there.variables.items() if name in here.variables}
        | {"the value of the cell": there.value},
    )
    count = 0
    for line in (*_output(here, there), *_errors(here, there), *_state(home)):
        count += 1
        yield line
    for each in found.differences:
        count += not each.rounding
        yield (
            f"{each.path} differs by rounding: {each.here} here, {each.there} on the pool "
            f"(relative {each.rounding:.1g})"
            if each.rounding
            else f"{each.path} differs: {each.here} here, {each.there} on the pool"
        )
    if open_ := [*found.unknown, *home.left]:
        yield f"not compared: {units.listed(open_)}"
    if not count:
        names = units.listed(sorted(here.variables)) or "no variables"
        yield f"verified: what the cell printed and left is the same here and on the pool ({names})"
    else:
        yield "the notebook keeps the result from here"


def _output(here: Ran, there: Ran) -> Iterator[str]:
    for name in ("stdout", "stderr"):
        ours, theirs = getattr(here, name).splitlines(), getattr(there, name).splitlines()
        if ours != theirs:
            longest = max(len(ours), len(theirs))
            padded = [lines + [""] * (longest - len(lines)) for lines in (ours, theirs)]
            n, a, b = next(
                (n, a, b) for n, (a, b) in enumerate(zip(*padded, strict=True), 1) if a != b
            )
            yield f"line {n} of {name} differs: {a!r} here, {b!r} on the pool"


def _errors(here: Ran, there: Ran) -> Iterator[str]:
    texts = [
        "no error" if error is None else f"{type(error).__name__}: {error}"
        for error in (here.error, there.error)
    ]
    if texts[0] != texts[1]:
        yield f"the error differs: {texts[0]} here, {texts[1]} on the pool"


def _state(home: bind.Home) -> Iterator[str]:
    now = process_state.current()
    theirs = {kind: it for kind, it in home.process_state.items() if kind != process_state.HELD}
    for kind in process_state.changed(theirs, {kind: now.get(kind) for kind in theirs}):
        yield f"the state of {kind} differs after the cell"
