"""Packages from the real index, where one can be reached."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mecapy_backend.shared.settings import Settings
from mecapy_worker import main
from mecapy_worker.packages.environments import Environments
from mecapy_worker.packages.requested import PackagesRefused
from mecapy_worker.pool.pool import Pool
from mecapy_worker.run.consumer import Consumer

from .conftest import Desk, working

pytestmark = pytest.mark.long


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def added(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    settings = Settings(packages="any", sandbox="best-effort", preload=("pandas",))  # pyright: ignore[reportCallIssue]
    root = tmp_path_factory.mktemp("environments")
    root.chmod(0o711)
    environments = Environments(settings, root)
    try:
        async with asyncio.timeout(120):
            await environments.added("user ann", ("meshio",), lambda _: None)
    except (PackagesRefused, TimeoutError) as away:
        pytest.skip(f"no package index can be reached: {str(away)[:200]}")
    return environments


@pytest_asyncio.fixture(loop_scope="session")
async def worker(desk: Desk, added: Environments, tmp_path: Path) -> AsyncIterator[Consumer]:
    settings = desk.settings.model_copy(update={"preload": ("pandas",)})
    options = main.pool_options(settings, tmp_path / "pool", "mecapy_worker.child.child", added)
    async with Pool(options) as pool, working(desk, pool, None, added, lease_s=60.0) as consumer:
        yield consumer


async def test_real_packages(desk: Desk, worker: Consumer) -> None:
    """A pure package, one with native code, and another pandas than the worker's can be
    imported; one that does not exist and one without a wheel are refused with the reason.
    """
    code = "import meshio\nmeshio.__version__.split('.')[0]"
    assert (await desk.run(code, packages=["meshio==5.3.5"])).result == "5"
    code = "import ujson\nujson.loads('[1, 2]')"
    assert (await desk.run(code, packages=["ujson"])).result == [1, 2]
    code = "import pandas\npandas.__version__"
    other = await desk.run(code, packages=["pandas==2.3.3"])
    assert other.result == "2.3.3"
    assert (await desk.run(code)).result != "2.3.3"
    error = await desk.failed("1", packages=["no-such-package-of-mecapy"])
    assert "not found" in error.message
    assert "no usable wheels" in (await desk.failed("1", packages=["sgmllib3k"])).message
