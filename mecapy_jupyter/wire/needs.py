"""An input that is another task's result: `task:<id>:<variable>`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
NEED = rf"^task:{_ID}:[^:\x00]*$"
"""As a regular expression, for checking requests; at most NEED_CHARS long."""

NEED_CHARS = 300

MOST_NEEDS = 400
"""The most results that one task needs: the result and the inputs of each parent are files in the
child.
"""

_PARTS = re.compile(rf"task:({_ID}):([^:\x00]*)")


@dataclass(frozen=True, slots=True)
class Need:
    """`variable`: one that the parent bound; "": its result, which is what its Future has."""

    task_id: str
    variable: str = ""

    def __str__(self) -> str:
        return f"task:{self.task_id}:{self.variable}"

    @classmethod
    def parse(cls, text: str) -> Need:
        """Raises ValueError."""
        found = _PARTS.fullmatch(text)
        if found is None:
            raise ValueError(f"{text[:80]!r} names no task's result: task:<id>:<variable>")
        return cls(*found.groups())
