"""What the live block knows of a task, how events change it, and how it reads: as one line, as HTML, as widget data.

Pure functions over one frozen dataclass; times are seconds of any steady clock that the caller passes in as `now_s`.
What events say is untrusted here: numbers are checked, text is cleaned, HTML is escaped. Next in the line: `block`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from . import wire
from .units import clean, clock, duration, escaped, listed, number, ordinal, size

Phase = Literal["sending", "queued", "running", "returning", "completed", "failed", "cancelled"]
Kind = Literal["phase", "clock", "plain", "quiet", "error"]


@dataclass(frozen=True, slots=True)
class BlockState:
    """All a block shows. `since_s`: when the phase began; `seconds`: of running, once it is over."""

    name: str = ""
    phase: Phase = "sending"
    since_s: float = 0.0
    position: int = 0  # 1 is next; 0: not known
    waiting: int = 0  # how many wait in all; 0: not known
    eta_s: float | None = None
    sent_bytes: int = 0
    reused_bytes: int = 0
    worker: str = ""
    attempt: int = 1
    cpu_percent: float | None = None
    memory_bytes: float | None = None
    fraction: float | None = None
    note: str = ""  # what the task says of its progress
    seconds: float = 0.0
    error: str = ""
    error_line: int | None = None
    came_back: tuple[str, ...] = ()


class Part(NamedTuple):
    """A piece of the line. `kind` says how it looks; a "clock" goes on ticking in the browser."""

    kind: Kind
    text: str


ICONS: dict[Phase, str] = {
    "sending": "◔",
    "queued": "◔",
    "running": "▶",
    "returning": "▶",
    "completed": "✔",
    "failed": "✖",
    "cancelled": "■",
}


def advance(state: BlockState, event: wire.Event, now_s: float) -> BlockState:
    """The state after an event of the task's log. Events that the block does not show leave it as it is."""
    data = event.data
    match event.type:
        case wire.QUEUED:
            return _queued(state, data, now_s)
        case wire.STARTED:
            attempt, worker = int(number(data.get("attempt")) or 1), clean(data.get("worker") or "", 24)
            return replace(state, phase="running", since_s=now_s, worker=worker, attempt=attempt, fraction=None, note="")
        case wire.PROGRESS:
            fraction = number(data.get("fraction"))
            return replace(state, fraction=None if fraction is None else min(fraction, 1.0), note=clean(data.get("text") or "", 60))
        case wire.USAGE:
            return replace(state, cpu_percent=number(data.get("cpu_percent")), memory_bytes=number(data.get("memory_bytes")))
        case wire.COMPLETED | wire.FAILED | wire.CANCELLED if state.phase not in wire.FINAL:
            ran = number(data.get("seconds"))
            return replace(state, phase="returning", since_s=now_s, seconds=_ran(state, now_s) if ran is None else ran)
        case _:
            return state


def _queued(state: BlockState, data: dict[str, Any], now_s: float) -> BlockState:
    since_s = state.since_s if state.phase == "queued" else now_s
    position, waiting = int(number(data.get("position")) or 0), int(number(data.get("of")) or 0)
    return replace(state, phase="queued", since_s=since_s, position=position, waiting=waiting, eta_s=number(data.get("eta_s")))


def _ran(state: BlockState, now_s: float) -> float:
    return now_s - state.since_s if state.phase == "running" else state.seconds


def finished(state: BlockState, outcome: wire.Outcome, came_back: list[str], now_s: float) -> BlockState:
    """The state once everything is home (`came_back`: the names, as they shall read)."""
    error = outcome.error
    return replace(
        state,
        phase="failed" if outcome.state not in wire.FINAL else outcome.state,
        since_s=now_s,
        seconds=outcome.seconds or _ran(state, now_s),
        error=clean(error.type, 60) if error else "",
        error_line=error.line if error else None,
        came_back=tuple(came_back),
    )


def parts(state: BlockState, now_s: float) -> list[Part]:
    """The line, piece by piece."""
    match state.phase:
        case "sending":
            return [Part("phase", "sending"), *_bytes(state)]
        case "queued":
            return [Part("phase", "queued"), *_place(state), *_bytes(state)]
        case "running":
            where = f"running on {state.worker}" if state.worker else "running"
            return [Part("phase", where), *_try(state), Part("clock", clock(now_s - state.since_s)), *_progress(state), *_usage(state)]
        case "returning":
            return [Part("phase", "bringing results home"), Part("plain", clock(state.seconds))]
        case "completed":
            return [Part("phase", clock(state.seconds)), *([Part("plain", listed(state.came_back))] if state.came_back else [])]
        case "cancelled":
            return [Part("phase", "cancelled"), Part("plain", clock(state.seconds)), *_back(state)]
        case "failed":
            line_number = [Part("phase", f"line {state.error_line}")] if state.error_line else []
            return [*line_number, Part("error", state.error or "failed"), *_back(state)]


