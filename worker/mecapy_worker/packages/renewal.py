"""Since when this worker's children have the packages that are on its disk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mecapy_worker.packages import base

_SURE = timedelta(seconds=10)  # so old may the versions be that a kernel names in a key
_renewed_at: datetime | None = None
_settled: tuple[float, ...] | None = None


def settle(installed: tuple[float, ...], *, is_first: bool) -> None:
    """The children are of these (`base.changed`). `is_first`: the worker has just begun."""
    global _renewed_at, _settled
    _settled = installed
    _renewed_at = None if is_first else datetime.now(UTC)


def are_as_at(submitted_at: datetime) -> bool:
    """Whether nothing was installed here since then, and no child was older."""
    if _settled is not None and base.changed() != _settled:
        return False
    return _renewed_at is None or _renewed_at < submitted_at - _SURE
