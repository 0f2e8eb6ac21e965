"""The cells of `%%mecapy --setup`. Their text runs here, and again before each later task of this
notebook, before its inputs are opened. Their output is dropped; a failing one refuses the task.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.utils.capture import capture_output

from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.travel.environment import state_pickler

LONGEST_BYTES = 1_000_000
"""The bound of all of them together, equal to that of a task's code."""


@dataclass(frozen=True, slots=True)
class SetupCell:
    """`reads`: names of the notebook that its text reads."""

    number: int
    text: str
    reads: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SentSetup:
    """What a task gets: the texts by number, and pickles of the variables that they read."""

    texts: tuple[tuple[int, str], ...] = ()
    variables: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


_cells: list[SetupCell] = []


def add(text: str, reads: frozenset[str]) -> SetupCell:
    """Keep a cell from here on; the same text keeps its number."""
    if sum(len(cell.text.encode()) for cell in _cells) + len(text.encode()) > LONGEST_BYTES:
        raise ConfigError(
            f"the setup cells are longer than {LONGEST_BYTES:,} bytes, the limit of a "
            "task's code; put functions into a module, or data into a file"
        )
    earlier = next((cell for cell in _cells if cell.text == text), None)
    if earlier is not None:
        return earlier
    cell = SetupCell(_cells[-1].number + 1 if _cells else 1, text, reads)
    _cells.append(cell)
    return cell


def all_cells() -> Sequence[SetupCell]:
    return tuple(_cells)


def clear(number: int | None = None) -> int:
    """Remove one or all; returns how many."""
    remaining = [cell for cell in _cells if number is not None and cell.number != number]
    removed = len(_cells) - len(remaining)
    _cells[:] = remaining
    return removed


def current() -> SentSetup:
    """The setup cells for a task that is sent now."""
    namespace = vars(sys.modules["__main__"])
    wanted = {name for cell in _cells for name in cell.reads if name in namespace}
    pickled = {name: state_pickler.dumps(namespace[name]) for name in sorted(wanted)}
    return SentSetup(
        tuple((cell.number, cell.text) for cell in _cells),
        {name: data for name, data in pickled.items() if data is not None},
    )


def run(sent: SentSetup) -> None:
    """On the other side. Raises RuntimeError if one fails, because the cell would see another state
    than here.
    """
    if not sent.texts:
        return
    shell: Any = get_ipython()
    with _lent(shell.user_ns, sent.variables):
        for number, text in sent.texts:
            with capture_output():
                done = shell.run_cell(text, store_history=False, silent=True)
            error = done.error_before_exec or done.error_in_exec
            if error is not None:
                shell.failure = None
                raise RuntimeError(
                    f"setup cell {number} failed on the worker with {type(error).__name__}: "
                    f"{error}; change it, or remove it with `%mecapy setup clear {number}`"
                )


@contextlib.contextmanager
def _lent(namespace: dict[str, Any], variables: Mapping[str, bytes]) -> Generator[None]:
    """The notebook's variables while the setup cells run; the cell's own inputs follow."""
    opened = {name: pickle.loads(data) for name, data in variables.items()}  # noqa: S301 the child's own inputs
    namespace.update(opened)
    try:
        yield
    finally:
        for name, value in opened.items():
            if namespace.get(name) is value:
                del namespace[name]
