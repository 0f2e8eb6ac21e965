"""The options of `%%mecapy`, parsed like a shell command."""

from __future__ import annotations

import argparse
import functools
import keyword
import re
import shlex
from collections.abc import Callable
from typing import NoReturn, TypeVar

from mecapy_jupyter import wire
from mecapy_jupyter.client import requirements
from mecapy_jupyter.client.resources import asked
from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared.units import byte_count, seconds

T = TypeVar("T")
_BEFORE_COMMENT = re.compile(r"""(?:'[^']*'|"[^"]*"|(?<=\S)\#|[^'"\#])*""")


class _Parser(argparse.ArgumentParser):
    """argparse that raises instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise errors.ConfigError(f"{message}. `%%mecapy --help` lists the options.")


def _told(read: Callable[[str], T]) -> Callable[[str], T]:
    """The same reader; argparse shows the reader's message instead of its own."""

    def reader(text: str) -> T:
        try:
            return read(text)
        except ValueError as trouble:
            raise argparse.ArgumentTypeError(str(trouble)) from None

    return reader


def _cpus(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 10_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processors; write 4")
    return number


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


def _paths(text: str) -> tuple[str, ...]:
    """Split at commas only: quotes are parsed already, and file names may contain spaces."""
    return tuple(path for part in text.split(",") if (path := part.strip()))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in re.split(r"[,\s]+", text) if name and name != "none")


AddOption = Callable[..., object]


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


def request(
    options: argparse.Namespace, code: str, cell: wire.Cell, outputs: tuple[str, ...] | None
) -> wire.TaskRequest:
    """A task of this code, with what `add_running`, `add_machine` and `add_files` have read."""
    return wire.TaskRequest(
        code,
        name=options.name,
        outputs=outputs,
        keep=options.keep,
        priority=options.priority,
        timeout=options.timeout,
        retries=options.retries,
        escalate=options.escalate,
        notify=options.notify,
        resources=asked(options.cpus, options.memory, options.gpu, options.machine),
        packages=requirements.merged(requirements.in_script(code), options.packages),
        cell=cell,
    )


@functools.cache  # creating it for each cell took longer than capturing the cell
def parser() -> argparse.ArgumentParser:
    made = _Parser(
        prog="%%mecapy",
        add_help=False,
        allow_abbrev=False,
        description="Run this cell on a worker.",
    )
    for add_group in (_variables, add_running, add_machine, add_files, _showing):
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


def add_running(add: AddOption) -> None:
    add(
        "--timeout",
        type=_told(seconds),
        default=wire.TIMEOUT_S,
        metavar="2h",
        help="stop the cell after this run time (default: 300 s)",
    )
    add(
        "--priority",
        type=int,
        choices=range(10),
        default=wire.PRIORITY,
        metavar="0-9",
        help="priority among your own tasks, higher first (default: 5)",
    )
    add("--name", default="", help="a name for task lists")
    add(
        "--retries",
        type=int,
        choices=range(11),
        default=0,
        metavar="n",
        help="how often to run a failing cell again (default: 0)",
    )
    add(
        "--notify",
        type=_paths,
        default=(),
        metavar="mail,https://…",
        help="report its end: `mail`, the operator's `webhook`, or a URL of yours",
    )


def add_machine(add: AddOption) -> None:
    add("--cpus", type=_cpus, default=0.0, metavar="n", help="processors that the cell needs")
    add(
        "--memory",
        type=_told(byte_count),
        default=0,
        metavar="16GB",
        help="memory that the cell needs",
    )
    add(
        "--gpu",
        nargs="?",
        const=wire.ANY_GPU,
        default="",
        metavar="TYPE",
        help="a GPU, of this type or of any",
    )
    add(
        "--machine",
        default="",
        metavar="CLASS",
        help="run on this class of machines (`%%mecapy machines` lists them)",
    )
    add(
        "--with",
        dest="packages",
        type=_told(requirements.split),
        default=(),
        metavar="meshio,gmsh==4.13",
        help="packages that the cell can import besides what the workers have",
    )
    more = "out of time, run again with more processors, twice as long, at most twice"
    add("--escalate", action="store_true", help=more)


def add_files(add: AddOption) -> None:
    add(
        "--files",
        type=_paths,
        default=(),
        metavar="mesh.msh,data/*.csv",
        help="files to send, by paths relative to the notebook's folder",
    )
    add(
        "--keep",
        type=_paths,
        default=(),
        metavar="out/*.vtk",
        help="files of the cell to bring home",
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
