"""What a code object does with names: decoded into blocks, so that `capture` can ask what is bound
where.

Reads CPython's bytecode (3.11 to 3.14), runs none of it and knows nothing of notebooks.
"""

from __future__ import annotations

import dis
import inspect
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

LOAD, STORE, DELETE, CODE, LEAVE = range(5)
"""Kinds of events: a global name is loaded, stored, deleted; a nested code object appears; the cell
may end here.
"""

ENDERS = frozenset(
    {
        "exit",
        "quit",
        "_exit",
        "abort",
        "kill",
        "_Exit",
        "stop",
        "skip",
        "throw",
        "fail",
        "StopExecution",
    }
)
"""Names that, called, may end the cell on purpose."""

_OP = dis.opmap
_EXTENDED, _CACHE = _OP["EXTENDED_ARG"], _OP["CACHE"]
_ATTRIBUTES_SHIFT = (
    1 if "LOAD_METHOD" not in _OP or _OP["LOAD_METHOD"] > 255 else 0
)  # 3.12 keeps a flag in LOAD_ATTR's low bit


def _ops(*names: str) -> frozenset[int]:
    return frozenset(_OP[name] for name in names if name in _OP)


_LOADS = {
    _OP[name]: shift
    for name, shift in (("LOAD_NAME", 0), ("LOAD_GLOBAL", 1), ("LOAD_FROM_DICT_OR_GLOBALS", 0))
    if name in _OP
}
_STORES, _GLOBAL_STORES = _ops("STORE_NAME", "STORE_GLOBAL"), _ops("STORE_GLOBAL", "DELETE_GLOBAL")
_DELETES = _ops("DELETE_NAME", "DELETE_GLOBAL")
_ATTRIBUTES, _IMPORT, _IMPORT_FROM = (
    _ops("LOAD_ATTR", "LOAD_METHOD"),
    _OP["IMPORT_NAME"],
    _OP["IMPORT_FROM"],
)
_CONSTANTS, _SMALL_INT, _BINARY = (
    _ops("LOAD_CONST", "LOAD_CONST_IMMORTAL"),
    _ops("LOAD_SMALL_INT"),
    _ops("BINARY_OP"),
)
_MAKE, _DECORATE = _ops("MAKE_FUNCTION"), _ops("SET_FUNCTION_ATTRIBUTE")
_RAISES, _RERAISES = _ops("RAISE_VARARGS", "RERAISE"), _ops("RERAISE")
_STAR, _INTRINSIC, _INTRINSIC_STAR = _ops("IMPORT_STAR"), _ops("CALL_INTRINSIC_1"), 2
_JUMPS = frozenset(dis.hasjrel) - _ops(
    "END_ASYNC_FOR"
)  # 3.14 gives it a target for tools only; it falls through
_BACKWARD = frozenset(op for op in _JUMPS if "BACKWARD" in dis.opname[op])
_ALWAYS = frozenset(
    op for op in _JUMPS if dis.opname[op].startswith("JUMP_") and "_IF_" not in dis.opname[op]
)
_ENDS = _ops("RETURN_VALUE", "RETURN_CONST") | _RAISES
_HANDLING = _JUMPS | _ENDS | _STORES | _DELETES | _ops("PUSH_EXC_INFO")

Event = tuple[int, Any, int]
"""Kind, the name or code object, and the offset of the instruction."""

Step = tuple[int, int, int, int]
"""Offset of an instruction (its prefixes included), its opcode, its argument, and the offset after
its caches.
"""


@dataclass(slots=True)
class Block:
    """Instructions that run one after another. `handler`: the block an exception goes to, -1 for
    none that could swallow it.
    """

    events: list[Event] = field(default_factory=list[Event])
    follows: tuple[int, ...] = ()
    handler: int = -1
    guarded: bool = False  # an exception raised here may be swallowed by the code itself
    returns: bool = False


@dataclass(slots=True)
class Body:
    """One code object, read. `blocks` by offset in code order; `functions`: names bound to a plain
    function made here.
    """

    code: CodeType
    blocks: dict[int, Block]
    functions: dict[str, list[CodeType]]
    imports: set[str]
    stars: set[str]
    attributes: set[str]
    global_names: set[str]  # stored or deleted as a global even where names are local otherwise


def steps(code: CodeType) -> list[Step]:
    raw, found, offset, size = code.co_code, list[Step](), 0, len(code.co_code)
    while offset < size:
        start, op, arg = offset, raw[offset], raw[offset + 1]
        offset += 2
        while op == _EXTENDED:
            op, arg = raw[offset], arg << 8 | raw[offset + 1]
            offset += 2
        while offset < size and raw[offset] == _CACHE:
            offset += 2
        found.append((start, op, arg, offset))
    return found


