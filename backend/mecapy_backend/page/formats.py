"""How the templates write times, sizes and numbers. A `<time>` says UTC; the page's script shows it
in the reader's own zone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

from mecapy_backend.page.output import plain
from mecapy_jupyter.shared import units

if TYPE_CHECKING:
    from markupsafe import Markup


def moment(at: datetime | None) -> Markup | str:
    from markupsafe import Markup

    if at is None:
        return "–"
    at = at.astimezone(UTC)
    return Markup(f'<time datetime="{escape(at.isoformat())}">{at:%Y-%m-%d %H:%M:%S} UTC</time>')


def elapsed(started_at: datetime | None, ended_at: datetime | None) -> str:
    """The run time, until now for a task that runs; the page's script goes on counting."""
    from markupsafe import Markup

    if started_at is None:
        return "–"
    took_s = ((ended_at or datetime.now(UTC)) - started_at).total_seconds()
    shown = units.clock(took_s)
    return shown if ended_at else Markup(f'<span data-elapsed="{took_s:.0f}">{shown}</span>')


def size(count: float | None) -> str:
    return "–" if count is None else units.size(count)


def euros(amount: float) -> str:
    return f"€{amount:,.2f}" if amount >= 0.1 or not amount else f"€{amount:.2g}"


def number(value: float | None) -> str:
    if value is not None and 0 < value < 1e-4:
        return "<0.0001"
    return "any" if value is None else f"{value:,.6g}" if value < 1e6 else f"{value:,.0f}"


_SIGNS = {"blocked": "◌", "queued": "◷", "running": "▶", "completed": "✔", "failed": "✖"}


def sign(state: str) -> str:
    """A sign before the state, so that colour is not the only difference."""
    return _SIGNS.get(state, "■")


FILTERS: dict[str, Callable[..., object]] = {
    "moment": moment,
    "size": size,
    "number": number,
    "euros": euros,
    "duration": units.duration,
    "clean": units.clean,
    "sign": sign,
    "plain": plain,
}
