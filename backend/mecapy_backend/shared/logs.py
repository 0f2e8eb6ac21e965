"""Logs of gateway and worker: one line per transition on stderr, with the task's id as `task`;
never a payload or a secret. `configure` is called once per server. JSON for machines, plain text
for a terminal; quoted input stays inside its field and line. Libraries' `logging` goes through the
same lines.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal

import structlog
from structlog.contextvars import (
    bind_contextvars,
    get_contextvars,
    merge_contextvars,
    reset_contextvars,
)
from structlog.typing import WrappedLogger

from mecapy_backend.shared import telemetry

__all__ = [
    "Format",
    "bind_contextvars",
    "configure",
    "request_id",
    "request_of_log",
    "reset_contextvars",
]

Format = Literal["auto", "json", "console"]
Entry = MutableMapping[str, Any]

_MOST = 2000  # characters of one field: an error may quote what somebody sent
_TRACE_MOST = 20_000
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_FIRST = ("time", "level", "event", "task")
_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@]+(?=@)")
_encode = json.JSONEncoder(
    default=repr, separators=(",", ":")
).encode  # ASCII: a line stays a line, whatever it quotes


def configure(form: Format = "auto", component: str = "") -> None:
    """Once per process. `auto`: console on a terminal, otherwise JSON. Tracebacks without
    variables, which may hold user data.
    """
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    about = {"component": component, "pid": os.getpid()}

    def name_us(_: WrappedLogger, __: str, entry: Entry) -> Entry:
        entry.update(about)
        return entry

    structlog.configure(
        processors=[
            merge_contextvars,
            structlog.processors.add_log_level,
            *([] if console else [name_us]),
            _stamp,
            structlog.processors.format_exc_info,
            _harmless,
            _sent_out,
            _as_text if console else _as_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)


def request_id(given: str | None) -> str:
    """The client's request id if it is a valid name, otherwise a new one."""
    return given if given and _ID.fullmatch(given) else os.urandom(8).hex()


def request_of_log() -> str:
    """The id of the request that is being answered."""
    return str(get_contextvars().get("request", ""))


def _stamp(_: WrappedLogger, __: str, entry: Entry) -> Entry:
    entry["time"] = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")
    return entry


def _harmless(_: WrappedLogger, __: str, entry: Entry) -> Entry:
    """Bounds each field, and removes the password of a connection URL, which a driver's error may
    quote.
    """
    for name, value in entry.items():
        if isinstance(value, str) and (len(value) > 100 or "://" in value):
            most = _TRACE_MOST if name == "exception" else _MOST
            entry[name] = _PASSWORD.sub(
                r"\1***",
                value if len(value) <= most else f"{value[:most]}… ({len(value)} characters)",
            )
    return entry


def _sent_out(_: WrappedLogger, __: str, entry: Entry) -> Entry:
    telemetry.log(entry)
    return entry


def _as_json(_: WrappedLogger, __: str, entry: Entry) -> str:
    return _encode({name: entry[name] for name in _FIRST if name in entry} | dict(entry))


def _as_text(_: WrappedLogger, __: str, entry: Entry) -> str:
    """`07:15:02.123 info    started  task=… attempt=1`; a traceback below it, each of its lines
    moved in.
    """
    trace = str(entry.pop("exception", ""))
    head = f"{entry.pop('time')[11:23]} {entry.pop('level'):<7} {_quoted(entry.pop('event'))}"
    fields = sorted(entry.items(), key=lambda item: item[0] != "task")
    below = "".join(f"\n    {_visible(line)}" for line in trace.splitlines())
    return (
        " ".join([head, *(f"{name}={_quoted(value, field=True)}" for name, value in fields)])
        + below
    )


def _quoted(value: object, *, field: bool = False) -> str:
    text = value if isinstance(value, str) else repr(value)
    return (
        json.dumps(text)
        if field and (not text or not text.isprintable() or " " in text or '"' in text)
        else _visible(text)
    )


def _visible(text: str) -> str:
    """Control characters are escaped, because a terminal obeys them."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class _Forward(logging.Handler):
    """What a library says with `logging`, in our lines."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            structlog.get_logger().log(
                record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info
            )
        except Exception:
            self.handleError(record)
