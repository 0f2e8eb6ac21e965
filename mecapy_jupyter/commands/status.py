"""The status that `%mecapy` shows: user, gateway, queue, workers, last tasks; as text and as HTML
with the same words. Everything in it is escaped, because it may come from anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import cast

from mecapy_jupyter import wire
from mecapy_jupyter.block.line import ICONS
from mecapy_jupyter.block.notes import NUMBERS, QUIET, TEXT
from mecapy_jupyter.client.overview import Overview
from mecapy_jupyter.commands import task_lines
from mecapy_jupyter.shared.units import clean, clock, escaped, price, size
from mecapy_jupyter.shared.version import minor

LAST_TASKS = 10
_QUOTAS = {
    "queued": "queued",
    "running": "running",
    "cpu_hours": "CPU-hours this month",
    "bytes": "stored",
}

_ICON_OF: Mapping[str, str] = cast("Mapping[str, str]", ICONS)
_CELL = "padding:1px 1.2em 1px 0;text-align:left;vertical-align:baseline;"
_QUIET = f"color:{QUIET};"
_BOX = f"{NUMBERS}color:{TEXT};"

Row = tuple[str, ...]


def facts(now: Overview) -> list[Row]:
    """(label, words) of the head."""
    source = f" ({clean(now.source, 40)})" if now.source else ""
    rows = [
        ("user", clean(_user(now.me))),
        ("where", clean(now.url, 120) + source),
        ("queue", f"{now.me.queued} queued, {now.me.running} running"),
    ]
    if words := used(now.me.quotas):
        rows.append(("used", words))
    return [*rows, ("workers", _workers(now.workers))]


def _user(me: wire.Me) -> str:
    """`ada (manager, acme)`; an older gateway says the owner alone."""
    more = ", ".join(filter(None, (me.role if me.role != "user" else "", me.organisation)))
    return (me.name or me.owner) + (f" ({more})" if more else "")


def used(quotas: Mapping[str, wire.Quota]) -> str:
    """What is used of each limited quota, and what that cost."""
    words = list[str]()
    for name, unit in _QUOTAS.items():
        quota = quotas.get(name)
        if quota is None or quota.limit is None:
            continue
        written = size if name == "bytes" else "{:.4g}".format
        words.append(f"{written(quota.used)} of {written(quota.limit)} {unit}")
    if (euros := quotas.get("euros")) and euros.used:
        words.append(f"{price(euros.used)} this month")
    return ", ".join(words)


def task_rows(now: Overview) -> list[Row]:
    """(icon, state, name, time of running, id) of the last tasks; a map or a sweep is one row for
    each state of its tasks.
    """
    return [_row(tasks) for tasks in islice(task_lines.together(now.tasks), LAST_TASKS)]


def _row(tasks: Sequence[wire.TaskStatus]) -> Row:
    """The row of one task, or of a map's tasks; it has the id of the newest."""
    newest, ran = tasks[0], ""
    name, state = task_lines.name_of(tasks), clean(newest.status, 12)
    started = [task.started_at for task in tasks if task.started_at]
    completed = [task.completed_at for task in tasks if task.completed_at]
    if started and completed:
        ran = clock((max(completed) - min(started)).total_seconds())
    return (_ICON_OF.get(state, "·"), state, clean(name, 40), ran, clean(newest.task_id))


def _workers(workers: Sequence[wire.WorkerInfo]) -> str:
    if not workers:
        return "none: tasks wait until one starts"
    names = ", ".join(clean(worker.id or "?", 24) for worker in workers[:6])
    more = f" and {len(workers) - 6} more" if len(workers) > 6 else ""
    pythons = sorted({clean(minor(worker.python), 8) for worker in workers if worker.python})
    return f"{len(workers)} ({names}{more}), {sum(worker.slots for worker in workers)} slots" + (
        f", Python {' and '.join(pythons)}" if pythons else ""
    )


def status_text(now: Overview) -> str:
    """Aligned lines for a terminal."""
    tasks = task_rows(now)
    blocks = [_aligned(facts(now))] + (
        [["last tasks", *(f"  {row}" for row in _aligned(tasks))]] if tasks else []
    )
    return "\n".join(text for block in blocks for text in block)


def _aligned(rows: Sequence[Row]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def status_html(now: Overview) -> str:
    """The same words as two small tables, in the colours of the notebook's theme."""
    head = "".join(
        f'<tr style="background:none;"><th scope="row" '
        f'style="{_CELL}{_QUIET}font-weight:normal;">{escaped(label)}</th>{_td(text)}</tr>'
        for label, text in facts(now)
    )
    cells = [
        "".join(_td(text, quiet=index != 2) for index, text in enumerate(row))
        for row in task_rows(now)
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
