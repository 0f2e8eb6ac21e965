"""Debuggers need a user; a task has none, and reports that instead of stopping."""

from __future__ import annotations

import pdb
import sys
from typing import NoReturn

from IPython.core import debugger
from IPython.core.error import StdinNotImplementedError


def refuse() -> None:
    sys.breakpointhook = pdb.set_trace = debugger.set_trace = _no_debugger
    for each in (pdb.Pdb, debugger.Pdb):  # of `%debug`, `pdb.run` and `pdb.post_mortem`
        each.interaction = _no_debugger


def _no_debugger(*_: object, **__: object) -> NoReturn:
    raise StdinNotImplementedError(
        "a cell on a worker cannot stop for a debugger: run it here, without %%mecapy, or print "
        "what you want to see"
    )
