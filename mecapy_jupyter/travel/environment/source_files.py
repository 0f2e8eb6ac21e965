"""The files of the user's modules as they lie in the task's folder. A cell may write one anew and
import it, or reload it.
"""

from __future__ import annotations

import importlib.util
import linecache
import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from mecapy_jupyter.travel.environment import module_text
from mecapy_jupyter.travel.files import placeholders


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """One module as text. `filename`: its file in the notebook's machine, for tracebacks. `beside`:
    its path from the notebook's folder, or empty if it is elsewhere. `is_loaded`: in the notebook.
    """

    name: str
    is_package: bool
    source: str
    filename: str
    beside: str = ""
    is_loaded: bool = False


Mark = tuple[int, int] | None
"""Of a file: its size and the time of its change; None: there is none."""


def mark(path: str) -> Mark:
    with suppress(OSError):
        about = os.stat(path)  # noqa: PTH116 for each module of a package
        return about.st_size, about.st_mtime_ns
    return None


def read_again(source: ModuleSource, path: str) -> ModuleSource:
    """With the text that its file has now; as it is if that cannot be read."""
    with suppress(OSError, SyntaxError, UnicodeDecodeError):
        if not placeholders.untouched(path):
            text = importlib.util.decode_source(Path(path).read_bytes())
            return replace(source, source=text)
    return source


def show_lines(source: ModuleSource) -> None:
    """In tracebacks. Without a time of change, it is never looked for on disk."""
    lines = source.source.splitlines(keepends=True)
    linecache.cache[source.filename] = len(source.source), None, lines, source.filename


def takes_from(source: ModuleSource, modules: Collection[str]) -> bool:
    """Whether its text imports names of one of these."""
    if not modules:
        return False
    imports, _ = module_text.read(source.source, source.name, source.is_package)
    return any(one.rpartition(".")[0] in modules for one, _ in imports)


def is_this_place(source: ModuleSource, here: str, fresh: object, value: str | PurePath) -> bool:
    """Whether it is a path that the module makes from its own (`Path(__file__).parent`): here the
    import has made it of the file's place `here`, as `fresh`.
    """
    home = source.filename.removesuffix(source.beside).rstrip("/\\")
    top = here.removesuffix(source.beside).rstrip("/\\")
    at_home, rest = str(value).startswith(home), str(value).removeprefix(home)
    return at_home and type(fresh) is type(value) and str(fresh) == top + rest
