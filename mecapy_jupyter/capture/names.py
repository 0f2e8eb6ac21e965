"""What a cell reads and binds: the compiler's answer, from the bytecode's flow, without running
anything.

`uses` follows the code, `hidden` looks into strings (magics, eval). It never imports, and never
touches a value of the user but its code, to say in `missing` whether a NameError is certain.
"""

from __future__ import annotations

import ast
import builtins
import functools
import importlib.util
import re
import sys
import warnings
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any, cast

from mecapy_jupyter.capture import code_in_strings
from mecapy_jupyter.capture.bytecode import read
from mecapy_jupyter.capture.uses import Flow, nested

_OF_THE_COMPILER = frozenset(
    re.findall(
        r"\S+",
        "__name__ __qualname__ __module__ __doc__ __annotations__ __annotate__ __annotate_func__ "
        "__conditional_annotations__ "
        "__classdict__ __classdictcell__ __class__ __classcell__ __static_attributes__ "
        "__firstlineno__ __type_params__ "
        "__builtins__ .defaults .generic_base .type_params __debug__ get_ipython",
    )
)
_OF_IPYTHON = re.compile(
    r"_+|_i+|_i?\d+|_[iod]h|In|Out|_dh|_exit_code|exit|quit|get_ipython|display|__.*__"
)
_LOOKS_UP = frozenset({"eval", "exec", "globals", "get_ipython"})
"""A function that loads one of these may read any name of the notebook."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a cell does with the names of its notebook.

    `reads`: may be read before the cell surely bound it, builtins included; and whatever it may
    delete, so that a deleted name can be told from one that was never sent. `surely`: read for
    certain when the cell runs, with line and column of the first time. `binds`: may be bound when
    it ends or fails. `imports`: dotted names (`a.b` for `from a import b` too). `dynamic`: it may
    read any name (eval, globals()). `unseen`: it may bind any name (%run, exec).
    """

    reads: frozenset[str] = frozenset()
    surely: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    binds: frozenset[str] = frozenset()
    deletes: frozenset[str] = frozenset()
    imports: frozenset[str] = frozenset()
    stars: frozenset[str] = frozenset()
    dynamic: bool = False
    unseen: bool = False


def analyse(source: str, known: Container[str] = (), flags: int = 0) -> Names:
    """The names of a cell after IPython's transform. `known`: the notebook's names, to find which
    words in magics and query strings are names. `flags`: of `__future__` imports in force. Raises
    SyntaxError as the cell would.
    """
    names, words = _analyse(source, flags)
    found = {word for word in words if word in known}
    return replace(names, reads=names.reads | found) if found else names


