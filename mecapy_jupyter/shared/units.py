"""How numbers, and text that comes from elsewhere, are written for people. Plain functions.

Everything the live block and the status show passes through here, so that it reads the same in HTML
and in text.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime

from mecapy_jupyter.wire.json_fields import as_number

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?")


def number(value: object) -> float | None:
    """A finite, non-negative number, or None for whatever else a task's log may hold."""
    real = as_number(value)
    return float(real) if real is not None and real >= 0 else None


def clean(value: object, limit: int = 80) -> str:
    """One printable line of at most `limit` characters: no terminal escapes, no control or
    direction characters.
    """
    text = _ESCAPES.sub("", str(value)[: 8 * limit])
    text = "".join(
        " " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c)[0] != "C"
    )
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def escaped(value: object) -> str:
    """Text made safe to stand in HTML, in an element or in a quoted attribute."""
    return html.escape(str(value), quote=True)


def local_time(at: datetime | None) -> str:
    """`2026-05-04 13:37:00`, by this machine's clock and zone; "" for None."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}" if at else ""


def clock(seconds: float) -> str:
    """`0:42`, `3:38`, `1:02:03`."""
    minutes, rest = divmod(int(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


_UNITS = {"": 1.0, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(duration: str | float) -> float:
    """`90`, `"90s"`, `"15min"`, `"2h"`, `"1d"` → seconds. Raises ValueError for what is none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(duration).strip())
    if match is None or match[2] not in _UNITS or float(match[1]) <= 0:
        raise ValueError(f"{duration!r} is not a duration; write 90, 90s, 15min or 2h")
    return float(match[1]) * _UNITS[match[2]]


_BYTES = {"": 1, "b": 1} | {
    f"{prefix}{ending}": base**power
    for ending, base in (("", 1000), ("b", 1000), ("ib", 1024))
    for power, prefix in enumerate("kmgt", 1)
}


def byte_count(text: str | int) -> int:
    """`"16GB"`, `"512 MB"`, `"1.5GiB"`, `4000000` → bytes. Raises ValueError for what is none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", str(text).strip().lower())
    if match is None or match[2] not in _BYTES or float(match[1]) <= 0:
        raise ValueError(f"{text!r} is not a size; write 16GB, 512MB or 1.5GiB")
    return round(float(match[1]) * _BYTES[match[2]])


def spent(seconds: float) -> str:
    """A time that has passed: `0.3 s`, `42 s`, `3 min 40 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def moment(at: datetime, now: datetime) -> str:
    """A time by this machine's clock: `today 14:02`, `yesterday 14:02`, `2026-05-04 14:02`."""
    at, now = at.astimezone(), now.astimezone()
    days = (now.date() - at.date()).days
    day = {0: "today", 1: "yesterday"}.get(days, f"{at:%Y-%m-%d}")
    return f"{day} {at:%H:%M}"


def duration(seconds: float) -> str:
    """A rough time ahead: `25 s`, `4 min`, `2 h`."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 60)} min" if seconds < 90 * 60 else f"{round(seconds / 3600)} h"


def spelled(seconds: float) -> str:
    """A time ahead in two units: `25 s`, `3 min 40 s`, `2 h 10 min`."""
    whole = max(round(seconds), 1)
    if whole >= 3600:
        hours, minutes = divmod(round(whole / 60), 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    minutes, rest = divmod(whole, 60)
    return " ".join([*([f"{minutes} min"] if minutes else []), *([f"{rest} s"] if rest else [])])


def price(euros: float) -> str:
    """`€0.002`, `€0.35`, `€12.40`."""
    if 0 < euros < 0.0005:
        return "less than €0.001"
    return f"€{euros:.2f}" if euros >= 0.1 else f"€{euros:.2g}"


def raised(expected_s: float, passed_s: float) -> float:
    """A longer estimate once the time has passed: half as much more, as often as needed."""
    while 0 < expected_s < passed_s:
        expected_s *= 1.5
    return expected_s


def size(count: float) -> str:
    """Bytes in powers of 1000, two figures where they matter: `0 B`, `1.2 MB`, `4 GB`."""
    unit = "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if count < 999.5:
            break
        count, unit = count / 1000, larger
    if unit == "B" or count >= 9.95:
        return f"{round(count)} {unit}"
    return f"{count:.1f} {unit}".replace(".0 ", " ")


def of_size(count: float, limit: float) -> str:
    """`5.1 of 8 GB`, `58 MB of 4 GB`."""
    used, most = size(count), size(limit)
    same = used.rpartition(" ")[2] == most.rpartition(" ")[2]
    return f"{used.rpartition(' ')[0] if same else used} of {most}"


def ordinal(place: int) -> str:
    """`1st`, `2nd`, `3rd`, `11th`."""
    ending = (
        "th" if place % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    )
    return f"{place}{ending}"


def cpus(count: float) -> str:
    return f"{count:g} CPU{'' if count == 1 else 's'}"


def listed(names: Sequence[str], most: int = 6) -> str:
    """`T (12 MB), residuals and 9 more`: a list that stays one line."""
    shown = ", ".join(clean(name, 60) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
