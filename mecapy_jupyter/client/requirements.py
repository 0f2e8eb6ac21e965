"""Packages that tasks name, as requirements ("gmsh==4.13"): of a cell, a function, or all tasks of
this notebook (`%mecapy packages`). Nothing is resolved or installed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

from mecapy_jupyter import wire
from mecapy_jupyter.shared import errors

# PEP 723's own expression.
_SCRIPT = re.compile(
    r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$", re.ASCII
)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_CONTINUES = re.compile(r"\s*(?:[<>=!~]=?|\])")

default: tuple[str, ...] = ()
"""The packages of this notebook, for every task."""


def split(text: str) -> tuple[str, ...]:
    """Splits "meshio,gmsh>=4,<5": a comma inside of a version or an extra does not separate."""
    found = list[str]()
    for piece in filter(None, map(str.strip, text.split(","))):
        inside = found and (_CONTINUES.match(piece) or found[-1].count("[") > found[-1].count("]"))
        if inside:
            found[-1] += f",{piece}"
        else:
            found.append(piece)
    return merged(found)


def merged(*several: Iterable[str]) -> tuple[str, ...]:
    """All requirements; of one package the last. Raises ValueError."""
    found: dict[str, str] = {}
    for text in (text for some in several for text in ([some] if isinstance(some, str) else some)):
        name = _NAME.match(text.strip())
        if name is None:
            raise ValueError(f'{text!r} is no requirement of a package; write "gmsh==4.13"')
        found[re.sub(r"[-_.]+", "-", name[0]).lower()] = text.strip()
    return tuple(found.values())


def added(request: wire.TaskRequest) -> wire.TaskRequest:
    """The same with this notebook's packages."""
    return replace(request, packages=merged(default, request.packages)) if default else request


def in_script(code: str) -> tuple[str, ...]:
    """The `dependencies` of a PEP 723 block (`# /// script`) in the code. Raises ConfigError."""
    block = next((one for one in _SCRIPT.finditer(code) if one["type"] == "script"), None)
    if block is None:
        return ()
    import tomllib  # few cells have one

    lines = block["content"].splitlines()
    try:
        table: dict[str, Any] = tomllib.loads("\n".join(line[2:] for line in lines))
        listed = table.get("dependencies", [])
        texts: list[Any] = cast("list[Any]", listed) if isinstance(listed, list) else [None]
        if not all(isinstance(one, str) for one in texts):
            raise ValueError("its `dependencies` are not a list of texts")
        return merged(texts)
    except ValueError as wrong:
        raise errors.ConfigError(f"the cell's block `# /// script` is wrong: {wrong}") from None
