"""What a task does that its result depends on and no key covers: the clock, chance, the network,
other programs, files that nobody declared. Only for a task whose result is to be kept.

What MecaPy cannot see counts as a reason. The hooks report here; each reason is one clause that
ends "its result is not kept: ...".
"""

from __future__ import annotations

import sys
from types import FrameType

from mecapy_jupyter.travel.environment import module_importer

_MOST = 5
_TOOLS = frozenset(
    [
        *("IPython", "ipykernel", "ipywidgets", "comm", "traitlets", "jupyter_client", "nbformat"),
        *("matplotlib", "matplotlib_inline", "bokeh", "plotly", "altair", "jinja2", "rich"),
        *("tqdm", "joblib", "threadpoolctl", "cloudpickle", "numba", "llvmlite", "zmq", "tornado"),
    ]
)
"""These packages use the clock and random numbers for names and waits only; no result depends on
them.
"""
_PASSED_ON = frozenset(["uuid", "timeit", "secrets", "random", "email", "profile", "cProfile"])
"""Modules of Python that hand on what they read."""

active = False
"""Whether the task's own code runs."""
_reasons: dict[str, None] = {}


def begin() -> None:
    global active
    active = True


def end() -> None:
    global active
    active = False


def note(reason: str) -> None:
    if len(_reasons) < _MOST:
        _reasons.setdefault(reason)


def reasons() -> tuple[str, ...]:
    return tuple(_reasons)


def is_users(frame: FrameType) -> bool:
    """Whether it runs code of the notebook or of a module of the user."""
    name = str(frame.f_globals.get("__name__"))
    return name == "__main__" or name in module_importer.served.sources


def reader(frame: FrameType | None) -> str | None:
    """Who reads, from this frame on: "" for the user's code, a package's name, None where no result
    depends on it.
    """
    while frame is not None:
        if is_users(frame):
            return ""
        module = str(frame.f_globals.get("__name__"))
        package = module.partition(".")[0]
        if module == "asyncio.base_events" and frame.f_code.co_name == "time":
            return "" if frame.f_back is not None and is_users(frame.f_back) else None
        if package in _TOOLS or package.startswith("mecapy_") or _is_of_tables(module):
            return None
        if package not in _PASSED_ON and package != "numpy":
            of_python = package in sys.stdlib_module_names or package == "importlib"
            return None if of_python else package
        frame = frame.f_back
    return None


def _is_of_tables(module: str) -> bool:
    """pandas draws names for the cells of a styled table."""
    return module.startswith("pandas.io.formats.")


def where(package: str) -> str:
    return f" (in {package})" if package else ""
