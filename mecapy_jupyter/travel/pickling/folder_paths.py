"""Paths of the task's folder in a result: at home they lead into the notebook's folder, as if the
cell had run there. Part of `pickler`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from typing import Any, cast


class FolderPaths:
    """Finds them in one result. Without a `folder` it looks at nothing (`kinds` is empty)."""

    def __init__(self, folder: str = "") -> None:
        self._folder = folder
        pathlib: Any = sys.modules.get("pathlib")
        paths = (pathlib.PosixPath, pathlib.PurePosixPath) if pathlib else ()
        self.kinds: frozenset[type[Any]] = frozenset((str, bytes, *paths) if folder else ())
        self._more = _loaded(_MORE) if folder else ()
        self._found: dict[int, tuple[Any, InFolder]] = {}

    def of(self, obj: Any) -> InFolder | None:
        """What stands for a text or a path; None if it does not name the folder, as bytes other
        than text never do.
        """
        if id(obj) in self._found:
            return self._found[id(obj)][1]
        if type(obj) is bytes and os.fsencode(self._folder) not in obj:
            return None
        if self._folder not in (text := _text_of(obj)):
            return None
        there = InFolder(cast("type[Any]", type(obj)), tuple(text.split(self._folder)))
        self._found[id(obj)] = obj, there
        return there

    def reduced(self, obj: Any) -> Any:
        """How to pickle a user-defined path, an array or a column of texts; None for anything else,
        and for one that does not name the folder.
        """
        if not isinstance(obj, self._more):
            return None
        if hasattr(obj, "parts"):
            pieces = tuple(str(obj).split(self._folder))
            return (_path_here, (type(obj), pieces)) if len(pieces) > 1 else None
        if (marked := _replaced(obj, self._folder, _MARK)) is None:
            return None
        return _with_folder, (marked,)


def _text_of(obj: Any) -> str:
    if type(obj) is not bytes:
        return str(obj)
    try:
        return "" if b"\0" in obj else obj.decode()
    except UnicodeDecodeError:
        return ""


_MARK = "\ufdd0folder\ufdd0"
"""Stands for the folder in an array or a column. Unicode keeps these characters free."""
_MORE = ("pathlib", "PurePath"), ("numpy", "ndarray"), ("numpy", "str_"), ("pyarrow", "Array")
_OF_ARROW = ("string", "large_string")


def _loaded(names: Iterable[tuple[str, str]]) -> tuple[type[Any], ...]:
    """Those of these types whose modules are loaded."""
    found = ((sys.modules.get(module), name) for module, name in names)
    return tuple(getattr(module, name) for module, name in found if hasattr(module, name))


def _path_here(kind: type[Any], pieces: tuple[str, ...]) -> Any:
    return kind(_here().join(pieces))


def _with_folder(marked: Any) -> Any:
    return _replaced(marked, _MARK, _here())


def _replaced(obj: Any, old: str, new: str) -> Any:
    """An array or a column of texts with another text in place of `old`; None if none has it."""
    if not hasattr(obj, "dtype"):
        found = str(obj.type) in _OF_ARROW and _compute().match_substring(obj, old)
        is_there = found and _compute().any(found).as_py()
        return _compute().replace_substring(obj, old, new) if is_there else None
    if obj.dtype.kind != "U" or not (_texts().find(obj, old) >= 0).any():
        return None
    texts: Any = sys.modules["numpy"].str_  # numpy cuts Python's to the array's length
    replaced = _texts().replace(obj, texts(old), texts(new))
    return replaced if isinstance(obj, type(replaced)) else type(obj)(replaced)


def _texts() -> Any:
    return cast(Any, sys.modules["numpy"]).char


def _compute() -> Any:
    return importlib.import_module("pyarrow.compute")


def _here() -> str:
    return os.getcwd()  # noqa: PTH109 what every child loads costs it pages


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
            text = _here().join(self._pieces)
            self._made = text.encode() if self._kind is bytes else self._kind(text)
        return self._made
