"""The figures as a table of text, and its place in the document. A ratio: how many times as long a
trip took as in the local kernel.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from pathlib import Path

BEGIN, END = "<!-- peers -->", "<!-- /peers -->"


@dataclass(frozen=True, slots=True)
class Found:
    """One peer's figures. Without trips it did not run, and `reason` says why; without
    `bytes_per_s`, why no array came back.
    """

    name: str
    trips_s: list[float] = field(default_factory=list[float])
    calls: int = 0
    calls_per_s: float = 0.0
    bytes_per_s: float = 0.0
    reason: str = ""

    @property
    def p50_s(self) -> float:
        return statistics.median(self.trips_s)

    @property
    def p99_s(self) -> float:
        return sorted(self.trips_s)[int(len(self.trips_s) * 0.99)]


HEAD = f"{'':18}{'p50 ms':>8}{'× local':>9}{'p99 ms':>8}{'calls/s':>12}{'MB/s':>8}"


def table(local: Found, others: list[Found]) -> str:
    rows = [_row(one, local) if one.trips_s else f"{one.name:18}  did not run" for one in others]
    reasons = [f"- {one.name}: {one.reason}" for one in others if one.reason]
    shown = ["```text", HEAD, _row(local, local), *rows, "```"]
    return "\n".join([*shown, *(["", *reasons] if reasons else [])])


def _row(one: Found, local: Found) -> str:
    data = f"{one.bytes_per_s / 1e6:,.0f}" if one.bytes_per_s else "no"
    return (
        f"{one.name:18}{one.p50_s * 1e3:8.1f}{one.p50_s / local.p50_s:9.1f}"
        f"{one.p99_s * 1e3:8.1f}{one.calls_per_s:12,.0f}{data:>8}"
    )


def write(document: Path, section: str) -> None:
    """Between the two marks, which are added at the end where missing."""
    text = document.read_text()
    before, begin, rest = text.partition(BEGIN)
    after = rest.partition(END)[2].strip() if begin else ""
    parts = [before.rstrip(), f"{BEGIN}\n\n{section.strip()}\n\n{END}", after]
    document.write_text("\n\n".join(part for part in parts if part) + "\n")
