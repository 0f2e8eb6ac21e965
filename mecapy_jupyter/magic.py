"""`%%mecapy` and `%mecapy`: read the line, hand over to `cells` or `commands`. Registered by
`%load_ext mecapy_jupyter`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mecapy_jupyter.cells.cell_errors import plain
from mecapy_jupyter.cells.discarded_interrupt import RaisedAgain
from mecapy_jupyter.cells.ipython_types import Shell
from mecapy_jupyter.cells.magic_options import parsed, parser, words
from mecapy_jupyter.cells.session import Session
from mecapy_jupyter.hooks.ipython import shows_itself
from mecapy_jupyter.shared import errors
from mecapy_jupyter.travel.environment import recorded_calls
from mecapy_jupyter.travel.environment.process_state import begin_environment
from mecapy_jupyter.travel.environment.user_modules import after_cell

if TYPE_CHECKING:
    from mecapy_jupyter.cells.prepared import Prepared
    from mecapy_jupyter.commands.magic_completion import Asked


class Magics:
    """The two magics of one shell."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def cell(self, line: str, body: str) -> None:
        """`%%mecapy [options]`"""
        with _sentences():
            options, shell = parsed(line), self._session.shell
            if options.help:
                print(parser().format_help())
                return
            if options.setup:
                from mecapy_jupyter.cells import setup

                setup.run(shell, body)
                return
            from mecapy_jupyter.cells.prepared import Prepared

            header = "" if options.every else f"%%mecapy {line}".rstrip()
            _run(self._session, Prepared(shell, options, header, body))

    def line(self, line: str) -> None:
        """`%mecapy [command]`"""
        from mecapy_jupyter.commands.line_magic import answer

        with _sentences():
            answer(self._session, words(line))


def _run(session: Session, prepared: Prepared) -> None:
    options = prepared.options
    if options.dry_run:
        from mecapy_jupyter.cells import dry_run

        print(dry_run.describe(prepared))
    elif options.bg:
        from mecapy_jupyter.cells import background

        background.start(session.client(), prepared)
    elif options.verify:
        from mecapy_jupyter.cells import verify

        verify.run(session.client(), prepared)
    else:
        from mecapy_jupyter.cells import cell

        cell.run(session.client(), prepared)


class _sentences:
    """Errors of ours are shown as one sentence, without the machinery that found them."""

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, errors.MecapyError) and not shows_itself(error):
            plain(error)


class _Explained:
    """One of the magics; its docstring, which `%%mecapy?` shows, lists the options."""

    def __init__(self, magics: Magics, kind: str) -> None:
        self._call: Callable[..., None] = getattr(magics, kind)
        self._kind = kind

    def __call__(self, *given: str) -> None:
        with RaisedAgain():
            self._call(*given)

    @property
    def __doc__(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        if self._kind == "cell":
            return parser().format_help()
        from mecapy_jupyter.commands.line_magic import HELP

        return HELP


def register(shell: Shell) -> None:
    begin_environment()
    recorded_calls.begin()
    after_cell()
    shell.events.register("post_run_cell", _after_cell)
    shell.input_transformers_cleanup.append(_with_a_body)
    magics = Magics(Session(shell))
    shell.set_hook("complete_command", _in_a_cell, str_key="%%mecapy")
    shell.set_hook("complete_command", _in_a_line, str_key="%mecapy")
    for kind in ("cell", "line"):
        shell.register_magic_function(_Explained(magics, kind), kind, "mecapy")


def _in_a_cell(shell: Shell, asked: Asked) -> list[str]:
    from mecapy_jupyter.commands import magic_completion

    return magic_completion.of_the_cell_magic(shell, asked)


def _in_a_line(shell: Shell, asked: Asked) -> list[str]:
    from mecapy_jupyter.commands import magic_completion

    return magic_completion.of_the_line_magic(shell, asked)


def _with_a_body(lines: list[str]) -> list[str]:
    """IPython calls no magic for a cell that is its line alone, as `%%mecapy --help` is."""
    return [*lines, "\n"] if len(lines) == 1 and lines[0].startswith("%%mecapy") else lines


def _after_cell(result: Any) -> None:
    after_cell(str(getattr(result.info, "raw_cell", "")))
