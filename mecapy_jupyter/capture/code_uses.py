"""What a function's code does with global names, whenever it runs. Read from its bytecode with
`dis`, so that no source text is needed and every Python version is alike.
"""

from __future__ import annotations

import dis
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType

LOOKS_UP = frozenset(["eval", "exec", "globals", "get_ipython"])
"""Code that loads one of these may use any name of the notebook."""
SHOWS_ALL = frozenset(
    ["user_ns", "user_global_ns", "_getframe", "currentframe", "f_globals", "f_locals", "__main__"]
)
"""Code that mentions one of these functions of Python and IPython may, too."""
BINDS_UNSEEN = frozenset(
    ["modules", "builtins", "__builtins__", "setattr", "__import__", "breakpoint"]
)
WAYS = LOOKS_UP | SHOWS_ALL | BINDS_UNSEEN
"""Code that mentions one of these may bind any name of the notebook."""
_NAMES_A_NAME = frozenset(dis.hasname)


@dataclass(slots=True)
class Uses:
    """Global names read, bound, deleted; modules imported (`a.b` for `from a import b`, too). Not
    to be changed once made. `mentions`: names and attributes. `leaves`: running it may end the
    cell.
    """

    reads: set[str] = field(default_factory=set[str])
    binds: set[str] = field(default_factory=set[str])
    deletes: set[str] = field(default_factory=set[str])
    imports: set[str] = field(default_factory=set[str])
    mentions: set[str] = field(default_factory=set[str])
    texts: set[str] = field(default_factory=set[str])
    leaves: bool = False

    def include(self, other: Uses, runs: bool = True) -> None:
        """`runs`: what it reads, and whether it leaves, too; both depend on when it runs."""
        self.binds |= other.binds
        self.deletes |= other.deletes
        self.imports |= other.imports
        self.mentions |= other.mentions
        self.texts |= other.texts
        self.reads |= other.reads if runs else set()
        self.leaves |= other.leaves and runs


def finds_all(used: Uses) -> bool:
    """Whether it searches the notebook for objects that it does not name, as tests do. Code that
    only compares `__name__` with "__main__" does not.
    """
    mentions = used.mentions | used.imports
    return (
        "testmod" in mentions
        or {"unittest", "main"} <= mentions
        or "unittest.main" in mentions
        or "__main__" in used.imports
        or ("modules" in mentions and "__name__" in used.reads)
        or ("__main__" in used.texts and "__name__" not in mentions)
    )


@lru_cache(maxsize=4096)
def uses(code: CodeType) -> Uses:
    """Includes functions and classes defined inside."""
    found, module = Uses(), ""
    # `dis` uses the repr of each constant, and an integer of 5,000 digits has none.
    bare = code.replace(co_consts=(None,) * len(code.co_consts))
    for step in dis.get_instructions(bare):
        if step.opname == "RAISE_VARARGS":
            found.leaves = True
        if step.opcode not in _NAMES_A_NAME:
            continue
        name, (verb, _, kind) = str(step.argval), step.opname.partition("_")
        found.mentions.add(name)
        if step.opname == "IMPORT_NAME":
            found.imports.add(module := name)
        elif step.opname == "IMPORT_FROM":
            found.imports.add(f"{module}.{name}")
        elif verb == "LOAD" and kind in ("NAME", "GLOBAL", "FROM_DICT_OR_GLOBALS"):
            found.reads.add(name)
        elif kind == "GLOBAL":
            (found.binds if verb == "STORE" else found.deletes).add(name)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found.include(uses(constant))
        elif isinstance(constant, str):
            found.texts.add(constant)
    return found
