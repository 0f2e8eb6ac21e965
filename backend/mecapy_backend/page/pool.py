"""The pool: the workers and what they have, how many tasks wait and have waited, and the classes of
machines with the machines that run.
"""

from __future__ import annotations

from starlette.responses import Response

from mecapy_backend.api.json_reply import or_none
from mecapy_backend.api.routes import machines, system
from mecapy_backend.page import answers
from mecapy_backend.page.curves import curve
from mecapy_backend.page.door import Visit
from mecapy_backend.store import workers


async def shown(visit: Visit) -> Response:
    live = await workers.list_live(visit.services.db)
    return visit.page(
        "pool.html",
        workers=live,
        slots=sum(worker.info.slots for worker in live),
        running=sum(worker.info.running or 0 for worker in live),
        waiting=await or_none(visit.services.queue.depth()),
        queue=curve("Waiting tasks", visit.services.queue_history.seen, lambda most: f"{most:g}"),
        fleet=await machines.fleet_of(visit.services),
        admin=visit.caller.role == "admin",
    )


async def drain(visit: Visit) -> Response:
    draining = visit.form.get("draining") == "yes"
    worker_id = visit.request.path_params["worker_id"]
    await system.set_draining(visit.services, visit.owner, worker_id, draining=draining)
    return answers.to("/page/pool")
