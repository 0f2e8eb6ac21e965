"""What a cell reads and binds, found without running anything: the one question others ask."""

from __future__ import annotations

import ast
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import CodeType
from typing import cast

from mecapy_jupyter.capture.cell_reader import CellReader
from mecapy_jupyter.capture.code_in_strings import may_be_code, names_in, without_warnings
from mecapy_jupyter.capture.code_uses import BINDS_UNSEEN, LOOKS_UP, SHOWS_ALL, finds_all, uses

_OF_PYTHON = frozenset(["__name__", "__doc__", "__class__", "__builtins__", "__debug__"]) | {
    "get_ipython"
}


@dataclass(frozen=True, slots=True)
class Names:
    """What a cell does with the names of its notebook.

    `reads`: may be read before the cell surely bound it, builtins included; and whatever it may
    delete, so that a deleted name can be told from one that was never sent. `hinted`: those of
    them that stand in strings alone. `surely`: read for certain when the cell runs, with line,
    column and what `NameReader` says. `binds`: may be bound when it ends or fails. `imports`:
    dotted names (`a.b` for `from a import b` too). `dynamic`: it may read any name (eval,
    globals()). `unseen`: it may bind any name (%run, exec). `met`: as in `NameReader`.
    """

    reads: frozenset[str] = frozenset()
    hinted: frozenset[str] = frozenset()
    surely: Mapping[str, tuple[int, int, int]] = field(
        default_factory=dict[str, tuple[int, int, int]]
    )
    binds: frozenset[str] = frozenset()
    deletes: frozenset[str] = frozenset()
    imports: frozenset[str] = frozenset()
    stars: frozenset[str] = frozenset()
    met: tuple[str, ...] = ()
    dynamic: bool = False
    unseen: bool = False


def analyse(source: str, known: Container[str] = (), flags: int = 0) -> Names:
    """The names of a cell after IPython's transform. `known`: the notebook's names, to find which
    words in strings are names. `flags`: of `__future__` imports in force. Raises SyntaxError as
    the cell would.
    """
    names, words, texts, looks = _analyse(source, flags)
    found = {word for word in words if word in known}.union(*(names_in(t, known) for t in texts))
    looking = any(name not in known or name == "get_ipython" for name in looks)
    if not found and not looking:
        return names
    return replace(
        names,
        reads=names.reads | found,
        hinted=frozenset(found - names.reads),
        dynamic=names.dynamic or looking,
        unseen=names.unseen or looking,
    )


_Read = tuple[Names, frozenset[str], tuple[str, ...], frozenset[str]]


@lru_cache(maxsize=256)
def _analyse(source: str, flags: int) -> _Read:
    with without_warnings():  # an invalid escape is reported once, by the cell itself
        tree, code = _compiled(source, flags)
        try:
            reader = CellReader(tree, code)
        except (RecursionError, SyntaxError):  # a formula of a thousand terms; `await` in %timeit
            return _without_order(code)
    used, mentions = reader.uses, reader.uses.mentions
    ways = not mentions.isdisjoint(SHOWS_ALL) or {"inspect", "stack"} <= mentions
    ways = ways or finds_all(used)
    noted = {"__annotations__" for one in tree.body if type(one) is ast.AnnAssign}
    names = Names(
        reads=frozenset((used.reads | used.deletes | noted) - _OF_PYTHON),
        surely=reader.surely,
        binds=frozenset(used.binds - _OF_PYTHON),
        deletes=frozenset(used.deletes),
        imports=frozenset(used.imports),
        stars=frozenset(reader.stars),
        met=tuple(reader.met),
        dynamic=reader.dynamic or ways,
        unseen=reader.unseen or ways or not mentions.isdisjoint(BINDS_UNSEEN),
    )
    texts = tuple(filter(may_be_code, used.texts))
    return names, frozenset(reader.words), texts, frozenset(reader.looks)


def _without_order(code: CodeType) -> _Read:
    used, bound = uses(code), frozenset(code.co_names)
    names = Names(
        frozenset(used.reads) | bound, binds=bound, imports=frozenset(used.imports), unseen=True
    )
    return (
        names,
        frozenset(),
        tuple(filter(may_be_code, used.texts)),
        frozenset(used.reads & LOOKS_UP),
    )


def _compiled(source: str, flags: int) -> tuple[ast.Module, CodeType]:
    """A cell as IPython takes it, statement by statement: `await` on top, and a `__future__` import
    anywhere. Raises SyntaxError.
    """
    flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    parsed = compile(source, "<cell>", "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    tree = cast(ast.Module, parsed)
    tree.body.sort(key=lambda statement: getattr(statement, "module", "") != "__future__")
    return tree, compile(tree, "<cell>", "exec", flags, dont_inherit=True)
