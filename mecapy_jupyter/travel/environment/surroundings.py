"""Environment variables that the kernel was started with: those of every kernel and of its user,
and those that the user's code names. The worker gets them where it has none. One that looks like a
secret is named, and stays.
"""

from __future__ import annotations

import functools
import getpass
import os
import re
import types
from collections.abc import Iterable, Iterator, Mapping

from mecapy_jupyter.travel.environment import executed_source

_OF_A_USER = ("USER", "LOGNAME", "USERNAME")
ALWAYS = (
    *_OF_A_USER,
    "LNAME",  # `getpass.getuser` reads it too, where the kernel has none of them
    # ipykernel sets these; commands write colours for them
    *("TERM", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "PAGER", "GIT_PAGER"),
)
_OF_THE_MACHINE = re.compile(r"_?|(MECAPY|CUDA|HIP|ROCR|LD|DYLD|PYTHON)_?.*", re.DOTALL)
_SECRET = re.compile(r"SECRET|TOKEN|PASS|KEY|CREDENTIAL|AUTH", re.IGNORECASE)
_LOGIN = re.compile(r"://[^/\s]*:[^/\s]*@")


def now(
    words: Iterable[str], values: Mapping[str, object], modules: Iterable[str]
) -> dict[str, str | None]:
    """None for a secret. `words`: of the cell; `values`: what it gets, among it functions that may
    name some too; `modules`: the texts of the user's.
    """
    found: dict[str, str | None]
    found = {name: os.environ[name] for name in ALWAYS if name in os.environ}
    if found.keys().isdisjoint(_OF_A_USER):
        found["LNAME"] = _user()
    named = {*words, *(text for value in values.values() for text in _texts(value))}
    for name, text in sorted(os.environ.items()):
        if name in found or _OF_THE_MACHINE.fullmatch(name):
            continue
        if name in named or any(name in module for module in modules):
            found[name] = None if _SECRET.search(name) or _LOGIN.search(text) else text
    return found


def put(state: Mapping[str, str | None]) -> dict[str, str]:
    """On the other side. Returns those that are new there."""
    new = {name: text for name, text in state.items() if text is not None}
    new = {name: text for name, text in new.items() if name not in os.environ}
    os.environ.update(new)
    return new


def _texts(value: object) -> Iterator[str]:
    if type(value) is types.FunctionType and value.__module__ == "__main__":
        for code in executed_source.codes(value.__code__):
            yield from (one for one in code.co_consts if type(one) is str)


@functools.cache
def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
