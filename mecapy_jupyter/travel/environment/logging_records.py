"""Log records for handlers that stay in the kernel: files, network, classes of the notebook. The
records come home when the cell ends, and go to these handlers.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from mecapy_jupyter.travel.environment import state_pickler

_OF_THE_KERNEL = ("traitlets", "tornado", "ipykernel", "IPKernelApp", "asyncio")
_PLAIN = (str, int, float, bool, type(None))
_OF_A_RECORD = frozenset(vars(logging.makeLogRecord({})))
_MOST = 100_000
Record = tuple[str, dict[str, Any]]
"""The logger whose handlers get the record, and its attributes."""

_records: list[Record] = []


class _Homeward(logging.Handler):
    """On the worker: stands for the handlers that stay."""

    def __init__(self, logger: str, level: int) -> None:
        super().__init__(level)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        if len(_records) == _MOST:
            print(
                f"mecapy: the handlers of the notebook's loggers cannot have more than {_MOST:,} "
                f"messages of one cell; log less in it",
                file=sys.stderr,
            )
        if len(_records) <= _MOST:
            _records.append((self._logger, _plain(record)))


def _plain(record: logging.LogRecord) -> dict[str, Any]:
    if record.exc_info and not record.exc_text:
        record.exc_text = logging.Formatter().formatException(record.exc_info)
    held = {name: value for name, value in vars(record).items() if _travels(name, value)}
    if record.exc_info and state_pickler.dumps(kind_and_error := record.exc_info[:2]):
        held["exc_info"] = (*kind_and_error, None)
    if any(type(value) not in _PLAIN for value in _arguments(record)):  # they may change later
        held |= {"msg": record.getMessage(), "args": ()}
    return held


def _arguments(record: logging.LogRecord) -> list[object]:
    """The parts of its message."""
    args = record.args or ()
    return [record.msg, *(args.values() if isinstance(args, Mapping) else args)]


def _travels(name: str, value: object) -> bool:
    """Plain attributes of a record do, and those that the cell gave it (`extra=`)."""
    if type(value) in _PLAIN or name == "args":
        return True
    return name not in _OF_A_RECORD and state_pickler.dumps(value) is not None


def loggers() -> dict[str, logging.Logger]:
    """The notebook's, by name; the root's is empty."""
    named = {
        name: logger
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger) and name.partition(".")[0] not in _OF_THE_KERNEL
    }
    return {"": logging.root} | named


def is_standard(handler: logging.Handler) -> str:
    """`stdout` or `stderr` if the handler writes to one; empty for any other."""
    kind: object = type(handler)
    stream: object = getattr(handler, "stream", None) if kind is logging.StreamHandler else None
    if stream in (sys.stdout, sys.__stdout__):
        return "stdout"
    if stream in (sys.stderr, sys.__stderr__):
        return "stderr"
    return ""


def _staying(logger: logging.Logger) -> list[logging.Handler]:
    return [
        each
        for each in logger.handlers
        if not is_standard(each) and type(each) is not logging.NullHandler
    ]


def buffers() -> list[io.IOBase]:
    """Streams in memory that handlers fill which stay."""
    found = [getattr(each, "stream", None) for one in loggers().values() for each in _staying(one)]
    return [stream for stream in found if isinstance(stream, (io.StringIO, io.BytesIO))]


def waiting() -> dict[str, int] | None:
    """Loggers with handlers that stay → the lowest level of these."""
    found = {
        name: min(each.level for each in staying)
        for name, logger in loggers().items()
        if (staying := _staying(logger))
    }
    return found or None


def wait_for(state: dict[str, int]) -> None:
    """On the worker: record what these handlers would get."""
    for name, level in state.items():
        logger = logging.getLogger(name or None)
        if not _staying(logger):
            logger.addHandler(_Homeward(name, level))


def kept() -> list[Record] | None:
    return _records or None


def deliver(records: Iterable[Record]) -> None:
    """In the kernel: give each record to the handlers of its logger."""
    for name, held in records:
        record = logging.makeLogRecord(held)
        for handler in _staying(logging.getLogger(name or None)):
            if record.levelno >= handler.level and type(handler) is not _Homeward:
                handler.handle(record)
