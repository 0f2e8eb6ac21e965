"""The state of the process that travels, as a part of a key: setup cells, options of libraries,
environment.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from mecapy_jupyter.content_key.content import Content, NoContentKey
from mecapy_jupyter.travel.environment import surroundings

RANDOM = frozenset(["random", "numpy.random"])
SHOWN = RANDOM | frozenset(
    [
        *("shell", "formatters", "figure formats", "numpy.printoptions", "sympy.printing"),
        *("matplotlib.rcParams", "warnings.filters", "tqdm.pandas", "sys.argv", "sys.path"),
        *("logging", "logging.settings", "logging.waiting", "logging.records"),
        *("garbage collector", "thread switching", "thread stack", "signals", "nest_asyncio"),
        *("umask", "matplotlib.interactive"),
        *("control.names", "cvxpy.ids"),  # counters
    ]
)
"""Kinds that decide what is shown or logged, not what a function returns. Imports change several of
them, and no point of a sweep is to run again for an import.
"""
_SET_BY_IMPORTS = "KMP_"


def add(content: Content, prelude: Mapping[str, Any], but: Collection[str] = RANDOM) -> None:
    """Add a prelude without these kinds. Raises NoContentKey."""
    if (setup := prelude.get("setup")) and setup["variables"]:
        raise NoContentKey("a setup cell reads variables of the notebook")
    content.add([text for _, text in setup["texts"]] if setup else [])
    if prelude.get("patches"):
        raise NoContentKey("a function of a library is replaced by one of yours")
    named = prelude.get("surroundings", {}).items()
    if read := [each for each in sorted(named) if each[0] not in surroundings.ALWAYS]:
        content.mark("environment", b"")
        content.add(read)
    for kind, state in sorted(prelude.get("ambient", {}).items()):
        if kind == "environment":
            state = {name: held for name, held in state.items() if _SET_BY_IMPORTS not in name}
        if kind not in but and state:  # empty: of a library that is loaded, and as it was
            content.mark("state", kind.encode())
            content.add(state, f"the state of {kind}")
