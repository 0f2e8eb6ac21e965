"""Brings a stack's database to the newest schema, and notices cheaply that it already has it:
Alembic takes a second to import.

After an upgrade it writes down which migrations this installation knows and what version the
database then had; when both are still the same there is nothing to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mecapy_backend.stack import sql
from mecapy_backend.stack.programs import Program
from mecapy_jupyter.shared.data_dir import DataDir
from mecapy_jupyter.shared.errors import StackError
from mecapy_jupyter.shared.processes import mecapy_command

_MIGRATE_S = 180.0
_VERSIONS = Path(__file__).parents[1] / "migrations" / "versions"


async def upgrade(data_dir: DataDir, url: str, settings: Mapping[str, str]) -> None:
    """Raises `StackError` with what the migration said when it fails."""
    marker = data_dir.data / "schema.json"
    if await asyncio.to_thread(_read, marker) == await _present(url):
        return
    await _migrate(settings)
    marker.write_text(json.dumps(await _present(url)))


async def _present(url: str) -> dict[str, Any]:
    revisions = sorted(path.name for path in _VERSIONS.glob("*.py"))
    try:
        version = sorted(
            str(version)
            for (version,) in await sql.rows(url, "SELECT version_num FROM alembic_version")
        )
    except sql.Unanswered:  # the first start
        version = []
    return {"known": revisions, "version": version}


def _read(marker: Path) -> object:
    try:
        return json.loads(marker.read_text())
    except (OSError, ValueError):
        return None


async def _migrate(settings: Mapping[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *Program("migrate", mecapy_command("migrate")).launched(),
        env=settings,
        cwd="/",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_MIGRATE_S):
            output, _ = await process.communicate()
    except (TimeoutError, asyncio.CancelledError):
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise StackError(
            f"the database schema could not be brought up to "
            f"date:\n{output.decode(errors='replace').strip()[-1500:]}"
        )
