"""The whole output of a task: as pieces, as one text, or in a notebook, where a very long one
becomes a file.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from mecapy_jupyter import wire
from mecapy_jupyter.client.http import Gateway

SHOWN_CHARS = 4 * 1024 * 1024
"""How much a notebook shows; more would make it too large to open."""
_TAIL_CHARS = 4000


def pieces(gateway: Gateway, task_id: str) -> Iterator[str]:
    """The output in order; of a running task, its output so far (at most what is shown live)."""
    for event in gateway.events(task_id, follow=False):
        if isinstance(printed := event.body, wire.StdoutEvent | wire.StderrEvent):
            yield printed.text


def text(gateway: Gateway, task_id: str) -> str:
    return "".join(pieces(gateway, task_id))


def show_printed(event: wire.Event) -> None:
    """What a call prints appears here, as if it ran here."""
    if isinstance(printed := event.body, wire.StdoutEvent | wire.StderrEvent):
        stream = sys.stdout if event.type == wire.STDOUT else sys.stderr
        stream.write(printed.text)
        stream.flush()


def show(gateway: Gateway, task_id: str, folder: Path) -> str:
    """The text of `%mecapy logs`: the log or, if it is too long, its last lines and the file with
    all of it.
    """
    short, chars, rest = list[str](), 0, pieces(gateway, task_id)
    for piece in rest:
        short.append(piece)
        chars += len(piece)
        if chars > SHOWN_CHARS:
            return _saved(short, rest, folder / f"mecapy-{task_id[:8]}.log")
    return "".join(short)


def _saved(first: Iterable[str], rest: Iterable[str], path: Path) -> str:
    tail, size = "", 0
    with path.open("wb") as file:
        for piece in itertools.chain(first, rest):
            size += file.write(piece.encode("utf-8", "surrogatepass"))
            tail = (tail + piece[-_TAIL_CHARS:])[-_TAIL_CHARS:]
    return (
        f"{tail.rstrip()}\n[mecapy] The log has {size / 1e6:.1f} MB, too much to show here: "
        f"all of it is in {path.name}.\n"
    )
