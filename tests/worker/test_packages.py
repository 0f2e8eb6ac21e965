"""Packages that a task adds: installed beside the worker, seen by its child alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mecapy_backend.shared.settings import Settings
from mecapy_jupyter import wire
from mecapy_worker import main
from mecapy_worker.packages import requested
from mecapy_worker.packages.environments import Environments
from mecapy_worker.pool.pool import Pool
from mecapy_worker.run.consumer import Consumer

from .conftest import Desk, working
from .local_index import LocalIndex

HOSTILE = """
import os, pathlib, socket
through = []
def attempt(name, step):
    try:
        step()
        through.append(name)
    except OSError:
        pass
attempt("network", lambda: socket.create_connection(("203.0.113.1", 443), 2))
attempt("loopback", lambda: socket.create_connection(("127.0.0.1", {port}), 2))
attempt("worker's environment", lambda: open("/proc/{pid}/environ").read())
attempt("worker's memory", lambda: open("/proc/{pid}/mem", "rb").read(1))
attempt("others' folders", lambda: os.listdir({root!r}))
attempt("the secret", lambda: open({root!r} + "/secret").read())
attempt("own package", lambda: open(__file__, "a"))
attempt("beside it", lambda: open(os.path.dirname(__file__) + "/planted.py", "w"))
attempt("the worker", lambda: os.kill({pid}, 0))
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> LocalIndex:
    index = LocalIndex(tmp_path_factory.mktemp("packages"))
    index.wheel(
        "leanbeam",
        "1.2",
        {
            "leanbeam/__init__.py": "from leanbeam.core import answer",
            "leanbeam/core.py": "answer = 42",
            "leanbeam-start.pth": "import os; os.environ['PTH_RAN'] = 'yes'\n",
        },
    )
    index.wheel("tqdm", "0.0.1", {"tqdm/__init__.py": "__version__ = '0.0.1'"})
    index.source("builds", "1.0", "raise SystemExit('it was built')")
    return index


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pool(
    tmp_path_factory: pytest.TempPathFactory, index: LocalIndex
) -> AsyncIterator[tuple[Pool, Environments]]:
    settings = Settings(  # pyright: ignore[reportCallIssue]
        sandbox="best-effort",
        preload=("tqdm",),
        worker_slots=1,
        max_memory_bytes=1_000_000_000,
        max_disk_bytes=200_000_000,
        packages="any",
        packages_index=(index.url,),
    )
    root = tmp_path_factory.mktemp("environments")
    root.chmod(0o711)
    environments = Environments(settings, root)
    options = main.pool_options(
        settings, tmp_path_factory.mktemp("scratch"), "mecapy_worker.child.child", environments
    )
    async with Pool(options) as opened:
        yield opened, environments


@pytest_asyncio.fixture(loop_scope="session")
async def worker(desk: Desk, pool: tuple[Pool, Environments]) -> AsyncIterator[Consumer]:
    async with working(desk, pool[0], environments=pool[1], lease_s=60.0) as consumer:
        yield consumer


async def test_added(desk: Desk, worker: Consumer) -> None:
    """A cell imports what it adds, its block says that it is installed, and the second cell finds
    it installed; a later cell that adds nothing has nothing.
    """
    code = "import leanbeam, os\n(leanbeam.answer, os.environ.get('PTH_RAN'))"
    seen = await desk.until(await desk.submit(code, packages=["leanbeam"]), *wire.FINAL)
    assert wire.Outcome.from_json(seen[-1].data).result == [42, None]
    said = [event.data["text"] for event in seen if event.type == wire.PROGRESS]
    assert said == ["resolving leanbeam…", "installing leanbeam…", ""]
    again = await desk.until(await desk.submit(code, packages=["leanbeam"]), *wire.FINAL)
    assert wire.Outcome.from_json(again[-1].data).result == [42, None]
    assert not [event for event in again if event.type == wire.PROGRESS]
    assert (await desk.failed("import leanbeam")).type == "ModuleNotFoundError"


async def test_conflict(desk: Desk, worker: Consumer) -> None:
    """Another version of what each child has imported already is the one that the cell gets, and
    its neighbours keep the worker's.
    """
    code = "import tqdm\ntqdm.__version__"
    assert (await desk.run(code, packages=["tqdm==0.0.1"])).result == "0.0.1"
    assert (await desk.run(code)).result != "0.0.1"


async def test_python_processes_of_the_task(desk: Desk, worker: Consumer) -> None:
    """A Python that the cell starts has its packages too."""
    code = (
        "import subprocess, sys\n"
        "subprocess.check_output([sys.executable, '-c', 'import leanbeam; print(leanbeam.answer)'],"
        " text=True)"
    )
    assert (await desk.run(code, packages=["leanbeam"])).result == "42\n"


