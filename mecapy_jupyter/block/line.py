"""The live block as one line of text, as static HTML, and as the plain data that `widget.js` draws.
Pure functions over a `BlockState`; all three have the same words. HTML is escaped here.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from mecapy_jupyter.block.notes import NUMBERS, QUIET, TEXT
from mecapy_jupyter.block.sparkline import bars, shares
from mecapy_jupyter.block.state import BlockState, Phase
from mecapy_jupyter.shared.units import (
    clean,
    clock,
    duration,
    escaped,
    listed,
    of_size,
    ordinal,
    raised,
    size,
)

PieceKind = Literal["phase", "clock", "plain", "quiet", "progress", "memory", "warning", "error"]
_WARNED_FROM = 0.8  # of the limit


class Piece(NamedTuple):
    """A piece of the line. `kind` determines its look; the browser keeps a "clock" running."""

    kind: PieceKind
    text: str


ICONS: dict[Phase, str] = {
    "sending": "◔",
    "queued": "◔",
    "running": "▶",
    "returning": "▶",
    "completed": "✔",
    "failed": "✖",
    "cancelled": "■",
    "detached": "↗",
}


def parts(state: BlockState, now_s: float) -> list[Piece]:
    """The line, piece by piece."""
    match state.phase:
        case "sending":
            return [Piece("phase", "sending"), *_bytes(state)]
        case "queued":
            there = [*_place(state), *_machine(state), *_estimate(state)]
            waits = f"waits for {state.waits_for}" if state.waits_for else "queued"
            return [Piece("phase", waits), *there, *_bytes(state)]
        case "running":
            named = state.worker and not state.one_host
            where = f"running on {state.worker}" if named else "running"
            passed = Piece("clock", clock(now_s - state.since_s) + expected(state, now_s))
            return [
                Piece("phase", where),
                *_try(state),
                *_moved(state),
                passed,
                *_near_its_limit(state, now_s),
                *_progress(state),
                *_usage(state),
            ]
        case "returning":
            home = Piece("phase", "bringing results home")
            return [home, Piece("plain", clock(state.seconds))]
        case "completed":
            return [
                Piece("phase", clock(state.seconds)),
                *([Piece("plain", listed(state.came_back))] if state.came_back else []),
                *_moved(state),
            ]
        case "cancelled":
            return [
                Piece("phase", "cancelled"),
                Piece("plain", clock(state.seconds)),
                *_stopped(state),
                *_back(state),
            ]
        case "detached":
            attach = f"%mecapy attach {state.task_id[:8]}" if state.task_id else "%mecapy attach"
            return [
                Piece("phase", "detached"),
                Piece("plain", "the task goes on"),
                Piece("plain", f"{attach} brings it home"),
            ]
        case "failed":
            line_number = [Piece("phase", f"line {state.error_line}")] if state.error_line else []
            failed = Piece("error", state.error or "failed")
            return [*line_number, failed, *_moved(state), *_back(state)]


def _place(state: BlockState) -> list[Piece]:
    attempt = (
        [Piece("plain", f"its worker was lost, {ordinal(state.attempt + 1)} attempt")]
        if state.worker
        else []
    )
    place = (
        "next in line" if state.position == 1 and state.waiting <= 1 else ordinal(state.position)
    )
    of = f" of {state.waiting}" if state.waiting > 1 else " in line" if state.position > 1 else ""
    eta = [Piece("plain", f"starts in ~{duration(state.eta_s)}")] if state.eta_s is not None else []
    return attempt + ([Piece("plain", place + of)] if state.position else []) + eta


def _machine(state: BlockState) -> list[Piece]:
    return [Piece("plain", state.why_there)] if state.why_there else []


def _moved(state: BlockState) -> list[Piece]:
    """Why it ran again on another class of machines."""
    return _machine(state) if state.attempt > 1 else []


def _estimate(state: BlockState) -> list[Piece]:
    return [Piece("quiet", state.estimate)] if state.estimate else []


def _bytes(state: BlockState) -> list[Piece]:
    words = [
        f"{verb} {size(count)}"
        for verb, count in (("sent", state.sent_bytes), ("reused", state.reused_bytes))
        if count
    ]
    return [Piece("quiet", ", ".join(words))] if words else []


def _try(state: BlockState) -> list[Piece]:
    return [Piece("plain", f"{ordinal(state.attempt)} attempt")] if state.attempt > 1 else []


def expected(state: BlockState, now_s: float) -> str:
    """The text after the clock: the expected run time; a longer one once that has passed; without a
    history, the limit.
    """
    if not state.expected_s:
        return f" of {clock(state.limit_s)}" if state.limit_s else ""
    passed_s, usual = now_s - state.since_s, clock(max(state.expected_s, 1.0))
    if passed_s <= 1.1 * state.expected_s:
        return f" of ~{usual}"
    return f" of ~{clock(raised(max(state.expected_s, 1.0), passed_s))}, usually ~{usual}"


def _near_its_limit(state: BlockState, now_s: float) -> list[Piece]:
    if not state.limit_s or now_s - state.since_s < _WARNED_FROM * state.limit_s:
        return []
    return [Piece("warning", f"stops at {clock(state.limit_s)}, its --timeout")]


def _progress(state: BlockState) -> list[Piece]:
    percent = [] if state.fraction is None else [Piece("progress", f"{state.fraction * 100:.0f} %")]
    return percent + ([Piece("progress", state.note)] if state.note else [])


def said(state: BlockState) -> str:
    """The progress alone, as text: `62 % · loads 31/50`; empty if the cell has reported none."""
    return " · ".join(part.text for part in _progress(state))


def _usage(state: BlockState) -> list[Piece]:
    cpu = [] if state.cpu_percent is None else [Piece("quiet", f"{state.cpu_percent:.0f} % cpu")]
    if state.memory_bytes is None:
        return cpu
    limit = state.memory_limit_bytes
    return [
        *cpu,
        Piece("memory", of_size(state.memory_bytes, limit) if limit else size(state.memory_bytes)),
    ]


def _curve(state: BlockState) -> list[float]:
    """The memory over the run so far; empty while there are too few points."""
    if len(state.memory_peaks.points) > 2:
        return shares(state.memory_peaks, state.memory_limit_bytes)
    return []


def _stopped(state: BlockState) -> list[Piece]:
    if state.stopped_s is None:
        return []
    return [Piece("plain", f"stopped after {state.stopped_s:.1f} s")]


def _back(state: BlockState) -> list[Piece]:
    return [Piece("plain", f"{listed(state.came_back)} came back")] if state.came_back else []


def line(state: BlockState, now_s: float) -> str:
    """The block as one line of text, safe for a terminal."""
    return (
        f"{ICONS[state.phase]} "
        f"{' · '.join(_with_curve(part, state) for part in parts(state, now_s))}"
    )


def _with_curve(part: Piece, state: BlockState) -> str:
    curve = bars(_curve(state)) if part.kind == "memory" else ""
    return f"{part.text} {curve}" if curve else part.text


def view(state: BlockState, now_s: float) -> dict[str, Any]:
    """The block as the plain data that `widget.js` draws (as text, never as HTML)."""
    running = state.phase == "running"
    shown = [list(part) for part in parts(state, now_s)]
    return {
        "name": state.name,
        "task_id": state.task_id,
        "phase": state.phase,
        "parts": shown,
        "elapsed_s": now_s - state.since_s if running else None,
        "expected": expected(state, now_s) if running else "",
        "fraction": state.fraction,
        "curve": _curve(state) if running else [],
    }


_ROW = f"padding:2px 0 2px calc(1.5em + 5px);text-indent:-1.5em;{NUMBERS}"
_ICON_COLOURS: dict[Phase, str] = {
    "completed": "var(--jp-success-color1, #388e3c)",
    "failed": "var(--jp-error-color1, #d32f2f)",
    "cancelled": "var(--jp-warn-color1, #e65100)",
    "detached": "var(--jp-brand-color1, #1976d2)",
}


def html(state: BlockState, now_s: float) -> str:
    """The block as static HTML: what a reopened, converted or published notebook shows."""
    icon = (
        f'<span aria-hidden="true" style="color:{_ICON_COLOURS.get(state.phase, QUIET)}">'
        f"{ICONS[state.phase]}&#xFE0E;</span>"
    )
    spans = [
        f'<span style="{_looks(part)}">{escaped(_with_curve(part, state))}</span>'
        for part in parts(state, now_s)
    ]
    label = escaped(clean(f"MecaPy {state.name}: {state.phase}"))
    return (
        f'<div role="status" aria-label="{label}" style="{_ROW}color:{QUIET};">{icon} '
        f"{' · '.join(spans)}</div>"
    )


def mark(state: BlockState) -> str:
    """The mark of a short cell: where it ran, and for how long."""
    return f"{ICONS[state.phase]} pool · {state.seconds:.1f} s"


def mark_html(state: BlockState) -> str:
    label = escaped(clean(f"MecaPy {state.name}: {state.phase}"))
    return (
        f'<div aria-label="{label}" style="{_ROW}font-size:0.85em;opacity:0.7;color:{QUIET};">'
        f"{escaped(mark(state)).replace(ICONS[state.phase], f'{ICONS[state.phase]}&#xFE0E;')}</div>"
    )


def _looks(part: Piece) -> str:
    colour = {
        "phase": TEXT,
        "warning": "var(--jp-warn-color0, #e65100)",
        "error": "var(--jp-error-color1, #d32f2f)",
    }.get(part.kind, QUIET)
    return f"color:{colour};overflow-wrap:anywhere;" + (
        "font-weight:600;" if part.kind == "error" else ""
    )
