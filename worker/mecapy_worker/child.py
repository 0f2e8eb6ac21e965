"""One task, in a confined process: open the inputs, let IPython run the cell, send everything home, die.

May not import the store, the queue or any secret. Before it: the zygote, which forks and confines it. It speaks to the worker
only, through the channel; `shell` and `results` are its two hands.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import random
import sys
from pathlib import Path
from typing import Any

from mecapy_jupyter import ambient, files, known, payload, prelude
from mecapy_jupyter.inplace import Watch

from . import results
from .frames import Channel, Frame
from .shell import TaskShell, build, connect

_shell: TaskShell


def prepare(preload: list[str]) -> None:
    """In the zygote, once: import what tasks will want and build the shell. Runs no user code."""
    global _shell
    _shell = build()
    for name in preload:
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # the pool's report tells which ones are there
    _rehearse()
    gc.collect()
    gc.freeze()  # what the zygote made stays shared: collections in a child would touch, and so copy, every page


def _rehearse() -> None:
    """Run cells of our own, so that what IPython and matplotlib load late is loaded before the fork."""
    connect(_shell, lambda kind, header, body: None)
    cells = ["1 + 1", "1 / 0"]
    if "matplotlib" in sys.modules:
        _shell.enable_matplotlib("inline")  # pyright: ignore[reportUnknownMemberType]
        cells.append("import matplotlib.pyplot as p; p.figure(figsize=(1, 1)); p.plot([1, 2]); p.title('$x$')")
    for cell in cells:
        _shell.run(cell)
    _shell.user_ns.pop("p", None)
    _shell.failure = None


def warm(folder: Path) -> None:
    """In the confined child, before it has a task: run an empty cell, so that the first real one finds everything in place."""
    os.chdir(folder)
    sys.path.insert(0, "")
    random.seed()
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed()  # siblings of one zygote must not draw the same numbers
    ambient.begin_environment()
    connect(_shell, lambda kind, header, body: None)
    _shell.run("None")
    _shell.displayhook.value = None


def serve(channel: Channel, folder: Path, outbox: Path) -> None:
    """Wait for the one task, run it, send its outcome."""
    frame = channel.receive()
    if frame is None or frame.kind != "task":
        return
    connect(_shell, channel.send)
    try:
        watch = _open_inputs(frame)
    except BaseException as error:
        header, body = results.unopened(error), b""
    else:
        _run(frame.header)
        header, body = _collect(frame, watch, outbox)
    ctypes.CDLL(None).fflush(None)  # what native code has printed comes before the end
    _shell.outgoing.frame("outcome", header, body)


def _collect(frame: Frame, watch: Watch, outbox: Path) -> tuple[dict[str, Any], bytes]:
    try:
        return results.collect(_shell, frame.header, watch, outbox)
    except BaseException as error:
        return results.uncollected(error), b""


def _open_inputs(frame: Frame) -> Watch:
    """Put the inputs into the namespace. Raises whatever opening them raises."""
    namespace = _shell.user_ns
    namespace.update(frame.header.get("inputs") or {})
    if frame.header.get("payload") is None:
        return results.begin(_shell, Watch({}, ()))
    bare = frame.header["payload"]
    digests = [bare["pickle_blob"]] * bool(bare["pickle_blob"]) + bare["buffers"]
    maps = [_map(fd, digest) for fd, digest in zip(frame.fds, digests, strict=True)]
    stream = maps.pop(0) if bare["pickle_blob"] else frame.body
    opened = payload.unpack(stream, maps, namespace, on_prelude=prelude.install)
    variables: dict[str, Any] = {name: value for values in opened.values for name, value in values.items()}
    files.lay_out(variables.pop(files.SLOT, {}), Path.cwd())
    namespace.update(variables)
    return results.begin(_shell, Watch(opened.memo, variables.values(), namespace))


def _map(fd: int, digest: str) -> Any:
    try:
        return known.map_blob(fd, digest)
    finally:
        os.close(fd)


def _run(task: dict[str, Any]) -> None:
    """Run the cell as its notebook would: same number, same lines."""
    cell: dict[str, Any] = task.get("cell") or {}
    code: str = task["code"]
    header: str = cell.get("header", "")
    # A comment in the place of the `%%mecapy` line keeps the line numbers; a cell magic must stay on the first line.
    keeps_lines = bool(header) and not code.lstrip().startswith("%%")
    source = f"# {header}\n{code}" if keeps_lines else code
    _shell.compile.header = header if keeps_lines else ""
    _shell.execution_count = cell.get("number") or 1
    _shell.displayhook.source = source
    try:
        _shell.run(source)
    except KeyboardInterrupt as interrupt:  # it came between the cell's end and ours
        _shell.failure = interrupt, ["KeyboardInterrupt"]
