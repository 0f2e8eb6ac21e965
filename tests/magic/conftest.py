"""A real kernel with the extension loaded, on the session's real stack; each test begins with
an empty namespace.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

CELL_S = 240
# What `%reset -f` does, but for its two full collections: in a kernel with many libraries they take
# longer than most of these tests.
RESET = """
def reset():
    import functools, gc
    whole, gc.collect = gc.collect, functools.partial(gc.collect, 1)
    try:
        get_ipython().reset(new_session=False)
    finally:
        gc.collect = whole
reset()
%load_ext mecapy_jupyter
"""


@dataclass
class Ran:
    """What one cell gave."""

    reply: dict[str, Any]
    stdout: str = ""
    stderr: str = ""
    mark: str = ""
    results: list[dict[str, Any]] = field(default_factory=list)
    displays: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    comms: list[dict[str, Any]] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    def take(self, display: dict[str, Any]) -> None:
        """A note counts as a line of stderr, where it stands on a terminal; a mark stands apart."""
        about = display.get("metadata", {}).get("mecapy")
        text = display["data"].get("text/plain", "")
        if about == "note":
            self.stderr += f"{text}\n"
        elif about == "mark":
            self.mark = text
        elif about != "place":
            self.displays.append(display)

    @property
    def ok(self) -> bool:
        return self.reply["status"] == "ok"

    @property
    def pictures(self) -> list[dict[str, Any]]:
        """Displays, without the live block of a cell that takes long."""
        return [
            one for one in self.displays if 'role="status"' not in one["data"].get("text/html", "")
        ]

    @property
    def error(self) -> str:
        return self.errors[0]["ename"] if self.errors else ""

    @property
    def text(self) -> str:
        """The error as it is shown."""
        return "\n".join(self.errors[0]["traceback"]) if self.errors else ""


@dataclass
class Kernel:
    manager: KernelManager
    client: BlockingKernelClient

    def run(self, code: str, timeout: float = CELL_S) -> Ran:
        """To its end. Again while the kernel drops it unread: for a moment after an error it
        answers `aborted`.
        """
        while (ran := self._ran(code, timeout)).reply["status"] == "aborted":
            pass
        return ran

    def _ran(self, code: str, timeout: float) -> Ran:
        ran = Ran({})

        def hook(message: dict[str, Any]) -> None:
            kind, content = message["header"]["msg_type"], message["content"]
            if "mecapy" not in content.get("metadata", {}):
                ran.order.append(kind)
            if kind == "stream":
                setattr(ran, content["name"], getattr(ran, content["name"]) + content["text"])
            elif kind == "execute_result":
                ran.results.append(content)
            elif kind in ("display_data", "update_display_data"):
                ran.take(content)
            elif kind.startswith("comm_"):
                ran.comms.append({"kind": kind} | content)
            elif kind == "error":
                ran.errors.append(content)

        ran.reply = self.client.execute_interactive(
            code, timeout=timeout, output_hook=hook, allow_stdin=False
        )["content"]
        return ran

    def value(self, expression: str) -> str:
        """The repr of an expression, evaluated here."""
        ran = self.run(f"print(repr(({expression})))")
        assert ran.ok, ran.text
        return ran.stdout.strip()


@contextmanager
def started(environment: dict[str, str], folder: Path) -> Generator[Kernel]:
    """A fresh kernel whose notebook lies in the folder; ended with the block."""
    manager, client = start_new_kernel(
        startup_timeout=240, env=environment, cwd=str(folder), extra_arguments=["--log-level=ERROR"]
    )
    try:
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture(scope="session")
def one_kernel(
    kernel_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kernel]:
    with started(kernel_environment, tmp_path_factory.mktemp("notebook")) as kernel:
        yield kernel


@pytest.fixture
def kernel(one_kernel: Kernel) -> Kernel:
    """The kernel, its namespace empty, the extension loaded."""
    assert one_kernel.run(RESET).ok
    return one_kernel


@pytest.fixture
def folder(one_kernel: Kernel) -> Path:
    """The notebook's own folder."""
    return Path(str(one_kernel.run("import os; print(os.getcwd())").stdout.strip()))


@pytest.fixture
def project(kernel: Kernel, folder: Path, tmp_path: Path) -> Iterator[Path]:
    """An empty folder of this test, in which the kernel stands."""
    place = tmp_path / "project"
    place.mkdir()
    assert kernel.run(f"import os; os.chdir({str(place)!r}); del os").ok
    yield place
    assert kernel.run(f"import os; os.chdir({str(folder)!r}); del os").ok
