"""What Tab offers in a line of `%%mecapy` and `%mecapy`: options, commands, my last tasks, and
variables after `-i` and `-o`. Asks no server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import ModuleType
from typing import Protocol

from mecapy_jupyter.cells import history, magic_options
from mecapy_jupyter.cells.ipython_types import Shell
from mecapy_jupyter.commands.line_magic import HELP

_COMMANDS = (*dict.fromkeys(re.findall(r"^%mecapy (\w+)", HELP, re.MULTILINE)), "off")
_OF_TASKS = {
    "attach": ("last",),
    "cancel": ("last", "all"),
    "extend": ("last",),
    "logs": (),
    "get": (),
}
_OF_VARIABLES = re.compile(r"(?:^|\s)(?:-i|-o|--inputs|--outputs)[\s=]+\S*$")
_MOST_TASKS = 20


class Asked(Protocol):
    """IPython's question: the line, the word that is being typed, and the line up to the cursor."""

    line: str
    symbol: str
    text_until_cursor: str


def of_the_cell_magic(shell: Shell, asked: Asked) -> list[str]:
    line = asked.text_until_cursor
    if asked.symbol.startswith("-"):
        return _beginning(asked.symbol, magic_options.names())
    if _OF_VARIABLES.search(line):
        return _beginning(asked.symbol, variables(shell))
    return []


def of_the_line_magic(_: Shell, asked: Asked) -> list[str]:
    words = asked.text_until_cursor.split()[1:]
    before = words[:-1] if asked.symbol else words
    if not before:
        return _beginning(asked.symbol, _COMMANDS)
    if before[0] in _OF_TASKS and len(before) == 1:
        tasks = [task_id[:8] for task_id in history.last_tasks(_MOST_TASKS)]
        return _beginning(asked.symbol, [*_OF_TASKS[before[0]], *tasks])
    if before[0] == "on" and asked.symbol.startswith("-"):
        return _beginning(asked.symbol, magic_options.names())
    return []


def variables(shell: Shell) -> list[str]:
    """What a user calls variables: no modules, and nothing of IPython's own."""
    hidden = shell.user_ns_hidden
    return [
        name
        for name, value in shell.user_ns.items()
        if not name.startswith("_") and name not in hidden and not isinstance(value, ModuleType)
    ]


def _beginning(word: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(word)]
