"""Who submitted a cell's task and what plain values the cell read then: one short line, kept beside
the task in the cell's history.

It tells a task that a kernel left behind from that of a kernel at work, where no notebook's name
does (papermill, nbconvert).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
from collections.abc import Iterator, Mapping
from typing import Any, cast

from mecapy_jupyter.shared.processes import boot_id, is_alive, start_time
from mecapy_jupyter.wire.stack import ProcessId

_MOST_BYTES, _PIECE_BYTES, _DEEPEST = 1_000_000, 1000, 6
"""Of each variable so much is read, where each piece counts for some more: a long list costs time
by its items.
"""

_ATOMS = (type(None), bool, int, float, complex, str, bytes)


def mark(variables: Mapping[str, Any]) -> str:
    """This process and these inputs."""
    return f"{_host()} {_boot()} {os.getpid()} {_started(os.getpid()):.2f} {inputs(variables)}"


def gone(line: str) -> bool:
    """Whether the process of a mark has ended, as far as can be told from this machine: another
    one's may live.
    """
    try:
        host, boot, pid, started, _ = line.split()
        process = ProcessId(int(pid), float(started))
        return host == _host() and (boot != _boot() or not is_alive(process))
    except ValueError:  # no line of ours
        return False


def same_inputs(line: str, variables: Mapping[str, Any]) -> bool:
    """Whether the plain values among the inputs are those of the mark. Of others (objects, large
    arrays) nothing is told.
    """
    return line.rpartition(" ")[2] == inputs(variables)


def inputs(variables: Mapping[str, Any]) -> str:
    """A short digest of the values that are easily compared, by name."""
    digest = hashlib.sha256()
    for name in sorted(variables):
        digest.update(f"\0{name}\0".encode())
        read_bytes = 0
        for piece in _pieces(variables[name]):
            digest.update(piece)
            read_bytes += len(piece) + _PIECE_BYTES
            if read_bytes > _MOST_BYTES:
                break
    return digest.hexdigest()[:16]


def _pieces(value: Any, depth: int = 0) -> Iterator[bytes]:
    """What makes a value: the same in every process for the same value."""
    kind = cast("type[object]", type(value))
    yield f"\1{kind.__name__}\1".encode()
    if kind is int:
        yield f"{value:x}".encode()  # in decimal, 5,000 digits raise
    elif kind in _ATOMS:
        yield repr(value[:_MOST_BYTES] if kind in (str, bytes) else value).encode(
            errors="backslashreplace"
        )
    elif kind in (tuple, list, dict) and depth < _DEEPEST:
        yield str(len(value)).encode()
        for item in value.items() if kind is dict else value:
            yield from _pieces(item, depth + 1)
    elif (
        kind.__module__ == "numpy"
        and getattr(value, "nbytes", _MOST_BYTES) < _MOST_BYTES
        and not value.dtype.hasobject
    ):
        yield f"{value.dtype.str} {value.shape}".encode()
        yield value.tobytes()


@functools.cache
def _host() -> str:
    """This machine, or the container of it whose processes we see."""
    place = platform.node()
    with contextlib.suppress(OSError):
        place += os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (no path: `pid:[4026531836]`)
    return hashlib.sha256(place.encode(errors="backslashreplace")).hexdigest()[:12]


@functools.cache
def _boot() -> str:
    return boot_id() or "-"


@functools.lru_cache(1)
def _started(pid: int) -> float:
    """When this process began; `pid` tells it from the one it was forked from."""
    return start_time(pid)
