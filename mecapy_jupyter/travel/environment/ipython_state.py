"""Settings of IPython in the notebook: `ast_node_interactivity`, `%precision`, `%xmode`, `from
__future__ import …`, and user-defined formatters.
"""

from __future__ import annotations
import __future__

import pickle
import sys
from typing import Any

from IPython.core.getipython import get_ipython

from mecapy_jupyter.travel.environment import state_pickler

_TEXT: dict[str, Any] = {"pprint": True, "max_width": 79, "max_seq_length": 1000, "verbose": False}
"""`%pprint`, and `%config PlainTextFormatter…`."""
FRESH: dict[str, Any] = {
    "ast_node_interactivity": "last_expr",
    "precision": "",
    "future": 0,
    "xmode": "Context",
    "text": _TEXT,
}
_FUTURE = sum(
    {int(getattr(__future__, name).compiler_flag) for name in __future__.all_feature_names}
)


def get() -> dict[str, Any] | None:
    """None where there is no shell."""
    shell: Any = get_ipython()
    if shell is None:
        return None
    formatter = shell.display_formatter.formatters["text/plain"]
    return {
        "ast_node_interactivity": str(shell.ast_node_interactivity),
        "precision": str(formatter.float_precision),
        "future": shell.compile.flags & _FUTURE,
        "xmode": str(shell.InteractiveTB.mode),
        "text": {name: getattr(formatter, name) for name in _TEXT},
    }


def put(state: dict[str, Any]) -> None:
    """Apply the settings to this shell."""
    shell: Any = get_ipython()
    shell.ast_node_interactivity = state["ast_node_interactivity"]
    shell.InteractiveTB.set_mode(state["xmode"])
    formatter = shell.display_formatter.formatters["text/plain"]
    for name, value in state.get("text", _TEXT).items():
        setattr(formatter, name, value)
    if formatter.float_precision != state["precision"]:
        numpy: Any = sys.modules.get("numpy")
        options: Any = numpy.get_printoptions() if numpy is not None else {}
        formatter.float_precision = state["precision"]
        if numpy is not None:
            # IPython also sets numpy's precision, which travels by itself
            numpy.set_printoptions(**options)
    shell.compile.flags = (shell.compile.flags & ~_FUTURE) | state["future"]


def functions() -> list[Any]:
    """Formatters that the notebook registered."""
    shell: Any = get_ipython()
    every = shell.display_formatter.formatters.values() if shell is not None else ()
    return [
        function
        for formatter in every
        for function in formatter.type_printers.values()
        if state_pickler.is_users(function)
    ]


def formatters() -> dict[str, list[bytes]] | None:
    """Mime type → pickled (type or its name, function), of formatters that the notebook made."""
    shell: Any = get_ipython()
    if shell is None:
        return None
    found = {
        mime: [
            data
            for kind, function in (formatter.type_printers | formatter.deferred_printers).items()
            if state_pickler.is_users(function)
            and (data := state_pickler.dumps((kind, function))) is not None
        ]
        for mime, formatter in shell.display_formatter.formatters.items()
    }
    return {mime: some for mime, some in found.items() if some} or None


def set_formatters(state: dict[str, list[bytes]]) -> None:
    shell: Any = get_ipython()
    for mime, some in state.items():
        formatter = shell.display_formatter.formatters[mime]
        for data in some:
            kind, function = pickle.loads(data)  # noqa: S301 our own state
            if isinstance(kind, tuple):
                formatter.for_type_by_name(*kind, function)
            else:
                formatter.for_type(kind, function)
