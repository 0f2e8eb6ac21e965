"""`%%mecapy` and `%mecapy`: read the line, hand over to `cells` or `commands`. Registered by
`%load_ext mecapy_jupyter`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mecapy_jupyter.cells.cell_errors import plain
from mecapy_jupyter.cells.ipython_types import Shell
from mecapy_jupyter.cells.magic_options import parser, words
from mecapy_jupyter.cells.session import Session
from mecapy_jupyter.hooks.ipython import shows_itself
from mecapy_jupyter.shared import errors
from mecapy_jupyter.travel.environment import recorded_calls
from mecapy_jupyter.travel.environment.process_state import begin_environment
from mecapy_jupyter.travel.environment.user_modules import after_cell

if TYPE_CHECKING:
    from mecapy_jupyter.cells.prepared import CellOptions, Prepared
    from mecapy_jupyter.commands.magic_completion import Asked


class Magics:
    """The two magics of one shell."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def cell(self, line: str, body: str) -> None:
        """`%%mecapy [options]`"""
        with _sentences():
            given = parser().parse_args(words(line))
            if given.help:
                print(parser().format_help())
                return
            options, shell = _options(given), self._session.shell
            if given.setup:
                from mecapy_jupyter.cells import setup

                setup.run(shell, body)
                return
            from mecapy_jupyter.cells.prepared import Prepared

            header = "" if given.every else f"%%mecapy {line}".rstrip()
            _run(self._session, given, Prepared(shell, options, header, body))

    def line(self, line: str) -> None:
        """`%mecapy [command]`"""
        from mecapy_jupyter.commands.line_magic import answer

        with _sentences():
            answer(self._session, words(line))


def _options(given: argparse.Namespace) -> CellOptions:
    if given.job and not given.bg:
        raise errors.ConfigError(
            f"`--as {given.job}` names the Future of a cell in the background; write `--bg "
            f"--as {given.job}`"
        )
    from mecapy_jupyter.cells.prepared import CellOptions
    from mecapy_jupyter.client.resources import asked

    shown_after_s = 0.0 if given.every else 2.0
    return CellOptions(
        inputs=given.inputs,
        outputs=given.outputs,
        job_name=given.job or "",
        timeout_s=given.timeout,
        priority=given.priority,
        name=given.name,
        retries=given.retries,
        escalate=given.escalate,
        notify=given.notify,
        dry_run=given.dry_run,
        quiet=given.quiet,
        progress_after_s=shown_after_s if given.progress_after is None else given.progress_after,
        files=given.files,
        keep=given.keep,
        folder=given.folder,
        cache=given.cache,
        resources=asked(given.cpus, given.memory, given.gpu, given.machine),
        packages=given.packages,
    )


def _run(session: Session, given: argparse.Namespace, prepared: Prepared) -> None:
    if given.dry_run:
        from mecapy_jupyter.cells import dry_run

        print(dry_run.describe(prepared))
    elif given.bg:
        from mecapy_jupyter.cells import background

        background.start(session.client(), prepared)
    elif given.verify:
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
