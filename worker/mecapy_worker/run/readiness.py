"""Whether this worker can take a task now: its children, disk space, lease."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from mecapy_backend.shared.health import LOW_BYTES, Check
from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.shared.own_folder import own_folder
from mecapy_worker.context import Context
from mecapy_worker.pool.pool import Pool

_HOPELESS = 3  # a zygote that was killed is replaced before that


def unfit(context: Context) -> str:
    """Why this worker should leave tasks to others; empty if it should not. Costs some
    microseconds.
    """
    if time.monotonic() - context.lease.renewed_s > context.settings.lease_s:
        return "PostgreSQL has not answered for as long as a lease lasts"
    if context.lease.drains_since_s is not None:
        return "an operator drains it (`mecapy workers drain`)"
    return disk(context).advice


def disk(context: Context) -> Check:
    try:
        free = _free_bytes(context.scratch)
    except OSError as error:
        why = (
            "this worker cannot read the folder its tasks write to "
            f"({error.strerror}); make sure that nothing deletes TMPDIR, and restart "
            "it"
        )
        return Check("disk", "gone", why)
    except ConfigError as refused:  # made again by somebody else
        return Check("disk", "gone", str(refused))
    if free >= LOW_BYTES:
        return Check("disk")
    left = f"only {free // 1_000_000} MB are left where this worker's tasks write (TMPDIR)"
    return Check("disk", "full", f"{left}: make room; until then it takes no task")


def _free_bytes(scratch: Path) -> int:
    try:
        return shutil.disk_usage(scratch).free
    except FileNotFoundError:  # cleared away by somebody who takes it for a leftover
        own_folder(scratch, setting="TMPDIR")
        return shutil.disk_usage(scratch).free


def children(pool: Pool) -> Check:
    if pool.failing < _HOPELESS or pool.spare:
        return Check("children")
    advice = (
        f"no child could be made ready, {pool.failing} times in a row: the worker's log says "
        f"why (memory, processes, MECAPY_PRELOAD)"
    )
    return Check("children", "failing", advice)
