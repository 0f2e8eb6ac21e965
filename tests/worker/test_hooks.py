"""What we bend in libraries is still there: each test fails when the library moves it."""

from __future__ import annotations

import inspect
import io
import mmap
import os
import pdb
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from IPython.core import debugger

from mecapy_worker.child.hooks import ipython, shared_memory
from mecapy_worker.shared import libc
from mecapy_worker.zygote.hooks import immortal


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


async def test_tqdm_draws_by_two_methods() -> None:
    """Every bar shows itself by `display` and goes by `clear`, and says of itself what we read."""
    import tqdm.notebook
    import tqdm.std

    bar_class = tqdm.std.tqdm
    assert parameters(bar_class.display) == ["self", "msg", "pos"]
    assert parameters(bar_class.clear) == ["self", "nolock"]
    bar = bar_class(total=3, file=io.StringIO(), disable=False)
    said = {"n", "total", "rate", "unit", "unit_scale", "prefix", "postfix", "initial", "elapsed"}
    assert said <= bar.format_dict.keys() and bar.fp is not None
    bar.close()
    assert bar.disable
    for name in ("tqdm", "tqdm_notebook", "trange", "tnrange"):
        assert hasattr(tqdm.notebook, name)


async def test_python_s_socket_asks_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """`create_connection` finds `getaddrinfo` and the methods of `socket` when it runs, so that
    replacing them reaches urllib, http.client and requests.
    """
    flags = ["host", "port", "family", "type", "proto", "flags"]
    assert parameters(socket.getaddrinfo) == flags
    assert parameters(socket.socket.__init__) == ["self", "family", "type", "proto", "fileno"]
    asked: list[Any] = []
    address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [address])
    monkeypatch.setattr(socket.socket, "connect", lambda self, to: asked.append(to))
    socket.create_connection(("example.org", 80)).close()
    assert asked == [("192.0.2.1", 80)]


async def test_mmap_takes_what_ours_passes_on() -> None:
    """Anonymous shared memory is asked for by these arguments, and a file takes its place."""
    shared = shared_memory.mmap(-1, 8192)
    assert isinstance(shared, mmap.mmap) and len(shared) == shared.size() == 8192
    assert repr(shared_memory.mmap).endswith("'mmap.mmap'>") and shared[:2] == b"\0\0"
    shared.resize(4096)
    with shared_memory.mmap(-1, 4096, access=mmap.ACCESS_COPY) as private:
        private[:1] = b"x"
    with pytest.raises(OSError, match="allocate"):
        shared_memory.mmap(-1, 1 << 60)
    with pytest.raises(OSError, match="argument"):
        shared_memory.mmap(-1, 0)
    shared.close()


async def test_ipython_s_shell_has_what_we_override() -> None:
    """The methods that a task's shell replaces, with their parameters."""
    from IPython.core import autocall, interactiveshell, ultratb
    from IPython.core.compilerop import CachingCompiler
    from IPython.core.displayhook import DisplayHook
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell
    assert parameters(shell._showtraceback) == ["self", "etype", "evalue", "stb"]
    assert parameters(shell.show_usage_error) == ["self", "exc"]
    for name in ("system_piped", "system_raw", "enable_gui", "showtraceback"):
        assert hasattr(shell, name)
    names = ["self", "raw_code", "transformed_code", "number"]
    assert parameters(CachingCompiler.get_code_name) == names
    assert parameters(DisplayHook.write_format_data) == ["self", "format_dict", "md_dict"]
    assert parameters(DisplayHook.update_user_ns) == ["self", "result"]
    assert hasattr(DisplayHook, "semicolon_at_end_of_expression")
    assert parameters(ultratb.get_line_number_of_frame) == ["frame"]
    parts = ["description", "filename", "lineno", "frame", "code"]
    assert parameters(ultratb.FrameInfo.__init__)[1:6] == parts
    assert isinstance(ultratb.FrameInfo.lines, property)
    called = (
        (interactiveshell, "warn"),
        (ultratb, "get_line_number_of_frame"),
        (ultratb, "FrameInfo"),
        (autocall, "ask_exit"),
    )
    for module, name in called:
        assert f"{name}(" in inspect.getsource(module)


async def test_the_name_of_a_kernel_s_shell() -> None:
    """The class whose name a task's shell has is the one that ipykernel gives a notebook."""
    zmqshell = pytest.importorskip(ipython.KERNEL_MODULE)
    assert hasattr(zmqshell, ipython.KERNEL_SHELL)


async def test_matplotlib_keeps_its_open_fonts_in_a_cache() -> None:
    """The library still has the name that we clear it by."""
    font_manager: Any = pytest.importorskip("matplotlib.font_manager")
    font_manager._get_font.cache_clear()
    assert font_manager._get_font.cache_info().currsize == 0


async def test_an_object_begins_with_its_count() -> None:
    """From CPython 3.12 on, where counts can be made immortal."""
    if sys.version_info < (3, 12):
        assert hasattr(sys, "_clear_type_cache") and immortal.make() == 0
    else:
        assert immortal._lies_as_known()  # pyright: ignore[reportPrivateUsage]


async def test_signal_wraps_the_system_s() -> None:
    """`signal.signal` hides a function that answers without looking into enums."""
    before = signal.getsignal(signal.SIGUSR2)
    libc.handle(signal.SIGUSR2, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGUSR2) == signal.SIG_IGN
    assert type(libc.handle(signal.SIGUSR2, signal.SIG_DFL)) is int
    signal.signal(signal.SIGUSR2, before)


async def test_debuggers_stop_in_one_method() -> None:
    """Whatever begins to ask, `%debug`, `pdb.run` or a breakpoint, goes through `interaction`."""
    for each in (pdb.Pdb, debugger.Pdb):
        assert {"frame"} <= set(parameters(each.interaction))
    assert callable(debugger.set_trace) and callable(pdb.set_trace)


async def test_entropy_and_seeds_pass_through_what_we_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy's generators, `secrets` and `uuid` read the system's entropy through Python; the global
    generator of numpy is where we compare its state.
    """
    import random
    import secrets

    import numpy as np

    read: list[int] = []
    real = os.urandom
    monkeypatch.setattr(random, "_urandom", lambda size: read.append(size) or real(size))
    for drawn in (np.random.default_rng, np.random.RandomState, lambda: secrets.token_hex(4)):
        read.clear()
        drawn()
        assert read
    assert random.Random.__init__.__code__.co_names == ("seed", "gauss_next")
    np.random.seed(5)
    state: Any = np.random.mtrand._rand.get_state(legacy=True)
    assert (state[1] == np.random.RandomState(5).get_state(legacy=True)[1]).all()


async def test_audit_events_have_the_arguments_that_we_read(tmp_path: Path) -> None:
    """`open` comes with path, mode and flags; a listing and a removal with the path."""
    heard: list[tuple[str, tuple[Any, ...]]] = []
    sys.addaudithook(lambda event, args: heard.append((event, args)) if listens else None)
    listens = [1]
    (tmp_path / "a").write_text("1")
    os.scandir(tmp_path).close()
    (tmp_path / "a").unlink()
    listens.clear()
    found = dict(heard)
    assert len(found["open"]) == 3 and found["open"][2] & os.O_TRUNC
    assert (
        Path(found["os.scandir"][0]) == tmp_path and Path(found["os.remove"][0]) == tmp_path / "a"
    )
