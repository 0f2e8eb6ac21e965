"""How long a cell took the last times, and which of its tasks may still run: a few bytes a cell, in
the user's own state directory.

One small file a cell, named by the cell's key, so that notebooks at work at the same time do not
disturb each other; nothing in it but durations, task ids and who submitted them. A directory that
cannot be written costs the history, never the cell.
"""

from __future__ import annotations

import contextlib
import hashlib
import statistics
from collections.abc import Sequence
from pathlib import Path

import platformdirs

from mecapy_jupyter.shared.units import clock

LAST = 5
_MOST_LINES, _MOST_CELLS = 40, 2000


def key_of(source: str, place: str = "") -> str:
    """The name of a cell in its history: by its text, whatever white space ends its lines. `place`:
    tells equal cells apart.
    """
    lines = "\n".join(line.rstrip() for line in source.strip().splitlines())
    return hashlib.sha256(f"{place}\0{lines}".encode()).hexdigest()[:24]


def record(key: str, seconds: float) -> None:
    """The cell ran to its end in `seconds`."""
    _add(_folder("seconds") / key, f"{seconds:.3f}")


def runs(key: str) -> list[float]:
    """Seconds of the last runs, the latest last; at most five."""
    with contextlib.suppress(OSError, ValueError):
        return [
            float(line)
            for line in (_folder("seconds") / key).read_text("ascii").splitlines()[-LAST:]
        ]
    return []


def expected_s(key: str) -> float | None:
    """How long this cell will take, by its last runs; None when it never ran."""
    seconds = runs(key)
    return statistics.median(seconds) if seconds else None


def said(seconds: Sequence[float]) -> str:
    """`last 5 runs 3:40 ± 0:20`; short ones as `0.4 s`; empty when there were none."""
    if not seconds:
        return ""
    mean, spread = statistics.mean(seconds), statistics.pstdev(seconds)
    short = mean < 10
    middle, around = (
        (f"{mean:.1f} s", f"{spread:.1f} s")
        if short
        else (clock(round(mean)), clock(round(spread)))
    )
    count = f"last {len(seconds)} runs" if len(seconds) > 1 else "last run"
    return f"{count} {middle}" + (f" ± {around}" if len(seconds) > 1 else "")


def submitted(key: str, task_id: str, by: str = "") -> None:
    """A task of this cell begins to live, or another kernel takes it up. The latest is the one that
    counts. `by`: in one line.
    """
    _add(_folder("tasks") / key, f"{task_id} {by}".rstrip())


def ended(key: str, task_id: str) -> None:
    """It is over."""
    if last_task(key) == task_id:
        _add(_folder("tasks") / key, "")


def last_task(key: str) -> str:
    """The cell's task that nobody here has seen end; empty when there is none."""
    return _last(key).partition(" ")[0]


def submitter(key: str, task_id: str) -> str:
    """What `submitted` was told of who did; empty when nothing was."""
    last, _, by = _last(key).partition(" ")
    return by if last == task_id else ""


def _last(key: str) -> str:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return (_folder("tasks") / key).read_text("ascii").splitlines()[-1]
    return ""


def _folder(kind: str) -> Path:
    return platformdirs.user_state_path("mecapy") / kind


def _add(path: Path, line: str) -> None:
    """At the end of its file: the file system makes and removes files ten times as slowly as it
    adds to them.
    """
    with contextlib.suppress(OSError):
        _make_room(path)
        with path.open("a", encoding="ascii") as file:
            file.write(f"{line}\n")


def _make_room(path: Path) -> None:
    """Keep a file short; before a new one, drop the oldest where there are very many."""
    if path.exists():
        lines = path.read_text("ascii").splitlines()
        if len(lines) > _MOST_LINES:
            path.write_text("".join(f"{line}\n" for line in lines[-LAST:]), "ascii")
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    cells = list(path.parent.iterdir())
    if len(cells) > _MOST_CELLS:
        for cell in sorted(cells, key=lambda cell: cell.stat().st_mtime)[: -_MOST_CELLS // 2]:
            cell.unlink(missing_ok=True)
