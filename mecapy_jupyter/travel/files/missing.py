"""Explains files that a cell did not find. Runs in the kernel."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import shlex
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

from mecapy_jupyter.shared import units
from mecapy_jupyter.travel.files.scan import SAID

# Landlock reports hidden files as forbidden
_NOT_THERE = (FileNotFoundError, PermissionError, NotADirectoryError)
_SAID = re.compile(r"""['"]([^'"\n]+)['"]|^(\S.*) not found\.?$|: (\S+)$""")
"""also in the words of numpy and polars"""
_TO_QUOTE = re.compile(r"""[\s'"\\#*?\[\]]""")
_LONGEST = 300


def unsent(error: BaseException, folder: Path, sent: Collection[str] = ()) -> list[str]:
    """How to send the file on which a cell failed. `sent`: paths of the files that travelled. Never
    raises.
    """
    if "--files" in str(error):
        return []
    remarks: list[str] = []
    for name in dict.fromkeys(_named(error)):
        # not a path: too long, a NUL in it, another drive
        with contextlib.suppress(OSError, ValueError):
            remarks += _way_along(name, folder, sent)
    return remarks


def _named(error: BaseException) -> list[str]:
    """The files that an error reports as missing. A library's words may be anything: `no data
    received`.
    """
    if not isinstance(error, _NOT_THERE):
        return []
    if isinstance(error.filename, (str, bytes)):
        return [os.fsdecode(error.filename)]
    if not isinstance(error, FileNotFoundError):
        return []
    return [name for words in _SAID.findall(str(error)) for name in words if name]


def _way_along(name: str, folder: Path, sent: Collection[str]) -> list[str]:
    """The option that sends a file of this machine; nothing if there is neither the file nor, for
    an absolute path, its folder.
    """
    path = folder / name
    way = os.path.relpath(path, folder).replace(os.sep, "/")
    if not path.exists():
        return [_of_folder(path.parent, way)] if _is_only_here(name, path.parent) else []
    if way in sent or (sent and way == ".") or any(one.startswith(f"{way}/") for one in sent):
        return [f"a task cannot see {name}, a path of this machine; in the cell it is {way!r}"]
    absolute = (
        f"; in the cell it is {way!r}, because a task cannot see paths of this machine"
        if Path(name).is_absolute()
        else ""
    )
    option = f"`{_option(way if path.is_file() else f'{way}/*')}`"
    return [f"{name} is on this machine, and did not travel; {option} sends it{absolute}"]


def _is_only_here(name: str, parent: Path) -> bool:
    """Whether an absolute path lies in a folder of this machine that a worker does not have."""
    everywhere = {Path("/"), Path(tempfile.gettempdir())}
    return Path(name).is_absolute() and parent.is_dir() and parent not in everywhere


def _of_folder(parent: Path, way: str) -> str:
    inside = not way.startswith("..")
    advice = f"in the cell it is {way!r}" if inside else "write into the notebook's folder"
    return f"a task cannot see {parent}, a folder of this machine; {advice}"


def _option(pattern: str) -> str:
    quoted = shlex.quote(pattern) if _TO_QUOTE.search(pattern.rstrip("*")) else pattern
    return f"%%mecapy --files {quoted}"


def looked_for(
    looked: Iterable[str], left: Mapping[str, str], folder: Path, before: set[str]
) -> list[str]:
    """Remarks on folders that a cell listed and files that it failed to open, except those named
    `before`, to which these are added.
    """
    found: list[str] = []
    for name in looked:
        if _leads_out(name):
            continue
        missed = [path for path, why in left.items() if why in SAID and _holder(path) == name]
        missed = [path for path in missed if path not in before]
        if missed:
            found.append(_stayed(missed, left))
            before.update(missed)
        elif left_why(name, left) and name not in before and (folder / name).is_file():
            found.append(_stayed([name], left))
    return found


def looked_for_outside(
    looked: Iterable[str], folder: Path, sent: Collection[str] = ()
) -> list[str]:
    """Remarks on what a cell did not find that is on this machine outside the notebook's folder, or
    in it under a path of this machine; one for each folder.
    """
    names = [name for name in looked if _leads_out(name) and _is_here(folder / name)]
    names = [name for name in names if _holder(name) not in names]
    files = Counter(_holder(name) for name in names if (folder / name).is_file())
    ways = {_holder(name) if files[_holder(name)] > 1 else name: None for name in names}
    return [sentence for way in ways for sentence in _way_along(way, folder, sent)]


def _leads_out(name: str) -> bool:
    return name.startswith(("/", "../")) or name == ".."


def _is_here(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def named_in(
    code: str, left: Mapping[str, str], too_large: Iterable[str], sent: Iterable[str]
) -> dict[str, str]:
    """The files that stay and that the cell's text names, literally or by a glob: path → reason.
    `sent`: paths of the files that travel.
    """
    texts = _texts(code) if left or too_large else []
    all_ = dict(left) | dict.fromkeys(too_large, "too large to travel by itself")
    found: dict[str, str] = {}
    for text in texts:
        name = os.path.normpath(text).replace(os.sep, "/")
        inside = {path for path in left if name.startswith(f"{path}/")}
        if inside and any(path == name or fnmatchcase(path, name) for path in sent):
            inside = set[str]()
        found |= {
            path: why
            for path, why in all_.items()
            if path == name or fnmatchcase(path, name) or path in inside
        }
    return found


def own_paths(values: Mapping[str, object], folder: Path) -> list[str]:
    """Remarks on variables that hold a path of this machine in the notebook's folder."""
    remarks: list[str] = []
    for name, value in values.items():
        if issubclass(type(value), (str, PurePath)) and f"{value}/".startswith(f"{folder}/"):
            way = str(value)[len(str(folder)) + 1 :] or "."
            remarks.append(
                f"`{name}` is a path of this machine, which the cell cannot see; use {way!r} in "
                f"the cell"
            )
    return remarks


def named_sentences(found: Mapping[str, str], folder: Path) -> list[str]:
    """Remarks before the cell runs."""
    there = [path for path in found if (folder / path).exists()]
    return [_stayed(there, found)] if there else []


def _stayed(paths: list[str], why: Mapping[str, str]) -> str:
    reason = left_why(paths[0], why)
    path = paths[0] if not paths[0].endswith("…") else f"{_holder(paths[0])}/*"
    verb = "is" if len(paths) == 1 else "are"
    return (
        f"{units.listed(paths)} {verb} in the notebook's folder and did not travel "
        f"({reason}); `{_option(path)}` sends it"
    )


def left_why(path: str, left: Mapping[str, str]) -> str:
    """Why a file stays, by itself or by a folder above it; empty if it travels."""
    parts = path.split("/")
    for count in range(len(parts), 0, -1):
        if why := left.get("/".join(parts[:count])):
            return why
    return left.get(".", "")


def _holder(path: str) -> str:
    return path.rpartition("/")[0] or "."


def _texts(code: str) -> list[str]:
    """The string constants of a cell that may be paths."""
    return list(dict.fromkeys(_walked(code)))


def _walked(code: str) -> Iterator[str]:
    with contextlib.suppress(SyntaxError, ValueError):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value.strip()
                if text and len(text) < _LONGEST and "\n" not in text and text not in (".", "*"):
                    yield text
