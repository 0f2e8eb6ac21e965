"""Paths of the task's folder in a result: at home they lead into the notebook's folder, as if the
cell had run there. Part of `pickler`.
"""

from __future__ import annotations

import os
import sys
from typing import Any, cast


class FolderPaths:
    """Finds them in one result. Without a `folder` it looks at nothing (`kinds` is empty)."""

    def __init__(self, folder: str = "") -> None:
        self._folder = folder
        pathlib: Any = sys.modules.get("pathlib")
        paths = (pathlib.PosixPath, pathlib.PurePosixPath) if pathlib else ()
        self.kinds: frozenset[type[Any]] = frozenset((str, *paths) if folder else ())
        self._found: dict[int, tuple[Any, InFolder]] = {}

    def of(self, obj: Any) -> InFolder | None:
        """What stands for a text or a path; None if it does not name the folder."""
        if id(obj) in self._found:
            return self._found[id(obj)][1]
        if self._folder not in (text := str(obj)):
            return None
        there = InFolder(cast("type[Any]", type(obj)), tuple(text.split(self._folder)))
        self._found[id(obj)] = obj, there
        return there


class InFolder:
    """A text or path that names the folder between these pieces."""

    _made: Any = None

    def __init__(self, kind: type[Any], pieces: tuple[str, ...]) -> None:
        self._kind, self._pieces = kind, pieces

    def __reduce__(self) -> tuple[type[InFolder], tuple[type[Any], tuple[str, ...]]]:
        return InFolder, (self._kind, self._pieces)

    def here(self) -> Any:
        """The same object each time."""
        if self._made is None:
            folder = os.getcwd()  # noqa: PTH109 what every child loads costs it pages
            self._made = self._kind(folder.join(self._pieces))
        return self._made
