"""The notebook's settings of `logging`: levels, handlers for stdout or stderr, filters, formatters.
Part of `process_state`; `logging_records` covers other handlers.
"""

from __future__ import annotations

import logging
import pickle
import sys
import warnings
from typing import Any, cast

from mecapy_jupyter.travel.environment import state_pickler
from mecapy_jupyter.travel.environment.logging_records import (
    is_standard,
    loggers,
    notebooks_filters,
)

_FRESH = (logging.WARNING, (), False)
_STYLES = {"PercentStyle": "%", "StrFormatStyle": "{", "StringTemplateStyle": "$"}
_LEVELS = {
    level: logging.getLevelName(level)
    for level in (0, logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
}
_ATTRIBUTES = {*vars(logging.Logger("")), "manager"}
_FACTORY, _CLASS = logging.getLogRecordFactory(), logging.getLoggerClass()


def get() -> dict[str, Any] | None:
    """Logger's name ("" for root) → level, handlers, disabled; None when all is as in a fresh
    process.
    """
    states = {name: _of(logger) for name, logger in loggers().items()}
    found = {
        name: state
        for name, state in states.items()
        if state != (_FRESH if not name else (0, (), False))
    }
    return found or None


def put(state: dict[str, Any]) -> None:
    """Apply the settings; other loggers keep theirs."""
    for name, (level, handlers, disabled) in state.items():
        logger = logging.getLogger(name or None)
        logger.setLevel(level)
        logger.disabled = disabled
        if _of(logger)[1] != handlers:
            _arrange(logger, handlers)


def _arrange(logger: logging.Logger, handlers: tuple[tuple[Any, ...], ...]) -> None:
    """One that stays is the same object, because the notebook may have a variable for it."""
    standing = [handler for handler in logger.handlers if is_standard(handler)]
    for wanted in handlers:
        of_stream = [handler for handler in standing if is_standard(handler) == wanted[0]]
        alike = [handler for handler in of_stream if _described(handler) == wanted]
        if stays := (alike or of_stream):
            standing.remove(stays[0])
            _set(stays[0], *wanted[1:])
        else:
            made = logging.StreamHandler(getattr(sys, wanted[0]))
            _set(made, *wanted[1:])
            logger.addHandler(made)
    for handler in standing:
        logger.removeHandler(handler)


def _of(logger: logging.Logger) -> tuple[int, tuple[Any, ...], bool]:
    return (
        logger.level,
        tuple(_described(handler) for handler in logger.handlers if is_standard(handler)),
        logger.disabled,
    )


def _described(handler: logging.Handler) -> tuple[Any, ...]:
    formatter = handler.formatter or logging.Formatter()
    style = _STYLES.get(type(formatter._style).__name__, "%")
    own = type(formatter) is not logging.Formatter or handler.filters
    data = state_pickler.dumps((formatter, handler.filters)) if own else None
    return (
        is_standard(handler), handler.level, formatter._fmt, formatter.datefmt, style, data
    )  # fmt: skip


def _set(
    handler: logging.Handler,
    level: int,
    text: str | None,
    dates: str | None,
    style: Any,
    own: bytes | None = None,
) -> None:
    handler.setLevel(level)
    formatter, filters = logging.Formatter(text, dates, style), list[Any]()
    if own is not None:
        formatter, filters = pickle.loads(own)  # noqa: S301 our own state
    handler.setFormatter(formatter)
    handler.filters[:] = filters


def functions() -> list[Any]:
    """Filters that the notebook added."""
    each = [logging.getLogRecordFactory(), logging.getLoggerClass()]
    for logger in loggers().values():
        each += logger.filters
        for handler in logger.handlers if any(map(is_standard, logger.handlers)) else ():
            each += [*handler.filters, type(handler.formatter)]
    users = (one if callable(one) else cast("object", type(one)) for one in each)
    return [one for one in users if state_pickler.is_users(one)]


def settings() -> dict[str, Any]:
    """Settings of `logging` as a whole, and of loggers besides levels and handlers."""
    manager, factory, cls = (
        logging.root.manager,
        logging.getLogRecordFactory(),
        logging.getLoggerClass(),
    )
    named: dict[int, str] = dict(logging._levelToName)  # pyright: ignore[reportPrivateUsage]
    return {
        "disable": manager.disable,
        "levels": {level: name for level, name in named.items() if _LEVELS.get(level) != name},
        "apart": sorted(name for name, logger in loggers().items() if not logger.propagate),
        "filters": {
            name: state_pickler.dumps(filters)
            for name, logger in loggers().items()
            if (filters := notebooks_filters(logger))
        },
        "attributes": {
            name: state_pickler.dumps(held)
            for name, logger in loggers().items()
            if (held := {n: v for n, v in vars(logger).items() if n not in _ATTRIBUTES})
        },
        "factory": state_pickler.dumps(factory) if factory is not _FACTORY else None,
        "class": state_pickler.dumps(cls) if cls is not _CLASS else None,
        "silent": not logging.raiseExceptions,
        "captured": getattr(warnings.showwarning, "__module__", "") == logging.__name__,
    }


FRESH: dict[str, Any] = {
    "disable": 0, "levels": {}, "apart": [], "filters": {}, "attributes": {}, "factory": None,
    "class": None, "silent": False, "captured": False,
}  # fmt: skip


def set_settings(state: dict[str, Any]) -> None:
    logging.disable(state["disable"])
    for level, name in state["levels"].items():
        logging.addLevelName(level, name)
    for name, logger in loggers().items():
        logger.propagate = name not in state["apart"]
    for name in state["apart"]:
        logging.getLogger(name or None).propagate = False
    for name, data in state["filters"].items():
        logging.getLogger(name or None).filters[:] = _opened(data, [])
    for name, data in state["attributes"].items():
        vars(logging.getLogger(name or None)).update(_opened(data, {}))
    logging.setLogRecordFactory(_opened(state["factory"], _FACTORY))
    logging.setLoggerClass(_opened(state["class"], _CLASS))
    logging.raiseExceptions = not state["silent"]
    logging.captureWarnings(state["captured"])


def _opened(data: bytes | None, otherwise: Any) -> Any:
    return pickle.loads(data) if data is not None else otherwise  # noqa: S301 our own state
