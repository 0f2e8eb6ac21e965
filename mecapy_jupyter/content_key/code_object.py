"""A code object as parts that are equal for equal code: comments, blank lines, docstrings, line
numbers and the file's name do not count.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType

_LOADS_CONSTANT = frozenset(dis.hasconst)
_HAS_DOCSTRING = 0x4000000  # a flag since Python 3.13


def parts(code: CodeType) -> Iterator[object]:
    """Values and nested code objects, in order. The instructions are those of one Python version,
    which a key has to name.
    """
    yield code.co_name
    yield code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    yield code.co_flags & ~_HAS_DOCSTRING
    yield code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    yield code.co_exceptiontable
    # `dis` uses the repr of each constant, and an integer of 5,000 digits has none.
    bare = code.replace(co_consts=(None,) * len(code.co_consts))
    for step in dis.get_instructions(bare):
        yield step.opname
        if step.opcode not in _LOADS_CONSTANT or step.arg is None:
            yield step.arg
        else:  # by value, because a docstring shifts the numbers
            yield code.co_consts[step.arg]
