"""What a cell's code does with global names: its own level followed in order, all code made inside
it by what it may do.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import CodeType

from mecapy_jupyter.capture.bytecode import CODE, DELETE, LEAVE, LOAD, STORE, Body, Event, read
from mecapy_jupyter.capture.flow import bound_at_end, surely_bound_at_end, surely_read, with_bound


@dataclass(slots=True)
class Uses:
    """What code does with global names, wherever in it. `leaves`: running it may end the cell
    (raise, exit).
    """

    reads: set[str] = field(default_factory=set[str])
    binds: set[str] = field(default_factory=set[str])
    deletes: set[str] = field(default_factory=set[str])
    imports: set[str] = field(default_factory=set[str])
    stars: set[str] = field(default_factory=set[str])
    mentions: set[str] = field(default_factory=set[str])
    leaves: bool = False

    def add(self, other: Uses) -> None:
        """Everything of code made inside, but what it reads: that depends on when it runs."""
        self.binds |= other.binds
        self.deletes |= other.deletes
        self.imports |= other.imports
        self.stars |= other.stars
        self.mentions |= other.mentions


def nested(code: CodeType) -> Uses:
    """A function's or class body's uses. A class body's own names are not the notebook's."""
    body = read(code)
    uses = Uses(
        imports=body.imports, stars=body.stars, mentions=body.attributes | set(code.co_names)
    )
    optimized = (
        body.code.co_flags & inspect.CO_OPTIMIZED
    )  # a function's globals are bound by others
    events = (
        ((frozenset[str](), event) for block in body.blocks.values() for event in block.events)
        if optimized
        else with_bound(body.blocks)
    )
    for bound, (kind, what, _) in events:
        if kind == LOAD and what not in bound:
            uses.reads.add(what)
        elif kind in (STORE, DELETE) and what in body.global_names:
            (uses.binds if kind == STORE else uses.deletes).add(what)
        elif kind == LEAVE:
            uses.leaves = True
    own_name = (
        set[str]() if optimized else {code.co_name}
    )  # methods run when their class has its name
    for inner in _inner(body):
        uses.add(found := nested(inner))
        uses.reads |= found.reads - own_name
        uses.leaves |= found.leaves
    return uses


def _inner(body: Body) -> Iterator[CodeType]:
    yield from (
        what for block in body.blocks.values() for kind, what, _ in block.events if kind == CODE
    )
    yield from (code for codes in body.functions.values() for code in codes)


class Flow:
    """The cell's own level. A function that is only bound to its name runs, and reads, when that
    name is loaded; all other code made here (lambdas passed on, comprehensions, classes, decorated
    functions) may run at once.
    """

    def __init__(self, body: Body) -> None:
        self._blocks = body.blocks
        self._made = {id(code): nested(code) for code in _inner(body)}
        self._functions = {
            name: _union(self._made[id(code)] for code in codes)
            for name, codes in body.functions.items()
        }
        self.uses = Uses(
            imports=body.imports,
            stars=body.stars,
            mentions=body.attributes | set(body.code.co_names),
        )
        for made in self._made.values():
            self.uses.add(made)
        self.set_by_functions = set(self.uses.binds | self.uses.deletes)
        self.uses.binds |= bound_at_end(body.blocks)
        self._collect()

    def _collect(self) -> None:
        uses = self.uses
        for bound, event in with_bound(self._blocks):
            kind, what, _ = event
            if kind == DELETE:
                uses.deletes.add(what)
            uses.reads |= self._runs(event).reads - bound
            if kind == LOAD and what not in bound:
                uses.reads.add(what)
        uses.reads |= self.function_reads() - surely_bound_at_end(self._blocks)

    def function_reads(self) -> set[str]:
        return {name for function in self._functions.values() for name in function.reads}

    def _runs(self, event: Event) -> Uses:
        """What may run because of this event: a function whose name is loaded, with the functions
        it names in turn.
        """
        kind, what, _ = event
        if kind == CODE:
            return self._with_functions(self._made[id(what)])
        if kind == LOAD and what in self._functions:
            return self._with_functions(self._functions[what])
        return _NOTHING

    def _with_functions(self, uses: Uses) -> Uses:
        whole, todo, done = _union([uses]), list(uses.reads), set[str]()
        while todo:
            name = todo.pop()
            if name in self._functions and name not in done:
                done.add(name)
                whole.reads |= self._functions[name].reads
                whole.leaves |= self._functions[name].leaves
                todo.extend(self._functions[name].reads)
        return whole

    def surely(self) -> dict[str, int]:
        """Offsets of the first load of every name surely read."""
        sure = surely_read(
            self._blocks, lambda event: event[0] == LEAVE or self._runs(event).leaves
        )
        sure -= self.set_by_functions
        found: dict[str, int] = {}
        for block in self._blocks.values():
            for kind, what, offset in block.events:
                if kind in (LOAD, DELETE) and what in sure:
                    found.setdefault(what, offset)
        return found


_NOTHING = Uses()


def _union(parts: Iterable[Uses]) -> Uses:
    whole = Uses()
    for part in parts:
        whole.add(part)
        whole.reads |= part.reads
        whole.leaves |= part.leaves
    return whole