def _place(state: BlockState) -> list[Part]:
    again = [Part("plain", f"its worker was lost, {ordinal(state.attempt + 1)} attempt")] if state.worker else []
    place = "next in line" if state.position == 1 and state.waiting <= 1 else ordinal(state.position)
    of = f" of {state.waiting}" if state.waiting > 1 else " in line" if state.position > 1 else ""
    eta = [Part("plain", f"starts in ~{duration(state.eta_s)}")] if state.eta_s is not None else []
    return again + ([Part("plain", place + of)] if state.position else []) + eta


def _bytes(state: BlockState) -> list[Part]:
    words = [f"{verb} {size(count)}" for verb, count in (("sent", state.sent_bytes), ("reused", state.reused_bytes)) if count]
    return [Part("quiet", ", ".join(words))] if words else []


def _try(state: BlockState) -> list[Part]:
    return [Part("plain", f"{ordinal(state.attempt)} attempt")] if state.attempt > 1 else []


def _progress(state: BlockState) -> list[Part]:
    percent = [] if state.fraction is None else [Part("plain", f"{state.fraction * 100:.0f} %")]
    return percent + ([Part("plain", state.note)] if state.note else [])


def _usage(state: BlockState) -> list[Part]:
    cpu = [] if state.cpu_percent is None else [Part("quiet", f"{state.cpu_percent:.0f} % cpu")]
    return cpu + ([] if state.memory_bytes is None else [Part("quiet", size(state.memory_bytes))])


def _back(state: BlockState) -> list[Part]:
    return [Part("plain", f"{listed(state.came_back)} came back")] if state.came_back else []


def line(state: BlockState, now_s: float) -> str:
    """The block as one line of text, safe for a terminal."""
    return f"{ICONS[state.phase]} {' · '.join(part.text for part in parts(state, now_s))}"


def view(state: BlockState, now_s: float) -> dict[str, Any]:
    """The block as the plain data that `widget.js` draws (as text, never as HTML)."""
    ticking = now_s - state.since_s if state.phase == "running" else None
    shown = [list(part) for part in parts(state, now_s)]
    return {"name": state.name, "phase": state.phase, "parts": shown, "elapsed_s": ticking, "fraction": state.fraction}


# Inline, because saved notebooks keep no stylesheet. JupyterLab's (and nbconvert's) variables first, then VS Code's, then the page's own.
_TEXT = "var(--jp-ui-font-color1, var(--vscode-foreground, inherit))"
_QUIET = "var(--jp-ui-font-color2, var(--vscode-descriptionForeground, inherit))"
_ROW = (
    "padding:2px 0 2px calc(1.5em + 5px);text-indent:-1.5em;"
    "font:var(--jp-ui-font-size1, 13px)/1.6 var(--jp-ui-font-family, system-ui, sans-serif);font-variant-numeric:tabular-nums;"
)
_ICON_COLOURS: dict[Phase, str] = {
    "completed": "var(--jp-success-color1, #388e3c)",
    "failed": "var(--jp-error-color1, #d32f2f)",
    "cancelled": "var(--jp-warn-color1, #e65100)",
}


def html(state: BlockState, now_s: float) -> str:
    """The block as static HTML: what a reopened, converted or published notebook shows."""
    icon = f'<span aria-hidden="true" style="color:{_ICON_COLOURS.get(state.phase, _QUIET)}">{ICONS[state.phase]}&#xFE0E;</span>'
    spans = [f'<span style="{_looks(part)}">{escaped(part.text)}</span>' for part in parts(state, now_s)]
    label = escaped(clean(f"MecaPy {state.name}: {state.phase}"))
    return f'<div role="status" aria-label="{label}" style="{_ROW}color:{_QUIET};">{icon} {" · ".join(spans)}</div>'


def _looks(part: Part) -> str:
    colour = {"phase": _TEXT, "error": "var(--jp-error-color1, #d32f2f)"}.get(part.kind, _QUIET)
    return f"color:{colour};overflow-wrap:anywhere;" + ("font-weight:600;" if part.kind == "error" else "")
