"""The first meaningful line of a task's code, for lists. Remembered, because a list that is open
asks again and again, and code never changes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store.tasks import lookup
from mecapy_jupyter.shared import units

_MOST = 20_000
_CHARS = 1000
_CODE = re.compile(r'\{"code": ?"((?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*)')
_SAYS_LITTLE = "#", "import ", "from "
_known: dict[str, str] = {}


async def first_lines(db: AsyncEngine, owner: str, task_ids: Sequence[str]) -> dict[str, str]:
    """Task → line. Tasks are found by their owner alone."""
    unknown = [task_id for task_id in task_ids if task_id not in _known]
    if unknown:
        if len(_known) > _MOST:
            _known.clear()
        starts = await lookup.request_starts(db, owner, unknown, _CHARS)
        _known.update({task_id: first_line(text) for task_id, text in starts.items()})
    return {task_id: _known.get(task_id, "") for task_id in task_ids}


def first_line(request: str) -> str:
    """The first line of the code in a request's JSON, which may be cut off."""
    found = _CODE.match(request)
    code = str(json.loads(f'"{found[1]}"')) if found else ""
    lines = (line for line in map(str.strip, code.splitlines()) if line)
    said = [line for line in lines if not line.startswith(_SAYS_LITTLE)]
    said = said or code.strip().splitlines()[:1]
    return units.clean(next(iter(said), ""), 100)
