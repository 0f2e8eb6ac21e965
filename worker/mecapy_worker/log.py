"""The worker's log: one line for each transition, the task's id in it."""

from __future__ import annotations

import structlog
from structlog.typing import FilteringBoundLogger

log: FilteringBoundLogger = structlog.get_logger()
