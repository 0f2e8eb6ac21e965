"""The variables that `-i` names: names and globs."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from typing import Any

from mecapy_jupyter.cells.cell_errors import plain
from mecapy_jupyter.shared import errors


def picked(namespace: dict[str, Any], patterns: Sequence[str]) -> dict[str, Any]:
    matching = {
        n: v
        for n, v in namespace.items()
        if not n.startswith("_") and any(fnmatch.fnmatchcase(n, p) for p in patterns)
    }
    exact = [pattern for pattern in patterns if not re.search(r"[*?[]", pattern)]
    for name in exact:
        if name not in namespace and name != "none":
            raise plain(
                errors.ConfigError(
                    f"-i names {name!r}, but there is no such variable; define it first or leave "
                    f"it out"
                )
            )
    return matching | {name: namespace[name] for name in exact if name in namespace}
