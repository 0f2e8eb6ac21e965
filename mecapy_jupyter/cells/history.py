"""How long a cell took, and which of its tasks may still run, in the user's state directory.

One small file per cell, named by the cell's key, so that notebooks do not disturb each other. It
holds only durations, task ids and marks of submitters. If it cannot be written, only the history is
lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import statistics
from collections.abc import Sequence
from pathlib import Path

from mecapy_jupyter.shared import own_json as json
from mecapy_jupyter.shared.units import clock
from mecapy_jupyter.shared.user_folders import user_folders

LAST = 5
_MOST_LINES, _MOST_CELLS = 40, 2000


def key_of(source: str, place: str = "") -> str:
    """The name of a cell in its history: its text without trailing white space. `place`: separates
    equal cells.
    """
    lines = "\n".join(line.rstrip() for line in source.strip().splitlines())
    return hashlib.sha256(f"{place}\0{lines}".encode()).hexdigest()[:24]


def record(key: str, seconds: float) -> None:
    """The cell ran to its end in `seconds`."""
    _add(_folder("seconds") / key, f"{seconds:.3f}")


def runs(key: str) -> list[float]:
    """Seconds of the last runs (at most five), the latest last."""
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
    """A task of this cell starts, or another kernel attaches to it. The latest one counts. `by`: in
    one line.
    """
    _add(_folder("tasks") / key, f"{task_id} {by}".rstrip())


def ended(key: str, task_id: str) -> None:
    """The task has ended."""
    if last_task(key) == task_id:
        _add(_folder("tasks") / key, "")


def stands_in(task_id: str, cell: str, notebook: str) -> None:
    """Where a task's cell stands, for the sidebar. `cell`: its id in the notebook."""
    _add(_folder("cells") / task_id, json.dumps([cell, notebook]))


def place_of(task_id: str) -> tuple[str, str]:
    """The id of its cell, and the notebook; both empty where it is not known."""
    with contextlib.suppress(OSError, ValueError):
        cell, notebook = json.loads((_folder("cells") / task_id).read_text("ascii"))
        return str(cell), str(notebook)
    return "", ""


def last_tasks(most: int) -> list[str]:
    """The ids of this user's newest tasks from notebooks, whatever became of them."""
    with contextlib.suppress(OSError):
        files = sorted(_folder("cells").iterdir(), key=lambda file: -file.stat().st_mtime)
        return [file.name for file in files[:most]]
    return []


def last_task(key: str) -> str:
    """The task whose end nobody here has seen; empty if there is none."""
    return _last(key).partition(" ")[0]


def submitter(key: str, task_id: str) -> str:
    """The submitter's mark; empty if there is none."""
    last, _, by = _last(key).partition(" ")
    return by if last == task_id else ""


def _last(key: str) -> str:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return (_folder("tasks") / key).read_text("ascii").splitlines()[-1]
    return ""


def _folder(kind: str) -> Path:
    return user_folders().state / kind


def _add(path: Path, line: str) -> None:
    """Appends to its file, because creating and deleting files is ten times as slow."""
    with contextlib.suppress(OSError):
        _make_room(path)
        with path.open("a", encoding="ascii") as file:
            file.write(f"{line}\n")


def _make_room(path: Path) -> None:
    """Keep a file short; before a new one, delete the oldest if there are very many."""
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
