"""The notebook's folder of one cell: how much may travel, and the remarks about it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from mecapy_jupyter.client import config
from mecapy_jupyter.shared import errors, units
from mecapy_jupyter.travel.files import gather, missing, never_sent
from mecapy_jupyter.travel.files.gather import Along, Bounds
from mecapy_jupyter.travel.files.index import MOST_BYTES
from mecapy_jupyter.travel.files.scan import ENVIRONMENT, HIDDEN, NOTEBOOK
from mecapy_jupyter.wire import InstalledPackages

_told: dict[str, set[str]] = {}
"""For each folder, the files that were already reported when a cell listed it."""

_introduced: set[str] = set()
"""The folders that were reported in this kernel."""


def along(
    patterns: tuple[str, ...],
    code: str,
    there: InstalledPackages,
    wanted: bool,
    holds_secret: Callable[[bytes], bool] | None = None,
) -> Along:
    """The files that travel with a cell. Raises ConfigError for a `--files` without a match."""
    try:
        folder = Path.cwd()
    except OSError:  # it was deleted
        return Along()
    named = partial(_names, code)
    return gather.gather(folder, patterns, bounds(there, wanted), named, holds_secret)


def bounds(there: InstalledPackages, wanted: bool) -> Bounds:
    """The smaller of this kernel's and the operators' bounds. If operators made the folder
    optional, a user may still enable it: `%mecapy config folder=on`.
    """
    choice = config.read().get("folder", "")
    if not wanted or choice == "off":
        return Bounds(automatic=False)
    theirs = there.folder_bytes or (MOST_BYTES if choice == "on" else 0)
    most_bytes = min(_setting("MECAPY_FOLDER_BYTES", theirs), theirs)
    most_files = min(_setting("MECAPY_FOLDER_FILES", there.folder_files), there.folder_files)
    return Bounds(most_bytes, most_files, bool(most_bytes and most_files))


def _setting(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    if not value:
        return default
    if not value.isdigit():
        raise errors.ConfigError(f"{name}={value!r} is not a number; write it without a unit")
    return int(value)


def _names(code: str, path: str) -> bool:
    return path.rpartition("/")[2] in code


def said_before(
    sent: Along, code: str, values: Mapping[str, object]
) -> tuple[list[str], frozenset[str]]:
    """Remarks before the cell runs, with the paths that they name: files that the cell names and
    that stay here; for a folder's first cell, how much of it travels.
    """
    folder = Path(sent.index.home)
    sentences = list(_introduction(sent, folder)) if sent.index.automatic else []
    named = missing.named_in(code, sent.left, sent.too_large, sent.index.paths)
    sentences += missing.own_paths(values, folder)
    return sentences + missing.named_sentences(named, folder), frozenset(named)


def said_after(sent: Along, looked: Iterable[str], named: frozenset[str]) -> list[str]:
    """Remarks on files that the cell looked for and that stayed here, once per folder."""
    folder = Path(sent.index.home)
    before = _told.setdefault(str(folder), set())
    reported = before | named
    looked = tuple(looked)
    sentences = missing.looked_for(looked, sent.left, folder, reported)
    sentences += missing.looked_for_outside(looked, folder, sent.index.paths)
    before |= reported - named
    return sentences


def _introduction(sent: Along, folder: Path) -> Iterator[str]:
    count, size_bytes = sent.by_itself
    what = never_sent.folder(folder)
    if str(folder) in _introduced or not (count or sent.too_large or what):
        return
    _introduced.add(str(folder))
    if what:
        yield (
            f"this notebook is in {what}, so each of its files stays here; "
            "`--files` sends what a cell reads"
        )
        return
    files = "1 file" if count == 1 else f"{count:,} files"
    yield (
        f"{files} ({units.size(size_bytes)}) of the notebook's folder {folder.name} "
        f"go along with its cells{_but(sent)}; `--no-folder` turns this off"
    )


def _but(sent: Along) -> str:
    left = [path for path, why in sent.left.items() if why not in (HIDDEN, NOTEBOOK, ENVIRONMENT)]
    large = [f"{units.listed(sent.too_large, 3)} with their size alone"] if sent.too_large else []
    stay = [f"not {units.listed(left, 3)}"] if left else []
    return "".join(f", {one}" for one in large + stay)


def listed(sent: Along) -> Iterator[str]:
    """The lines of `--dry-run`."""
    index = sent.index
    if index.start != ".":
        yield f"  begins in the task's folder {index.start}"
    names = [
        f"{index.below_start(entry.path) or f'../{entry.path}'} ({units.size(entry.size_bytes)})"
        for entry in index.entries
        if entry.path not in sent.too_large and entry.pack >= 0
    ]
    if names:
        yield f"  files: {', '.join(names)}"
    if sent.too_large:
        yield f"  with their size alone: {', '.join(sent.too_large)}"
    reasons = dict.fromkeys(sent.left.values())
    for reason in reasons:
        paths = [path for path, why in sent.left.items() if why == reason]
        yield f"  stays here ({reason}): {units.listed(paths, 20)}"
