"""`%mecapy cache`: which results are kept, and clearing them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from mecapy_jupyter.client import gateway_api
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.commands import task_selection
from mecapy_jupyter.shared import errors, units

_SHOWN = 20


def answer(gateway: Gateway, words: Sequence[str]) -> str:
    if words[:1] == ["clear"]:
        return _cleared(gateway, words[1:])
    if words:
        raise errors.ConfigError("write `%mecapy cache`, `cache clear` or `cache clear ID`")
    found = gateway_api.cache(gateway, _SHOWN)
    if not found.count:
        return "no result is kept; `%%mecapy --cache` keeps that of a cell"
    now = datetime.now().astimezone()
    lines = [
        f"{one.task_id[:8]}  {units.moment(one.ran_at or now, now):<17}"
        f"  {units.spent(one.seconds):>10}  {units.clean(one.name or one.code, 60)}"
        for one in found.entries
    ]
    more = found.count - len(lines)
    return "\n".join(
        [
            f"{found.count:,} results kept, of {units.spent(found.seconds)} run time; "
            "`%mecapy cache clear [ID]` deletes them",
            *lines,
            *([f"and {more:,} older ones"] if more else []),
        ]
    )


def _cleared(gateway: Gateway, words: Sequence[str]) -> str:
    if not words:
        gateway_api.clear_cache(gateway)
        return "cleared: cells run again; the tasks and their results stay"
    task = task_selection.one(gateway, *words[:1])
    gateway_api.clear_cache(gateway, task.task_id)
    return f"cleared: the result of {task.task_id[:8]} is not used again"
