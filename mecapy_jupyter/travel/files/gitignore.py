"""Which files git would ignore, by the `.gitignore` of each folder from the repository's top down,
and the repository's `info/exclude`. The deepest match counts.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

Matches = Callable[[str], bool | None]
"""Whether a file's rules ignore this path, relative to it; None: they do not say."""

_REMEMBERED = 1 << 14
_read: dict[str, tuple[tuple[int, int, int], Matches]] = {}


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for one folder, each with its place, the deepest first."""

    specs: tuple[tuple[str, Matches], ...] = ()

    def within(self, folder: str, names: frozenset[str] | None = None) -> Rules:
        """Adds the folder's own `.gitignore`. `names`: the folder's entries, if known."""
        if names is not None and ".gitignore" not in names:
            return self
        spec = _spec(f"{folder}/.gitignore")
        return self if spec is None else Rules(((folder, spec), *self.specs))

    def ignore(self, path: str, is_folder: bool) -> bool:
        """`path`: absolute, with slashes."""
        for folder, matches in self.specs:
            found = matches(path[len(folder.rstrip("/")) + 1 :] + "/" * is_folder)
            if found is not None:
                return found
        return False


def above(folder: Path) -> Rules:
    """The rules of a folder's repository, without its own."""
    places = [str(folder), *map(str, folder.parents)]
    tops = [place for place in places if os.path.exists(f"{place}/.git")]  # noqa: PTH110 often
    if not tops:
        return Rules()
    place = tops[0]
    exclude = _spec(f"{place}/.git/info/exclude")
    rules = Rules(() if exclude is None else ((place, exclude),))
    for parent in reversed(places[1 : places.index(place) + 1]):
        rules = rules.within(parent)
    return rules


def ignored(folder: Path, rules: Rules) -> bool:
    """Whether the folder itself, or one above it, is ignored."""
    return any(
        rules.ignore(str(place), is_folder=True)
        for place in (folder, *folder.parents)
        if any(str(place).startswith(f"{top}/") for top, _ in rules.specs)
    )


def _spec(file: str) -> Matches | None:
    """A file's rules, read again when it has changed."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        about = Path(file).stat()
        mark = about.st_mtime_ns, about.st_size, about.st_ino
        known = _read.get(file)
        if known is None or known[0] != mark:
            from pathspec import GitIgnoreSpec  # most folders have none: saves 70 ms

            lines = Path(file).read_text(encoding="utf-8").splitlines()
            known = _read[file] = mark, _remembering(GitIgnoreSpec.from_lines(lines))
        return known[1]
    return None


def _remembering(spec: GitIgnoreSpec) -> Matches:
    """Each cell asks for the same paths again."""

    def matches(path: str) -> bool | None:
        return spec.check_file(path).include

    return lru_cache(_REMEMBERED)(matches)
