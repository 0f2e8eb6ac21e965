"""Kinds of objects that cannot travel: what to call them, and what to do instead."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import ctypes
import io
import mmap
import re
import socket
import subprocess
import threading
import types
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class UnpicklableKind:
    """`what` follows "is", `advice` is a sentence."""

    what: str
    advice: str


_CALLED: Any = ctypes  # its base classes have private names
_VIEWS = tuple(type(cast("object", view)) for view in ({}.keys(), {}.values(), {}.items()))  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
_LOCKS = (
    type(threading.Lock()),
    type(threading.RLock()),
    threading.Condition,
    threading.Event,
    threading.Semaphore,
    threading.Barrier,
)
_POINTERS = (_CALLED.CDLL, _CALLED._Pointer, _CALLED._SimpleCData, _CALLED.Structure, _CALLED.Array)

_BY_TYPE: tuple[tuple[tuple[Any, ...], str, str], ...] = (
    (
        (types.GeneratorType, types.AsyncGeneratorType),
        "a generator",
        "send a list of what it yields, or make it inside the cell",
    ),
    (
        (types.CoroutineType, asyncio.Future),
        "a running coroutine or asyncio task",
        "await it first and send what it returned",
    ),
    (
        (asyncio.AbstractEventLoop,),
        "an asyncio event loop",
        "the worker has its own: use `await` in the cell",
    ),
    (
        _LOCKS,
        "a lock",
        "make it inside the cell; processes cannot share it",
    ),
    ((threading.Thread,), "a thread", "start it inside the cell, or send what it computed"),
    ((threading.local,), "thread-local data", "make it inside the cell"),
    ((concurrent.futures.Executor, BaseProcess), "a pool or process", "start it inside the cell"),
    ((concurrent.futures.Future,), "a future", "send its `.result()`"),
    ((subprocess.Popen,), "a running process", "start it inside the cell, or send what it printed"),
    ((socket.socket,), "a network connection", "open it inside the cell"),
    ((mmap.mmap,), "a memory-mapped file", "read what the cell needs into an array or bytes first"),
    ((io.IOBase,), "an open file", "read it first, or open it inside the cell"),
    ((memoryview,), "a memoryview", "send `bytes(…)` or `numpy.array(…)` of it"),
    (
        (types.FrameType, types.TracebackType),
        "a traceback or frame",
        "keep its text: `traceback.format_exc()`",
    ),
    (
        (weakref.ref, weakref.ProxyType, weakref.CallableProxyType),
        "a weak reference",
        "send the object itself",
    ),
    ((re.Match,), "a regular expression's match", "send its `.groups()` or `.group()`"),
    (_VIEWS, "a view of a dict", "send `list(…)` of it"),
    ((types.MappingProxyType,), "a read-only view of a dict", "send `dict(…)` of it"),
    (
        (contextvars.ContextVar, contextvars.Context, contextvars.Token),
        "a context variable",
        "send its value",
    ),
    (
        _POINTERS,
        "a ctypes object",
        "it points into this process's memory: send plain numbers, bytes or an array",
    ),
)

_GPU = UnpicklableKind(
    "a handle to GPU memory",
    "copy it to the CPU first (`.cpu()`, `.get()`), and to the GPU inside the cell",
)
_DATABASE = UnpicklableKind(
    "a database connection", "open it inside the cell, or send the rows you read with it"
)
_OPEN_DATA = UnpicklableKind(
    "an open data file", "read what the cell needs into arrays first, or open it inside the cell"
)
_NATIVE = UnpicklableKind(
    "a handle to native memory", "send arrays of its data and build it again inside the cell"
)
_WIDGET = UnpicklableKind("a widget", "widgets live in this notebook: send the values they hold")

_BY_MODULE: Mapping[Any, UnpicklableKind] = (
    dict.fromkeys(("cupy", "pycuda", "pyopencl", "numba_cuda", "cuda", "moderngl", "wgpu"), _GPU)
    | dict.fromkeys(
        ("sqlite3", "_sqlite3", "psycopg", "psycopg2", "asyncpg", "pymysql", "MySQLdb", "mysql"),
        _DATABASE,
    )
    | dict.fromkeys(
        ("sqlalchemy", "duckdb", "_duckdb", "pymongo", "redis", "pyodbc", "oracledb", "cx_Oracle"),
        _DATABASE,
    )
    | dict.fromkeys(
        ("h5py", "netCDF4", "zipfile", "tarfile", "tables", "rasterio", "_csv"), _OPEN_DATA
    )
    | dict.fromkeys(("petsc4py", "slepc4py", "dolfinx", "vtkmodules", "mpi4py", "gmsh"), _NATIVE)
    | dict.fromkeys(("ngsolve", "netgen", "OCC", "OCP"), _NATIVE)
    | dict.fromkeys(("ipykernel", "IPython"), _WIDGET)
)


_FILES = (io.TextIOWrapper, io.BufferedReader, io.BufferedWriter, io.FileIO)


def kind_of(value: object) -> UnpicklableKind | None:
    """The kind of an object that usually cannot travel; None if no kind matches."""
    for types_, what, advice in _BY_TYPE:
        # not isinstance, which may read the value's `__class__`
        if issubclass(type(value), types_):
            name = cast(Any, value).name if type(value) in _FILES else None
            return UnpicklableKind(f"{what} ({name!r})" if isinstance(name, str) else what, advice)
    if issubclass(type(value), (type, types.ModuleType)):
        return None
    for base in type(value).__mro__:
        if found := _BY_MODULE.get(str(base.__module__).partition(".")[0]):
            return found
    return None
