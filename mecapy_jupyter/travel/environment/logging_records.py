"""Log records for handlers that stay in the kernel: files, network, classes of the notebook. The
records come home when the cell ends, and go to these handlers.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterable
from typing import Any

from mecapy_jupyter.shared.own_requests import NotOurs

_OF_THE_KERNEL = ("traitlets", "tornado", "ipykernel", "IPKernelApp", "asyncio")
_PLAIN = (str, int, float, bool, type(None))
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
    held = {name: value for name, value in vars(record).items() if type(value) in _PLAIN}
    args = record.args or ()
    if isinstance(args, tuple) and all(type(part) in _PLAIN for part in (record.msg, *args)):
        return held | {"args": args}
    return held | {"msg": record.getMessage(), "args": ()}  # other arguments may change later


def loggers() -> dict[str, logging.Logger]:
    """The notebook's, by name; the root's is empty."""
    named = {
        name: logger
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger) and name.partition(".")[0] not in _OF_THE_KERNEL
    }
    return {"": logging.root} | named


def notebooks_filters(logger: logging.Logger) -> list[Any]:
    return [one for one in logger.filters if type(one) is not NotOurs]


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
