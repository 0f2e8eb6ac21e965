"""The options of `%%mecapy`, parsed like a shell command."""

from __future__ import annotations

import argparse
import functools
import keyword
import re
import shlex
from typing import NoReturn

from mecapy_jupyter.cells import task_options
from mecapy_jupyter.cells.task_options import AddOption
from mecapy_jupyter.shared import errors

_BEFORE_COMMENT = re.compile(r"""(?:'[^']*'|"[^"]*"|(?<=\S)\#|[^'"\#])*""")


class _Parser(argparse.ArgumentParser):
    """argparse that raises instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise errors.ConfigError(f"{message}. `%%mecapy --help` lists the options.")


def words(line: str) -> list[str]:
    """A magic's line, split like a shell command, without its comment."""
    before = _BEFORE_COMMENT.match(line)
    line = before[0] if before and line.startswith("#", before.end()) else line
    try:
        return shlex.split(line)
    except ValueError as trouble:  # an unclosed quote
        raise errors.ConfigError(
            f"{line!r}: {str(trouble).lower()}; close the quote, or leave it out"
        ) from None


def _job_name(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a variable name")
    return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in re.split(r"[,\s]+", text) if name and name != "none")


class CellOptions(argparse.Namespace):
    """The options of one cell, as `parser` reads them. None means automatic."""

    help: bool
    inputs: tuple[str, ...] | None
    outputs: tuple[str, ...] | None
    bg: bool
    job: str | None
    timeout: float
    priority: int
    name: str
    retries: int
    notify: tuple[str, ...]
    cpus: float
    memory: int
    gpu: str
    machine: str
    packages: tuple[str, ...]
    escalate: bool
    files: tuple[str, ...]
    keep: tuple[str, ...]
    verify: bool
    cache: bool
    setup: bool
    folder: bool
    dry_run: bool
    quiet: bool
    progress_after: float | None
    every: bool

    @property
    def progress_after_s(self) -> float:
        shown_after_s = 0.0 if self.every else 2.0
        return shown_after_s if self.progress_after is None else self.progress_after


def parsed(line: str) -> CellOptions:
    """The options in a magic's line. Raises ConfigError."""
    given = parser().parse_args(words(line), CellOptions())
    if given.job and not given.bg:
        raise errors.ConfigError(
            f"`--as {given.job}` names the Future of a cell in the background; write `--bg "
            f"--as {given.job}`"
        )
    return given


@functools.cache  # creating it for each cell took longer than capturing the cell
def parser() -> argparse.ArgumentParser:
    made = _Parser(
        prog="%%mecapy",
        add_help=False,
        allow_abbrev=False,
        description="Run this cell on a worker.",
    )
    for add_group in (_variables, task_options.add, _showing):
        add_group(made.add_argument)
    return made


@functools.cache
def names() -> tuple[str, ...]:
    """All options, as they are written."""
    # argparse has no other way to ask for them
    actions = parser()._actions  # pyright: ignore[reportPrivateUsage]
    shown = (one.option_strings for one in actions if one.help != argparse.SUPPRESS)
    return tuple(name for strings in shown for name in strings)


def _variables(add: AddOption) -> None:
    add("-h", "--help", action="store_true", help="show this")
    add(
        "-i",
        "--inputs",
        type=_names,
        metavar="a,b",
        help="send these variables (names or globs) instead of what the cell reads",
    )
    add(
        "-o",
        "--outputs",
        type=_names,
        metavar="y,z",
        help="bring home these variables instead of what the cell binds (`none`: nothing)",
    )
    add(
        "--bg",
        action="store_true",
        help="return at once; the Future is in the variable of --as",
    )
    add(
        "--as",
        dest="job",
        type=_job_name,
        metavar="job",
        help="the variable for the Future of --bg",
    )


def _showing(add: AddOption) -> None:
    add("--verify", action="store_true", help="run it here too, and report where the two differ")
    add(
        "--cache",
        action="store_true",
        help="bring back the result of an earlier run with the same code and data, if there is one",
    )
    add("--setup", action="store_true", help="run it here, and before every later task")
    add(
        "--no-folder",
        dest="folder",
        action="store_false",
        help="do not send the notebook's folder; only --files are sent, and only --keep comes home",
    )
    add("--dry-run", action="store_true", help="send nothing; print what would travel")
    add("--quiet", action="store_true", help="no live block, only the cell's own progress bar")
    add(
        "--progress-after",
        type=float,
        metavar="s",
        help="show the live block after this many seconds (default: 2)",
    )
    # added by `%mecapy on`: not the user's line
    add("--every", action="store_true", help=argparse.SUPPRESS)
