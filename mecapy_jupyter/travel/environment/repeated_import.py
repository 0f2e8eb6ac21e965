"""The import of a user's module that the other process has imported: its state travels, and its
effects (prints, log messages, settings, random numbers) are there already.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
from collections.abc import Generator, Iterable, Mapping

from mecapy_jupyter.travel.environment import process_state
from mecapy_jupyter.travel.environment.logging_records import loggers

_SILENT = 1 << 20
_KINDS = [name for name in process_state.KINDS if name not in ("own modules", "logging.records")]


@contextlib.contextmanager
def without_effects(*, adds_handlers: bool = False) -> Generator[None]:
    """`adds_handlers`: keep the log handlers that the import adds; the others have travelled."""
    if logging.root.manager.disable >= _SILENT:  # inside of another
        yield
        return
    before, disabled = process_state.ahead(_KINDS), logging.root.manager.disable
    handlers = {name: logger.handlers[:] for name, logger in loggers().items()}
    logging.disable(_SILENT)
    try:
        with _muted(sys.stdout), _muted(sys.stderr):
            yield
    finally:
        logging.disable(disabled)
        if not adds_handlers:
            _take_back(handlers)
        process_state.put_back(before, _KINDS)


def _take_back(handlers: Mapping[str, list[logging.Handler]]) -> None:
    """Remove all others, by the logger's name."""
    for name, logger in loggers().items():
        held = handlers.get(name, ())
        logger.handlers[:] = [
            one for one in logger.handlers if one in held or type(one) is logging.NullHandler
        ]


@contextlib.contextmanager
def _muted(stream: object) -> Generator[None]:
    """The stream itself stays, because a handler may keep it. A terminal's is not muted."""
    own: dict[str, object] = getattr(stream, "__dict__", {})
    before = own.get("write")
    with contextlib.suppress(AttributeError):
        stream.write = len  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        own.pop("write", None)
        if before is not None:
            own["write"] = before


def imported(names: Iterable[str]) -> None:
    """Import what the other process has imported."""
    if new := [name for name in names if name not in sys.modules]:
        with without_effects(adds_handlers=True):
            for name in new:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
