"""Identifies who submitted a cell's task, with its plain inputs, in one short line of the cell's
history. It distinguishes the task of a dead kernel from that of a running one where notebooks have
no name (papermill, nbconvert).
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
"""How much of each variable is read; each element costs extra, because long lists cost time."""

_ATOMS = (type(None), bool, int, float, complex, str, bytes)


def mark(variables: Mapping[str, Any]) -> str:
    """The mark of this process and these inputs."""
    return f"{_host()} {_boot()} {os.getpid()} {_started(os.getpid()):.2f} {inputs(variables)}"


def gone(line: str) -> bool:
    """Whether the process of a mark has ended, as far as this machine can know."""
    try:
        host, boot, pid, started, _ = line.split()
        process = ProcessId(int(pid), float(started))
        return host == _host() and (boot != _boot() or not is_alive(process))
    except ValueError:  # not a line of ours
        return False


def same_inputs(line: str, variables: Mapping[str, Any]) -> bool:
    """Whether the plain inputs equal those of the mark. Objects and large arrays are ignored."""
    return line.rpartition(" ")[2] == inputs(variables)


def inputs(variables: Mapping[str, Any]) -> str:
    """A short digest of the plain values, by name."""
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
    """Identifies a value; equal in every process for equal values."""
    kind = cast("type[object]", type(value))
    yield f"\1{kind.__name__}\1".encode()
    if kind is int:
        yield f"{value:x}".encode()  # decimal raises above 5,000 digits
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
    """This machine, or the container whose processes are visible."""
    place = platform.node()
    with contextlib.suppress(OSError):
        place += os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (no path: `pid:[4026531836]`)
    return hashlib.sha256(place.encode(errors="backslashreplace")).hexdigest()[:12]


@functools.cache
def _boot() -> str:
    return boot_id() or "-"


@functools.lru_cache(1)
def _started(pid: int) -> float:
    """The start time of this process; `pid` separates it from its parent."""
    return start_time(pid)