@lru_cache(maxsize=256)
def _analyse(source: str, flags: int) -> tuple[Names, frozenset[str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape is reported once, by the cell itself
        code = compiled(source, flags)
        flow = Flow(read(code))
        if code_in_strings.TRIGGERS.isdisjoint(flow.uses.mentions):
            return _names(flow, code, source), frozenset()
        found = code_in_strings.look(source, flags, flow.uses.mentions)
        try:
            code = compiled(found.tree, flags)
        except (
            SyntaxError
        ):  # code in a string that cannot stand here (await in %timeit): read the cell as it is
            found.dynamic = found.unseen = True
        flow = Flow(read(code))
        flow.set_by_functions |= found.binds | found.deletes
        flow.uses.reads |= flow.function_reads()  # a string may call them at any time
        flow.uses.binds |= found.binds
        flow.uses.deletes |= found.deletes
        return replace(
            _names(flow, code, source), dynamic=found.dynamic, unseen=found.unseen
        ), frozenset(found.words)


def compiled(source: str | ast.Module, flags: int, filename: str = "<cell>") -> CodeType:
    """A cell as IPython takes it, statement by statement: `await` on top, and a `__future__` import
    anywhere. Raises SyntaxError.
    """
    flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        return compile(source, filename, "exec", flags, dont_inherit=True)
    except SyntaxError as error:
        if "__future__" not in error.msg:
            raise
    tree = cast(
        ast.Module, compile(source, filename, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    )
    tree.body.sort(key=lambda statement: getattr(statement, "module", "") != "__future__")
    return compile(tree, filename, "exec", flags, dont_inherit=True)


def _names(flow: Flow, code: CodeType, source: str) -> Names:
    uses = flow.uses
    return Names(
        reads=frozenset((uses.reads | uses.deletes) - _OF_THE_COMPILER),
        surely=_positions(code, source, flow.surely(), _OF_THE_COMPILER),
        binds=frozenset(uses.binds - _OF_THE_COMPILER),
        deletes=frozenset(uses.deletes),
        imports=frozenset(uses.imports),
        stars=frozenset(uses.stars),
    )


def _positions(
    code: CodeType, source: str, surely: dict[str, int], but: Container[str]
) -> dict[str, tuple[int, int]]:
    positions = list(code.co_positions()) if surely else []
    found: dict[str, tuple[int, int]] = {}
    lines = () if source.isascii() else source.splitlines()
    for name, offset in sorted(surely.items(), key=lambda item: item[1]):
        if name in but:
            continue
        line, _, column, _ = positions[offset // 2]
        if line and column and lines:  # the compiler counts UTF-8 bytes
            column = len(lines[line - 1].encode()[:column].decode(errors="replace"))
        found[name] = (line or 1, column or 0)
    return found


def missing(names: Names, namespace: Mapping[str, object]) -> tuple[str, int, int] | None:
    """The first name, with line and column, that the cell reads for certain and nobody will have
    bound; or None.

    Never a false alarm: code that could bind names unseen, end the cell before, or fail in another
    way first, is believed.
    """
    if names.dynamic or names.unseen or names.stars:
        return None
    for name, (line, column) in names.surely.items():
        if (
            name not in namespace
            and not hasattr(builtins, name)
            and not _OF_IPYTHON.fullmatch(name)
        ):
            return None if _may_surprise(names, namespace, name) else (name, line, column)
    return None


def _may_surprise(names: Names, namespace: Mapping[str, object], name: str) -> bool:
    """Whether an import may fail first, or a function of the notebook that the cell may call
    raises, exits or sets `name`.
    """
    if not all(_importable(module.partition(".")[0]) for module in names.imports):
        return True
    todo, done = list(names.reads), set(names.reads)
    while todo:
        for code in _codes(namespace.get(todo.pop())):
            uses = nested(code)
            if (
                uses.leaves
                or uses.stars
                or name in uses.binds
                or not code_in_strings.OPENERS.isdisjoint(uses.mentions)
            ):
                return True
            todo.extend(uses.reads - done)
            done |= uses.reads
    return False


def looks_up(names: Names, namespace: Mapping[str, object]) -> bool:
    """Whether a function of the notebook that the cell may call looks names up at run time, as a
    `dynamic` cell does itself.
    """
    todo, done = list(names.reads), set(names.reads)
    while todo:
        for code in _codes(namespace.get(todo.pop())):
            reads = _read_by(code)
            if not _LOOKS_UP.isdisjoint(reads):
                return True
            todo.extend(reads - done)
            done |= reads
    return False


@lru_cache(maxsize=4096)
def _read_by(code: CodeType) -> frozenset[str]:
    return frozenset(nested(code).reads)


def _importable(module: str) -> bool:
    try:
        return module in sys.modules or importlib.util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _codes(value: object, depth: int = 3) -> Iterator[CodeType]:
    """Code of the notebook that calling or using `value` may run."""
    while isinstance(value, (functools.partial, MethodType, staticmethod, classmethod)):
        value = (
            cast(Any, value).func
            if isinstance(value, functools.partial)
            else cast(Any, value).__func__
        )
    if isinstance(value, FunctionType):
        if value.__module__ == "__main__":
            yield value.__code__
        parts = [_content(cell) for cell in value.__closure__ or ()] if depth else []
    elif isinstance(value, property):
        parts = [value.fget, value.fset, value.fdel]
    else:
        kind = cast("type[object]", value if isinstance(value, type) else type(value))
        parts = [
            part
            for base in kind.__mro__
            if base.__module__ == "__main__"
            for part in vars(base).values()
        ]
    for part in parts if depth else ():
        yield from _codes(part, depth - 1)


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return None
