"""Lets a task run longer, and reports its new limit; for magic and command."""

from __future__ import annotations

from mecapy_jupyter import wire
from mecapy_jupyter.client import gateway_api
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.commands import task_selection
from mecapy_jupyter.shared import errors, units


def extend(gateway: Gateway, wanted: str = "last", more: str = "10m") -> wire.TaskLimit:
    """`wanted`: an id, the beginning of one, or `last`; `more`: minutes, or a duration as `2h`."""
    try:
        more_s = units.seconds(f"{more}m" if more.isdigit() else more)
    except ValueError as wrong:
        raise errors.ConfigError(f"{wrong}; write `extend {wanted} 10m`") from None
    return gateway_api.extend(gateway, task_selection.one(gateway, wanted).task_id, more_s)


def line(limit: wire.TaskLimit) -> str:
    return f"{limit.task_id[:8]} may run {units.spelled(limit.timeout_s)} now"
