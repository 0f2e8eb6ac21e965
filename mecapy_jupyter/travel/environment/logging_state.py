"""What `logging.basicConfig` and `setLevel` have set up: levels, and handlers that write to stdout
or stderr. Part of `ambient`.

Handlers that write to files or networks stay where they are.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

_OF_THE_KERNEL = ("traitlets", "tornado", "ipykernel", "IPKernelApp", "asyncio")
_FRESH = (logging.WARNING, (), False)


def get() -> dict[str, Any] | None:
    """Logger's name ("" for root) → level, handlers, disabled; None when all is as in a fresh
    process.
    """
    named = {
        name: logger
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    mine = {
        name: logger
        for name, logger in named.items()
        if name.partition(".")[0] not in _OF_THE_KERNEL
    }
    found = {
        name: _of(logger)
        for name, logger in mine.items()
        if logger.level or logger.handlers or logger.disabled
    }
    root = _of(logging.root)
    found = {name: state for name, state in found.items() if state != (0, (), False)} | (
        {"": root} if root != _FRESH else {}
    )
    return found or None


def put(state: dict[str, Any]) -> None:
    """Make the loggers like that; those it does not name keep what they have."""
    for name, (level, handlers, disabled) in state.items():
        logger = logging.getLogger(name or None)
        logger.setLevel(level)
        logger.disabled = disabled
        if _of(logger)[1] != handlers:
            for handler in [handler for handler in logger.handlers if _stream(handler)]:
                logger.removeHandler(handler)
            for handler in handlers:
                logger.addHandler(_handler(*handler))


def _of(logger: logging.Logger) -> tuple[int, tuple[Any, ...], bool]:
    return (
        logger.level,
        tuple(_described(handler) for handler in logger.handlers if _stream(handler)),
        logger.disabled,
    )


def _stream(handler: logging.Handler) -> str:
    """stdout or stderr; empty for any other handler."""
    kind: object = type(handler)
    stream: object = getattr(handler, "stream", None) if kind is logging.StreamHandler else None
    return (
        "stdout"
        if stream in (sys.stdout, sys.__stdout__)
        else "stderr"
        if stream in (sys.stderr, sys.__stderr__)
        else ""
    )


def _described(handler: logging.Handler) -> tuple[str, int, str | None, str | None, str]:
    formatter = handler.formatter or logging.Formatter()
    style = {"PercentStyle": "%", "StrFormatStyle": "{", "StringTemplateStyle": "$"}.get(
        type(formatter._style).__name__, "%"
    )
    return _stream(handler), handler.level, formatter._fmt, formatter.datefmt, style


def _handler(
    stream: str, level: int, text: str | None, dates: str | None, style: Any
) -> logging.Handler:
    handler = logging.StreamHandler(getattr(sys, stream))
    handler.setLevel(level)
    handler.setFormatter(logging.Formatter(text, dates, style))
    return handler
