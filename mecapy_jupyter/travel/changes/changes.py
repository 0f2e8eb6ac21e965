"""The content of a cell's inputs after the cell, in the form that travels home."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Changes:
    """The content of many objects, held in one way (`kind`; `setters` has a function for each).

    The parts of the first object of `numbers` end at `ends[0]`, and so on. `column`: empty, or a
    name. With a name, each object has one part, its value of that name, and `ends` is empty.
    """

    kind: str
    column: tuple[Any, ...] = ()
    numbers: array[int] = field(default_factory=lambda: array("q"))
    ends: array[int] = field(default_factory=lambda: array("q"))
    parts: list[Any] = field(default_factory=list[Any])

    def add(self, number: int, parts: Iterable[Any]) -> None:
        self.parts.extend(parts)
        self.numbers.append(number)
        self.ends.append(len(self.parts))

    def __iter__(self) -> Iterator[tuple[int, list[Any]]]:
        """Each object's number, and its parts as its setter takes them."""
        if self.column:
            for number, value in zip(self.numbers, self.parts, strict=True):
                yield number, [*self.column, value]
            return
        start = 0
        for number, end in zip(self.numbers, self.ends, strict=True):
            yield number, self.parts[start:end]
            start = end

    def only(self, numbers: Collection[int]) -> Changes:
        """The changes of these objects only."""
        chosen = Changes(self.kind, self.column)
        for number, parts in self:
            if number in numbers and self.column:
                chosen.numbers.append(number)
                chosen.parts.append(parts[-1])
            elif number in numbers:
                chosen.add(number, parts)
        return chosen
