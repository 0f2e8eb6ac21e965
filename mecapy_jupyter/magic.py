"""`%%mecapy` and `%mecapy`: read the line, hand over to `cell` or `commands`. Registered by
`%load_ext mecapy_jupyter`.
"""

from __future__ import annotations

import argparse
import functools
import keyword
import re
import shlex
from typing import TYPE_CHECKING, Any, NoReturn

from mecapy_jupyter import wire
from mecapy_jupyter.cells.cell_errors import plain
from mecapy_jupyter.cells.every_cell import EveryCell
from mecapy_jupyter.cells.ipython_types import Shell
from mecapy_jupyter.shared import errors
from mecapy_jupyter.travel.environment import recorded_calls
from mecapy_jupyter.travel.environment.process_state import begin_environment
from mecapy_jupyter.travel.environment.user_modules import after_cell

if TYPE_CHECKING:
    from mecapy_jupyter.client.client import Client

_UNITS = {"": 1.0, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BEFORE_COMMENT = re.compile(r"""(?:'[^']*'|"[^"]*"|(?<=\S)\#|[^'"\#])*""")


class _Parser(argparse.ArgumentParser):
    """argparse that raises where it would exit."""

    def error(self, message: str) -> NoReturn:
        raise errors.ConfigError(f"{message}. `%%mecapy --help` lists what the line may say.")


def duration(text: str) -> float:
    """`90`, `90s`, `15min`, `2h`, `1d` → seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip())
    if match is None or match[2] not in _UNITS or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 90, 90s, 15min or 2h")
    return float(match[1]) * _UNITS[match[2]]


def words(line: str) -> list[str]:
    """A magic's line as a shell would take it apart, without its comment."""
    before = _BEFORE_COMMENT.match(line)
    line = before[0] if before and line.startswith("#", before.end()) else line
    try:
        return shlex.split(line)
    except ValueError as trouble:  # a quote without its other
        raise errors.ConfigError(
            f"{line!r}: {str(trouble).lower()}; close the quote, or leave it out"
        ) from None


def _job_name(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a variable")
    return text


def _paths(text: str) -> tuple[str, ...]:
    """Cut at commas alone: quotes are read by now, and a file's name may hold blanks."""
    return tuple(path for part in text.split(",") if (path := part.strip()))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in re.split(r"[,\s]+", text) if name and name != "none")


@functools.cache  # making it anew took longer than capturing a cell
def _parser() -> _Parser:
    parser = _Parser(
        prog="%%mecapy",
        add_help=False,
        allow_abbrev=False,
        description="Run this cell on a worker.",
    )
    add = parser.add_argument
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
        help="return at once; the cell's Future is in the variable --as names",
    )
    add(
        "--as",
        dest="job",
        type=_job_name,
        metavar="job",
        help="the variable for the Future of --bg",
    )
    add(
        "--timeout",
        type=duration,
        default=wire.TIMEOUT_S,
        metavar="2h",
        help="stop the cell after this time of running (300 s)",
    )
    add(
        "--priority",
        type=int,
        choices=range(10),
        default=wire.PRIORITY,
        metavar="0-9",
        help="among your own tasks, higher first (5)",
    )
    add("--name", default="", help="a name for task lists")
    add(
        "--retries",
        type=int,
        choices=range(11),
        default=0,
        metavar="n",
        help="try a failing cell again so many times (0)",
    )
    add(
        "--files",
        type=_paths,
        default=(),
        metavar="mesh.msh,data/*.csv",
        help="files that go along, by their paths from here",
    )
    add(
        "--keep",
        type=_paths,
        default=(),
        metavar="out/*.vtk",
        help="files the cell writes that come home into this folder",
    )
    add("--verify", action="store_true", help="run it here too, and say where the two differ")
    add("--setup", action="store_true", help="run it here, and first in every later task")
    add("--dry-run", action="store_true", help="send nothing; say what would travel")
    add("--quiet", action="store_true", help="no live block; only a progress bar of the cell's own")
    add(
        "--progress-after",
        type=float,
        metavar="s",
        help="show the live block after so many seconds (2)",
    )
    add(
        "--every", action="store_true", help=argparse.SUPPRESS
    )  # put there by `%mecapy on`: this line is not the user's
    return parser


class Magics:
    """The magics of one shell, and its connection to the pool, made when first needed."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._client: Client | None = None
        self.every: EveryCell | None = None

    def client(self) -> Client:
        """Made anew after a change of configuration or of the embedded stack's address."""
        from mecapy_jupyter.client import config
        from mecapy_jupyter.client.client import Client

        endpoint = config.resolve(say=print)
        if self._client is None or self._client.endpoint != endpoint:
            self._client = Client(endpoint=endpoint)
        return self._client

    def cell(self, line: str, body: str) -> None:
        """`%%mecapy [options]`"""
        with _sentences():
            self._cell(line, body)

    def _cell(self, line: str, body: str) -> None:
        given = _parser().parse_args(words(line))
        if given.help:
            print(_parser().format_help())
            return
        if given.job and not given.bg:
            raise errors.ConfigError(
                f"`--as {given.job}` names the Future of a cell in the background; write `--bg "
                f"--as {given.job}`"
            )
        if given.setup:
            from mecapy_jupyter.cells import setup

            setup.run(self._shell, body)
            return
        from mecapy_jupyter.cells import cell
        from mecapy_jupyter.cells.prepared import Options, Prepared

        options = Options(
            inputs=given.inputs,
            outputs=given.outputs,
            job_name=given.job or "",
            timeout_s=given.timeout,
            priority=given.priority,
            name=given.name,
            retries=given.retries,
            dry_run=given.dry_run,
            quiet=given.quiet,
            progress_after_s=(0.0 if given.every else 2.0)
            if given.progress_after is None
            else given.progress_after,
            files=given.files,
            keep=given.keep,
        )
        prepared = Prepared(
            self._shell, options, "" if given.every else f"%%mecapy {line}".rstrip(), body
        )
        if given.dry_run:
            from mecapy_jupyter.cells import dry_run

            print(dry_run.describe(prepared))
        elif given.bg:
            from mecapy_jupyter.cells import background

            background.start(self.client(), prepared)
        elif given.verify:
            from mecapy_jupyter.cells import verify

            verify.run(self.client(), prepared)
        else:
            cell.run(self.client(), prepared)

    def every_cell(self, line: str | None) -> None:
        """`%mecapy on [options]`; None: off."""
        if line is not None:
            _parser().parse_args(words(line))
        if self.every is not None:
            self.every.off()
        self.every = EveryCell(self._shell, line) if line is not None else None

    def line(self, line: str) -> Any:
        """`%mecapy [command]`"""
        from mecapy_jupyter.commands.line_magic import answer

        with _sentences():
            return answer(self, self._shell, words(line))


class _sentences:
    """Errors of ours are shown as one sentence, without the machinery that found them."""

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, errors.MecapyError) and not hasattr(error, "_render_traceback_"):
            plain(error)


def register(shell: Shell) -> None:
    begin_environment()
    recorded_calls.begin()
    after_cell()
    shell.events.register("post_run_cell", _after_cell)
    magics = Magics(shell)
    shell.register_magic_function(magics.cell, "cell", "mecapy")
    shell.register_magic_function(magics.line, "line", "mecapy")


def _after_cell(_: object) -> None:
    after_cell()
