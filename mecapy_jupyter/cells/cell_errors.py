"""Shows errors with the cell's own lines, without MecaPy's frames."""

from __future__ import annotations

import linecache
from typing import NoReturn

from mecapy_jupyter.cells.ipython_types import Shell
from mecapy_jupyter.hooks import ipython
from mecapy_jupyter.travel.pickling import tracebacks


def plain(exception: BaseException) -> BaseException:
    """Makes IPython show an error of MecaPy as one sentence."""
    return ipython.show_as(exception, [f"{type(exception).__name__}: {exception}"])


class CellSource:
    """This cell as IPython knows it.

    Its code has the file name and lines that it would have without `%%mecapy`. Errors that are
    raised here before it is sent count from that line, as the page does.
    """

    def __init__(self, shell: Shell, header: str, body: str, number: int) -> None:
        self.header, self.body, self.number, self._shell = header, body, number, shell
        self.text = f"{header}\n{body}" if header else body
        self._above = 1 if header else 0
        alone = body.removesuffix("\n")  # IPython adds it, and names files by their text
        self.filename: str = shell.compile.cache(alone, number, raw_code=alone)
        self._shown: str = shell.compile.cache(self.text, number, raw_code=self.text)

    def rename(self, filename: str) -> str:
        """The worker's name for a part of this cell that a magic ran → the kernel's name. Other
        files keep theirs, such as a terminal's cells, which all have one name.
        """
        if filename.startswith("<ipython-input-") and filename not in linecache.cache:
            return self.filename
        return filename

    def syntax_error(self, error: SyntaxError) -> NoReturn:
        """Raise it as if the cell had run here. `error` was found in the body."""
        lineno = (error.lineno or 1) + self._above
        end = error.end_lineno + self._above if error.end_lineno else error.end_lineno
        moved = type(error)(
            error.msg,
            (self._shown, lineno, error.offset, self._line(lineno), end, error.end_offset),
        )
        ipython.show_syntax_error_without_stack(self._shell)
        raise moved from None

    def name_error(self, name: str, line: int) -> NoReturn:
        """Raise the NameError that body line `line` would raise."""
        error = NameError(f"name {name!r} is not defined", name=name)
        self.raise_at(error, line + self._above)

    def raise_at(self, error: BaseException, lineno: int) -> NoReturn:
        """Raise `error` as if line `lineno` of this cell had raised it."""
        raise self.at(error, lineno) from None

    def at(self, error: BaseException, lineno: int) -> BaseException:
        """`error`, shown as if line `lineno` of this cell had raised it."""
        error = error.with_traceback(tracebacks.at(self._shown, lineno))
        return ipython.show_as(
            error,
            self._shell.InteractiveTB.structured_traceback(
                type(error), error, error.__traceback__, tb_offset=0
            ),
        )

    def _line(self, lineno: int) -> str:
        lines = self.text.splitlines()
        return lines[lineno - 1] + "\n" if lineno <= len(lines) else ""
