"""Three questions to the blocks of a code object: what is surely bound here, what may be bound when
it ends, what is surely read.

Classic dataflow over `bytecode.Block`; sets of names, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce

from mecapy_jupyter.capture.bytecode import DELETE, LOAD, STORE, Block, Event

Bound = frozenset[str]
Blocks = dict[int, Block]


def after(bound: Bound, event: Event) -> Bound:
    kind, what, _ = event
    return bound | {what} if kind == STORE else bound - {what} if kind == DELETE else bound


def surely_bound(blocks: Blocks) -> dict[int, Bound]:
    """For every block that can run, the names bound on every way to its start."""
    entry: dict[int, Bound] = {0: frozenset()}
    todo = [0]

    def flows(target: int, bound: Bound) -> None:
        known = entry.get(target)
        if known is None or not known <= bound:
            entry[target] = bound if known is None else known & bound
            todo.append(target)

    while todo:
        block = blocks[offset := todo.pop()]
        bound = least = entry[offset]
        for event in block.events:
            bound = after(bound, event)
            if event[0] == DELETE:
                least &= bound
        for target in block.follows:
            flows(target, bound)
        if block.handler >= 0:
            flows(block.handler, least)
    return entry


def with_bound(blocks: Blocks) -> Iterator[tuple[Bound, Event]]:
    """Every event that can happen, with the names surely bound before it."""
    for offset, bound in surely_bound(blocks).items():
        for event in blocks[offset].events:
            yield bound, event
            bound = after(bound, event)


def surely_bound_at_end(blocks: Blocks) -> Bound:
    """Names bound on every way to the code's end."""
    ends = [
        reduce(after, blocks[offset].events, bound)
        for offset, bound in surely_bound(blocks).items()
        if blocks[offset].returns
    ]
    return reduce(frozenset[str].intersection, ends) if ends else frozenset()


def bound_at_end(blocks: Blocks) -> Bound:
    """Names the code may leave bound, whether it runs to its end or fails anywhere: `except … as e`
    leaves none.
    """
    entry: dict[int, Bound] = {0: frozenset()}
    left: Bound = frozenset()
    todo = [0]
    while todo:
        block = blocks[offset := todo.pop()]
        bound = entry[offset]
        seen = (
            frozenset[str]() if block.events else bound
        )  # where an exception may leave the block: before its events
        for number, event in enumerate(block.events):
            if not (
                _deleted_at_once(block.events, number) or _deleted_at_once(block.events, number - 1)
            ):
                seen |= bound
            bound = after(bound, event)
        if not block.guarded:
            left |= seen
        if block.returns:
            left |= bound
        for target, flowing in [
            *((target, bound) for target in block.follows),
            (block.handler, seen),
        ]:
            if target >= 0 and (target not in entry or not flowing <= entry[target]):
                entry[target] = entry.get(target, frozenset()) | flowing
                todo.append(target)
    return left


def _deleted_at_once(events: list[Event], number: int) -> bool:
    """How the compiler ends `except … as e`: it stores None and deletes it, and nothing can fail
    between.
    """
    if not 0 <= number < len(events) - 1:
        return False
    (kind, what, offset), (then, other, later) = events[number : number + 2]
    return (
        kind == STORE and then == DELETE and what == other and later - offset <= 6
    )  # bytes: one instruction with its prefixes


def surely_read(blocks: Blocks, may_leave: Callable[[Event], bool]) -> Bound:
    """Names loaded on every way from the start to the end, before they are stored and before
    `may_leave`. A loop without end, and what the code itself may catch, promise nothing.
    """
    everything = frozenset(
        what
        for block in blocks.values()
        for kind, what, _ in block.events
        if kind in (LOAD, DELETE)
    )
    endless = _endless(blocks)
    entry: dict[int, Bound] = {
        offset: frozenset() if offset in endless else everything for offset in blocks
    }
    does = [
        (offset, block, *_effect(block, everything, may_leave))
        for offset, block in reversed(blocks.items())
        if offset not in endless
    ]
    changed = True
    while changed:
        changed = False
        for offset, block, reads, stops in does:
            found: Bound = (
                frozenset() if block.returns else everything
            )  # an error raised again: no way goes on from it
            for target in block.follows:
                found &= entry[target]
            found = found - stops | reads
            if block.guarded:
                found &= entry[block.handler]
            if found != entry[offset]:
                entry[offset], changed = found, True
    return entry[0]


def _effect(
    block: Block, everything: Bound, may_leave: Callable[[Event], bool]
) -> tuple[Bound, Bound]:
    """What a block surely reads itself, and the names it keeps from being surely read after it."""
    reads, stops = set[str](), set[str]()
    for event in block.events:
        kind, what, _ = event
        if kind == STORE:
            stops.add(what)
            continue
        if kind in (LOAD, DELETE) and not block.guarded and what not in stops:
            reads.add(what)
        if kind != DELETE and may_leave(event):
            stops |= everything
    return frozenset(reads), frozenset(stops)


def _endless(blocks: Blocks) -> set[int]:
    """Blocks that may run round for ever: a loop ahead, and no way to the end."""
    ending = _leading_to({offset for offset, block in blocks.items() if block.returns}, blocks)
    looping = _leading_to(
        {
            offset
            for offset, block in blocks.items()
            if any(target <= offset for target in block.follows)
        },
        blocks,
    )
    return looping - ending


def _leading_to(found: set[int], blocks: Blocks) -> set[int]:
    size = -1
    while size != len(found):
        size = len(found)
        found.update(
            offset
            for offset, block in reversed(blocks.items())
            if not found.isdisjoint(block.follows)
        )
    return found
