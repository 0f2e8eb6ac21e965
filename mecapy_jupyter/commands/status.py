"""How `%mecapy` answers: who am I, where, the queue, the workers, my last tasks; as text and as
HTML of the same words.

A plain dict in, as the gateway's JSON has it; whatever is missing is left out. Everything in it is
escaped, it may come from anybody. `magic` gathers the dict and shows the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from mecapy_jupyter.block.line import ICONS
from mecapy_jupyter.shared.units import clean, clock, duration, escaped, number, size
from mecapy_jupyter.shared.version import minor

LAST_TASKS = 10

_ICON_OF: Mapping[str, str] = cast("Mapping[str, str]", ICONS)
_CELL = "padding:1px 1.2em 1px 0;text-align:left;vertical-align:baseline;"
_QUIET = "color:var(--jp-ui-font-color2, var(--vscode-descriptionForeground, inherit));"
_BOX = (
    "font:var(--jp-ui-font-size1, 13px)/1.6 var(--jp-ui-font-family, system-ui, "
    "sans-serif);font-variant-numeric:tabular-nums;"
    "color:var(--jp-ui-font-color1, var(--vscode-foreground, inherit));"
)

Row = tuple[str, ...]


def facts(status: Mapping[str, Any]) -> list[Row]:
    """(label, words) of the head: `{"user", "url", "source", "queue": {"queued", "running",
    "eta_s"}, "workers": […]}`.
    """
    rows: list[Row] = []
    if status.get("user"):
        rows.append(("user", clean(status["user"])))
    if status.get("url"):
        source = f" ({clean(status['source'], 40)})" if status.get("source") else ""
        rows.append(("where", clean(status["url"], 120) + source))
    queue = _mapping(status.get("queue"))
    counts = [
        f"{_count(queue, key)} {key}"
        for key in ("queued", "running")
        if number(queue.get(key)) is not None
    ]
    eta_s = number(queue.get("eta_s"))
    if counts:
        rows.append(
            ("queue", ", ".join(counts) + (f", next starts in ~{duration(eta_s)}" if eta_s else ""))
        )
    if used := _used(_mapping(status.get("quotas"))):
        rows.append(("used", used))
    if "workers" in status:
        rows.append(("workers", _workers(_mappings(status["workers"]))))
    return rows


def _used(quotas: Mapping[str, Any]) -> str:
    """What is used of each quota that has a limit."""
    said = list[str]()
    for name, unit in (
        ("queued", "queued"),
        ("running", "running"),
        ("cpu_hours", "CPU-hours this month"),
        ("bytes", "stored"),
    ):
        used, limit = (number(_mapping(quotas.get(name)).get(key)) for key in ("used", "limit"))
        if used is not None and limit is not None:
            said.append(
                f"{size(used)} of {size(limit)} {unit}"
                if name == "bytes"
                else f"{used:.4g} of {limit:.4g} {unit}"
            )
    return ", ".join(said)


def task_rows(status: Mapping[str, Any]) -> list[Row]:
    """(icon, state, name, time of running, id) of the last tasks: `{"tasks": [{"task_id", "status",
    "name", "seconds"}]}`.
    """
    return [_task(task) for task in _mappings(status.get("tasks"))[:LAST_TASKS]]


def _task(task: Mapping[str, Any]) -> Row:
    state, ran = clean(task.get("status") or "", 12), _ran(task)
    icon, name, task_id = (
        _ICON_OF.get(state, "·"),
        clean(task.get("name") or "", 40),
        clean(task.get("task_id") or ""),
    )
    return (icon, state, name, clock(ran) if ran is not None else "", task_id)


def _ran(task: Mapping[str, Any]) -> float | None:
    """Seconds of running: as given, or between the two times."""
    try:
        started, completed = (
            datetime.fromisoformat(str(task.get(key))) for key in ("started_at", "completed_at")
        )
        return (completed - started).total_seconds()
    except (ValueError, TypeError):  # not there, not a time, or only one with a zone
        return number(task.get("seconds"))


def _workers(workers: Sequence[Mapping[str, Any]]) -> str:
    if not workers:
        return "none: nothing runs until one comes"
    slots, busy = (sum(_count(worker, key) for worker in workers) for key in ("slots", "busy"))
    said = (
        f"{busy} of {slots} slots busy"
        if any("busy" in worker for worker in workers)
        else f"{slots} slots"
    )
    names = ", ".join(
        clean(worker.get("id") or worker.get("worker_id") or "?", 24) for worker in workers[:6]
    )
    more = f" and {len(workers) - 6} more" if len(workers) > 6 else ""
    told = {str(worker.get("python", "")) for worker in workers} - {""}
    pythons = sorted({clean(minor(version), 8) for version in told})
    return (
        f"{len(workers)} ({names}{more})"
        + (f", {said}" if slots else "")
        + (f", Python {' and '.join(pythons)}" if pythons else "")
    )


def status_text(status: Mapping[str, Any]) -> str:
    """Aligned lines for a terminal."""
    tasks = task_rows(status)
    blocks = [_aligned(facts(status))] + (
        [["last tasks", *(f"  {row}" for row in _aligned(tasks))]] if tasks else []
    )
    return "\n".join(text for block in blocks for text in block)


def _aligned(rows: Sequence[Row]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def status_html(status: Mapping[str, Any]) -> str:
    """The same words as two small tables, in the colours of the notebook's theme."""
    head = "".join(
        f'<tr style="background:none;"><th scope="row" '
        f'style="{_CELL}{_QUIET}font-weight:normal;">{escaped(label)}</th>{_td(text)}</tr>'
        for label, text in facts(status)
    )
    cells = [
        "".join(_td(text, quiet=index != 2) for index, text in enumerate(row))
        for row in task_rows(status)
    ]
    rows = "".join(f'<tr style="background:none;">{row}</tr>' for row in cells)
    tasks = (
        f'<table style="border:none;margin:.4em 0 0;" aria-label="Last tasks">{rows}</table>'
        if rows
        else ""
    )
    return (
        f'<div style="{_BOX}"><table style="border:none;margin:0;" aria-label="MecaPy '
        f'status">{head}</table>{tasks}</div>'
    )


def _td(text: str, quiet: bool = False) -> str:
    return f'<td style="{_CELL}{_QUIET if quiet else ""}">{escaped(text)}</td>'


def _count(data: Mapping[str, Any], key: str) -> int:
    return int(number(data.get(key)) or 0)


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return (
        [_mapping(item) for item in cast("Sequence[object]", value)]
        if isinstance(value, list | tuple)
        else []
    )
