"""Applies a task's in-place changes to the originals."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mecapy_jupyter.travel.changes import setters
from mecapy_jupyter.travel.changes.changes import Changes
from mecapy_jupyter.travel.garbage import uncollected


@dataclass(frozen=True, slots=True)
class Applied:
    """`failed`: originals whose own code refused, with the reason; `aside`: number → new object
    with the counterpart's content.
    """

    changed: list[object] = field(default_factory=list[object])
    swaps: list[tuple[object, object]] = field(default_factory=list[tuple[object, object]])
    failed: list[tuple[object, str]] = field(default_factory=list[tuple[object, str]])
    aside: dict[int, list[tuple[str, list[Any]]]] = field(
        default_factory=dict[int, list[tuple[str, list[Any]]]]
    )


@uncollected()
def applied(
    found: Iterable[Changes], memo: Mapping[int, object], spared: Collection[int]
) -> Applied:
    """Give the originals the content of their counterparts: first those whose own code does not
    run, then the others, inner ones first, because their code may read their content.
    """
    done, last = Applied(), list[tuple[int, str, list[Any]]]()
    hashed = ("dict", "set")
    for changes in sorted(found, key=lambda one: one.kind in hashed):
        if changes.column and not spared:
            originals = [memo[number] for number in changes.numbers]
            done.changed.extend(originals)
            setters.apply_column(changes.kind, changes.column[0], originals, changes.parts)
            continue
        for number, parts in changes:
            if number in spared:
                done.aside.setdefault(number, []).append((changes.kind, parts))
            elif changes.kind in setters.LAST:
                last.append((number, changes.kind, parts))
            else:
                _apply(done, memo[number], changes.kind, parts)
    for number, kind, parts in sorted(last, key=lambda one: -one[0]):
        _apply(done, memo[number], kind, parts)
    return done


def _apply(done: Applied, original: object, kind: str, parts: list[Any]) -> None:
    done.changed.append(original)
    try:
        if not setters.apply(original, kind, parts):
            done.swaps.append((original, setters.instead(kind, parts)))
    except Exception as error:
        done.failed.append((original, f"{type(error).__name__}: {error}"))