async def test_refused(desk: Desk, worker: Consumer) -> None:
    """What does not exist, and what has no wheel, fails the task with the reason; no source is
    built.
    """
    error = await desk.failed("1", packages=["nosuch"])
    assert error.kind == "packages" and "nosuch was not found" in error.message
    assert "check names and versions" in error.message
    error = await desk.failed("1", packages=["builds"])
    assert "no usable wheels" in error.message and "no source is built" in error.message


async def test_hostile_package(
    desk: Desk, worker: Consumer, index: LocalIndex, pool: tuple[Pool, Environments]
) -> None:
    """What runs at the import of a package reaches nothing, neither in a task nor in a child that
    imports it ahead.
    """
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    code = HOSTILE.format(port=port, pid=os.getpid(), root=str(pool[1].root))
    index.wheel("hostile", "6.6", {"hostile.py": code})
    async with server:
        for _ in range(2):
            outcome = await desk.run("import hostile\nhostile.through", packages=["hostile"])
            assert outcome.result == []


async def test_two_organisations(
    desk: Desk, worker: Consumer, pool: tuple[Pool, Environments]
) -> None:
    """The same packages of two organisations lie apart, and one cannot see that the other has
    them.
    """
    environments = pool[1]
    theirs = await environments.added("organisation them", ("leanbeam",), lambda _: None)
    ours = await environments.added("user ann", ("leanbeam",), lambda _: None)
    assert Path(theirs.folder).parent.name == Path(ours.folder).parent.name  # by the lock's hash
    assert theirs.folder != ours.folder
    code = (
        "import os\ntried = []\n"
        f"for path in [{theirs.folder!r}, {str(environments.root)!r}]:\n"
        "    try:\n        tried.append(os.listdir(path))\n"
        "    except OSError as error:\n        tried.append(type(error).__name__)\n"
        "tried"
    )
    outcome = await desk.run(code, packages=["leanbeam"])
    assert outcome.result == ["PermissionError", "PermissionError"]


def is_there(folder: str) -> bool:
    return Path(folder).exists()


async def test_longest_unused_goes(index: LocalIndex, tmp_path: Path) -> None:
    """Where there is room for one set of packages, the one that was not used longest goes."""
    index.wheel("large", "1", {"large/data.txt": "x" * 200_000})
    settings = Settings(  # pyright: ignore[reportCallIssue]
        packages="any", packages_index=(index.url,), packages_bytes=100_000, sandbox="best-effort"
    )
    environments = Environments(settings, tmp_path)
    first = await environments.added("user ann", ("leanbeam",), lambda _: None)
    assert is_there(first.folder)
    second = await environments.added("user ann", ("large",), lambda _: None)
    assert is_there(second.folder) and not is_there(first.folder)
    assert (await environments.added("user ann", ("leanbeam",), lambda _: None)) == first


async def test_policy() -> None:
    """`off` refuses all, `list` what is not listed, and both say what to do."""

    def refusal(**settings: Any) -> str:
        with pytest.raises(requested.PackagesRefused) as refused:
            requested.checked(("Meshio>=5",), Settings(**settings))
        return str(refused.value)

    assert "MECAPY_PACKAGES" in refusal(packages="off")
    assert "MECAPY_PACKAGES_LIST" in refusal(packages="list", packages_list=("gmsh",))
    listed = Settings(packages="list", packages_list=("meshio",))  # pyright: ignore[reportCallIssue]
    assert requested.checked(("Meshio>=5",), listed) == ("Meshio>=5",)


async def test_learned_imports(
    desk: Desk, worker: Consumer, pool: tuple[Pool, Environments]
) -> None:
    """What a task imported of the worker's packages, the owner's next tasks find imported, and
    nobody else's do.
    """
    nests = pool[0].nests
    nests.installed = frozenset({"sympy", "mpmath"})
    await desk.run("import sympy")
    nest = await desk.eventually(lambda: nests.of("ann", None))
    async with asyncio.timeout(180):
        while not nest.is_full:  # noqa: ASYNC110  (it sends no event)
            await asyncio.sleep(0.02)
    assert (await desk.run("import sys\n'sympy.core' in sys.modules")).result is True
    assert await nests.of("bob", None) is None
    async with pool[0].child("bob") as child:
        assert child.zygote_pid == pool[0].zygote_pid


async def test_only_installed_modules_are_learned(
    pool: tuple[Pool, Environments], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child cannot have its worker import what is no package of the worker, or no plain name."""
    nests, begun = pool[0].nests, list[object]()
    nests.installed = frozenset({"sympy"})
    monkeypatch.setattr(nests, "spawn", begun.append)
    wrong = ("os", "mine", "sympy.__main__", "sympy;x", "sympy.core.numbers", "sympy._x", "sympy/x")
    nests.learn("eve", None, wrong)
    assert not begun
