"""The packages that a task adds, before it has a child."""

from __future__ import annotations

import asyncio

from mecapy_backend.store import tasks
from mecapy_backend.store.people import users
from mecapy_jupyter import wire
from mecapy_worker.context import Context, RunningTask
from mecapy_worker.packages import requested
from mecapy_worker.pool.nest import AddedPackages
from mecapy_worker.run.event_writer import EventWriter


class StoppedBefore(Exception):
    """The task was stopped while its packages were installed."""


async def add_packages(
    work: Context, started: tasks.StartedAttempt, running: RunningTask, writer: EventWriter
) -> AddedPackages | None:
    """None: it adds none. The block shows what is installed. Raises PackagesRefused, and
    StoppedBefore.
    """
    wanted = started.request.packages
    if not wanted:
        return None
    if work.environments is None:
        requested.checked(wanted, work.settings)
        raise requested.PackagesRefused("This worker installs no packages; ask its operators.")
    user = await users.get(work.db, started.owner)
    organisation = f"organisation {user.organisation}" if user and user.organisation else ""
    said = list[str]()

    def say(text: str) -> None:
        said.append(text)
        writer.add(wire.ProgressEvent(None, text))

    adding = asyncio.create_task(
        work.environments.added(organisation or f"user {started.owner}", wanted, say)
    )
    stopped = asyncio.create_task(running.stopped.wait())
    try:
        await asyncio.wait({adding, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not adding.done():
            raise StoppedBefore
        if said:
            writer.add(wire.ProgressEvent(None, ""))
        return adding.result()
    finally:
        adding.cancel()
        stopped.cancel()
        await asyncio.gather(adding, stopped, return_exceptions=True)
