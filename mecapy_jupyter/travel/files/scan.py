"""Lists the notebook's folder and decides what may travel automatically. Runs in the kernel before
each cell, so it reads names and times only, and as few as possible.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from mecapy_jupyter.travel.files import gitignore, never_sent
from mecapy_jupyter.travel.files.gitignore import Rules

HIDDEN, NOTEBOOK, ENVIRONMENT = "hidden", "a notebook", "an environment"
IGNORED, SECRET = "ignored by .gitignore", "may hold a secret"
MANY, OTHER = "too many files", "no plain file"
SAID = frozenset({IGNORED, SECRET, MANY, OTHER})
"""Reasons that matter to a cell that lists a folder."""

_ENVIRONMENTS = frozenset({"__pycache__", "node_modules", "site-packages"})
_MARKS = ("pyvenv.cfg", "conda-meta")
"""Files that only an environment's folder has."""


@dataclass(frozen=True, slots=True)
class Found:
    """One file: its path relative to the folder, and its version."""

    path: str
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    executable: bool


@dataclass(slots=True)
class Scan:
    """`left`: what stays here, path → reason; `links`: links inside the folder."""

    files: list[Found] = field(default_factory=list[Found])
    folders: list[str] = field(default_factory=list[str])
    links: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    left: dict[str, str] = field(default_factory=dict[str, str])


def scan(folder: Path, most_files: int) -> Scan:
    """The folder, nearer files first. Nothing if it is not a project's folder."""
    found = Scan()
    if never_sent.folder(folder):
        return found
    rules = gitignore.above(folder)
    if rules.specs and gitignore.ignored(folder, rules):
        found.left["."] = IGNORED
        return found
    todo = deque([("", rules)])
    while todo:
        below, rules = todo.popleft()
        if len(found.files) >= most_files:
            found.left[below.rstrip("/")] = MANY
            continue
        todo.extend(_look_into(folder, below, rules, found, most_files))
    return found


def _look_into(
    folder: Path, below: str, rules: Rules, found: Scan, most_files: int
) -> Iterator[tuple[str, Rules]]:
    """Sort the entries of one folder. Returns the folders to enter next."""
    place = f"{folder}/{below}".rstrip("/")
    try:
        with os.scandir(place) as entries:
            listed = sorted(islice(entries, 4 * most_files), key=lambda entry: entry.name)
            more = next(entries, None) is not None
    except OSError:
        found.left[below.rstrip("/") or "."] = OTHER
        return
    names = frozenset(entry.name for entry in listed)
    if below and not names.isdisjoint(_MARKS):
        found.left[below.rstrip("/")] = ENVIRONMENT
        return
    if below:
        found.folders.append(below.rstrip("/"))
    if more:
        found.left[f"{below}…"] = MANY
    rules = rules.within(place, names)
    for entry in listed:
        path = below + entry.name
        if why := _stays(entry, rules):
            found.left[path] = why
        elif entry.is_symlink():
            _link(folder, path, found)
        elif entry.is_dir(follow_symlinks=False):
            yield f"{path}/", rules
        elif len(found.files) >= most_files:
            found.left[path] = MANY
        else:
            _file(entry, path, found)


def _stays(entry: os.DirEntry[str], rules: Rules) -> str:
    """Why an entry stays here, by its name; empty if it may travel."""
    name = entry.name
    if never_sent.by_name(name):
        return SECRET
    if name.startswith("."):
        return HIDDEN
    if name.endswith(".ipynb"):
        return NOTEBOOK
    is_folder = entry.is_dir(follow_symlinks=False)
    if is_folder and name in _ENVIRONMENTS:
        return ENVIRONMENT
    if rules.specs and rules.ignore(entry.path.replace(os.sep, "/"), is_folder):
        return IGNORED
    return ""


def _file(entry: os.DirEntry[str], path: str, found: Scan) -> None:
    try:
        about = entry.stat(follow_symlinks=False)
    except OSError:  # deleted meanwhile
        return
    if not stat.S_ISREG(about.st_mode) or not os.access(entry.path, os.R_OK):
        found.left[path] = OTHER
        return
    found.files.append(seen(path, about))


def seen(path: str, about: os.stat_result) -> Found:
    executable = bool(about.st_mode & stat.S_IXUSR)
    return Found(
        path, about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino, executable
    )


def _link(folder: Path, path: str, found: Scan) -> None:
    """A link travels as a link, so its target travels only by its own name. A link out of the
    folder stays.
    """
    try:
        target = os.readlink(folder / path)  # noqa: PTH115 a Path would lose a trailing slash
        real = (folder / path).resolve()
    except OSError:
        found.left[path] = OTHER
        return
    if os.path.isabs(target) or not real.is_relative_to(folder.resolve()):  # noqa: PTH117
        found.left[path] = OTHER
    else:
        found.links.append((path, target))
