"""What a notebook has told its IPython: which expressions of a cell show, `%precision`, `from
__future__ import …`. Part of `ambient`.
"""

from __future__ import annotations
import __future__

import sys
from typing import Any

from IPython.core.getipython import get_ipython

FRESH: dict[str, Any] = {"ast_node_interactivity": "last_expr", "precision": "", "future": 0}
_FUTURE = sum(
    {int(getattr(__future__, name).compiler_flag) for name in __future__.all_feature_names}
)  # a bit each


def get() -> dict[str, Any] | None:
    """None where it is as in a fresh shell."""
    shell: Any = get_ipython()
    if shell is None:
        return None
    precision = str(shell.display_formatter.formatters["text/plain"].float_precision)
    now = {
        "ast_node_interactivity": str(shell.ast_node_interactivity),
        "precision": precision,
        "future": shell.compile.flags & _FUTURE,
    }
    return now if now != FRESH else None


def put(state: dict[str, Any]) -> None:
    """Make this shell like that."""
    shell: Any = get_ipython()
    shell.ast_node_interactivity = state["ast_node_interactivity"]
    formatter = shell.display_formatter.formatters["text/plain"]
    if formatter.float_precision != state["precision"]:
        numpy: Any = sys.modules.get("numpy")
        options: Any = numpy.get_printoptions() if numpy is not None else {}
        formatter.float_precision = state["precision"]
        if numpy is not None:
            numpy.set_printoptions(
                **options
            )  # IPython sets its precision, too; but that travels by itself
    shell.compile.flags = (shell.compile.flags & ~_FUTURE) | state["future"]
