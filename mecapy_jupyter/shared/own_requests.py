"""Keeps what libraries log about MecaPy's requests out of the notebook's log, at any level."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager

_here = threading.local()


class NotOurs(logging.Filter):
    """Leaves out what is logged inside `unlogged`."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(_here, "deep", 0)


for _name in ("urllib3.connectionpool", "urllib3.util.retry", "sseclient"):
    logging.getLogger(_name).addFilter(NotOurs())


@contextmanager
def unlogged() -> Generator[None]:
    """Inside the block, drops these messages in this thread."""
    _here.deep = getattr(_here, "deep", 0) + 1
    try:
        yield
    finally:
        _here.deep -= 1