def _target(step: Step) -> int:
    _, op, arg, after = step
    return after - 2 * arg if op in _BACKWARD else after + 2 * arg


def _varint(first: int, rest: Iterator[int]) -> int:
    """Six bits a byte, the highest first: CPython's Objects/exception_handling_notes.txt."""
    value = first & 63
    while first & 64:
        first = next(rest)
        value = value << 6 | first & 63
    return value


def _handlers(code: CodeType, listing: list[Step]) -> Iterator[tuple[int, int, int, bool]]:
    """(start, end, handler, may swallow). The compiler's own clean-up (of comprehensions,
    coroutines) only raises again.
    """
    index = {step[0]: number for number, step in enumerate(listing)}
    table = iter(code.co_exceptiontable)
    for first in table:
        start = 2 * _varint(first, table)
        end = start + 2 * _varint(next(table), table)
        target = 2 * _varint(next(table), table)
        _varint(next(table), table)  # stack depth
        number = index[target]
        while listing[number][1] not in _HANDLING:
            number += 1
        yield start, end, target, listing[number][1] not in _RERAISES


def _blocks(code: CodeType, listing: list[Step]) -> dict[int, Block]:
    if code.co_flags & inspect.CO_OPTIMIZED:
        return {
            0: Block()
        }  # a function's globals are bound by others at any time: its order says nothing
    handlers = list(_handlers(code, listing))
    leaders = {0}
    for step in listing:
        if step[1] in _JUMPS:
            leaders.update((_target(step), step[3]))
        elif step[1] in _ENDS:
            leaders.add(step[3])
    for start, end, target, _ in handlers:
        leaders.update((start, end, target))
    leaders.discard(listing[-1][3])
    blocks = {offset: Block() for offset in sorted(leaders)}
    current = blocks[0]
    for position, step in enumerate(listing):
        current = blocks.get(step[0], current)
        after = listing[position + 1][0] if position + 1 < len(listing) else -1
        if step[1] in _JUMPS:
            current.follows = (_target(step),) if step[1] in _ALWAYS else (_target(step), step[3])
        elif step[1] in _ENDS:
            current.returns = step[1] not in _RAISES
        elif after in blocks:
            current.follows = (after,)
    offsets = list(blocks)
    for start, end, target, swallows in handlers:
        for offset in offsets[bisect_left(offsets, start) : bisect_left(offsets, end)]:
            blocks[offset].handler, blocks[offset].guarded = target, swallows
    return blocks


def read(code: CodeType) -> Body:
    listing = steps(code)
    body = Body(code, _blocks(code, listing), {}, set(), set(), set(), set())
    names, constants = code.co_names, code.co_consts
    current, imported, zero = body.blocks[0], "", False
    for position, (offset, op, arg, _) in enumerate(listing):
        current = body.blocks.get(offset, current)
        events, was_zero, zero = current.events, zero, False
        if op in _LOADS:
            events.append((LOAD, name := names[arg >> _LOADS[op]], offset))
            if name in ENDERS:
                events.append((LEAVE, name, offset))
        elif op in _STORES or op in _DELETES:
            events.append((STORE if op in _STORES else DELETE, names[arg], offset))
            if op in _GLOBAL_STORES:
                body.global_names.add(names[arg])
        elif op in _ATTRIBUTES:
            body.attributes.add(name := names[arg >> _ATTRIBUTES_SHIFT])
            if name in ENDERS:
                events.append((LEAVE, name, offset))
        elif op in _CONSTANTS:
            if isinstance(constants[arg], CodeType):
                name = _bound_to(listing, position, names)
                if name:
                    body.functions.setdefault(name, []).append(constants[arg])
                else:
                    events.append((CODE, constants[arg], offset))
            zero = constants[arg].__class__ in (int, float) and not constants[arg]
        elif op in _SMALL_INT:
            zero = not arg
        elif op in _BINARY and was_zero:
            events.append(
                (LEAVE, "division by zero", offset)
            )  # it raises before anything after it is read
        elif op == _IMPORT:
            body.imports.add(imported := names[arg])
        elif op == _IMPORT_FROM:
            body.imports.add(f"{imported}.{names[arg]}")
        elif op in _STAR or (op in _INTRINSIC and arg == _INTRINSIC_STAR):
            body.stars.add(imported)
        elif op in _RAISES and op not in _RERAISES:
            events.append((LEAVE, "raise", offset))
    return body


def _bound_to(listing: list[Step], position: int, names: tuple[str, ...]) -> str:
    """The name a function is stored under at once: it cannot run before that name is loaded. Empty:
    it may run now.
    """
    position += 1
    if listing[position][1] not in _MAKE:
        return ""
    position += 1
    while listing[position][1] in _DECORATE:
        position += 1
    return names[listing[position][2]] if listing[position][1] in _STORES else ""
