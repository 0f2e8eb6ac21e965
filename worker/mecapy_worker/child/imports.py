"""The packages of a task: those that it adds, those that are imported before it comes, and what it
imported itself, so that its owner's next tasks find that imported. Part of the child.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import sys
from collections.abc import Sequence

from mecapy_jupyter.travel.environment import process_state, user_modules

MOST = 300
_WORTH = 50  # fewer take no time that one would notice
_INSTALLED = ("site-packages", "dist-packages")

_before = 0
_environment = ""


def ahead(names: Sequence[str]) -> None:
    """Import what can be imported."""
    for name in names:
        with contextlib.suppress(Exception, SystemExit):
            importlib.import_module(name)


def is_users(module_name: str) -> bool:
    """Whether it is the notebook, or a module of the user's."""
    module = sys.modules.get(module_name)
    return module_name == "__main__" or (module is not None and user_modules.is_own(module))


def enter(environment: str, names: Sequence[str]) -> None:
    """In the confined child: the packages in this folder come before the worker's. Their `.pth`
    files are not read. `names`: what the task will probably import of them.
    """
    global _environment
    _environment = environment
    sys.path.insert(0, environment)
    os.environ["PYTHONPATH"] = environment  # of Python processes that the task starts
    os.environ["PATH"] = f"{environment}/bin{os.pathsep}{os.environ.get('PATH', '')}"
    importlib.invalidate_caches()
    ahead(names)
    process_state.begin_environment()


def begin() -> None:
    """The task begins."""
    global _before
    _before = len(sys.modules)


def new() -> tuple[str, ...]:
    """Packages and their modules, no deeper, in the order of their imports; nothing if few are new.
    Never a module that the user wrote.
    """
    if len(sys.modules) - _before < (1 if _environment else _WORTH):
        return ()
    found = itertools.islice(sys.modules.items(), _before, None)
    names = (name for name, module in found if name.count(".") < 2 and _is_public(name, module))
    return tuple(itertools.islice(names, MOST))


def _is_public(name: str, module: object) -> bool:
    file = getattr(module, "__file__", None) or ""
    return (
        type(file) is str
        and any(f"/{folder}/" in file for folder in _INSTALLED)
        and not any(part.startswith("_") for part in name.split("."))
    )
