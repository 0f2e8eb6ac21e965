"""My workflows as a table, and one of them as a graph; to cancel it and to retry it."""

from __future__ import annotations

from starlette.responses import Response

from mecapy_backend.api.routes import workflows as workflow_routes
from mecapy_backend.page import answers
from mecapy_backend.page.door import Visit
from mecapy_backend.store import workflows
from mecapy_jupyter import wire
from mecapy_jupyter.shared import workflow_picture

_TASKS = 500


async def listed(visit: Visit) -> Response:
    found = await workflows.page(visit.services.db, visit.owner)
    return visit.page("workflows.html", workflows=found)


async def shown(visit: Visit) -> Response:
    from markupsafe import Markup

    workflow = await _mine(visit)
    return visit.page(
        "workflow.html",
        workflow=workflow,
        headline=workflow_picture.headline(workflow),
        drawn=Markup(workflow_picture.picture(workflow).svg),  # which escapes the names in it
        names={task.task_id: task.name or task.task_id[:8] for task in workflow.tasks},
        tasks=workflow.tasks[:_TASKS],
    )


async def cancel(visit: Visit) -> Response:
    workflow = await _mine(visit)
    await workflow_routes.cancel(visit.services, visit.owner, workflow)
    return answers.to(f"/page/workflows/{workflow.workflow_id}")


async def retry(visit: Visit) -> Response:
    workflow = await _mine(visit)
    await workflow_routes.retry(visit.services, visit.owner, workflow)
    return answers.to(f"/page/workflows/{workflow.workflow_id}")


async def _mine(visit: Visit) -> wire.WorkflowStatus:
    """Raises Problem 404, also for somebody else's."""
    workflow_id = visit.request.path_params["workflow_id"]
    return await workflow_routes.workflow_of(visit.services, visit.owner, workflow_id)
