"""Workflows: make, look at, cancel, retry, delete. Their tasks are tasks like any other."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import Depends, Request, Response

from mecapy_backend.api import metrics, request_body
from mecapy_backend.api.auth import Owner
from mecapy_backend.api.json_reply import json, or_none
from mecapy_backend.api.problems import Problem, misunderstood, no_such_workflow
from mecapy_backend.api.refusals import as_problems
from mecapy_backend.api.routes.submission import Key, check_limits, check_notify
from mecapy_backend.api.schemas.answers import answer
from mecapy_backend.api.schemas.workflows import NodeBody, WorkflowBody
from mecapy_backend.api.services import Services, WithServices
from mecapy_backend.api.surface import surface
from mecapy_backend.store import new_workflow, tasks, workflows
from mecapy_backend.store.blobs import blob_rows
from mecapy_backend.store.log import events
from mecapy_backend.store.new_workflow import Node
from mecapy_backend.store.tasks import settling
from mecapy_backend.store.tasks.user_tasks import tell_stopped
from mecapy_jupyter import wire
from mecapy_jupyter.wire import JsonObject

router = surface("workflows")
_log = structlog.get_logger()
_MANY = 1000
_SHOWN = answer(wire.WorkflowStatus, status=wire.WorkflowState, progress=float)


async def workflow_of(
    services: WithServices, owner: Owner, workflow_id: str
) -> wire.WorkflowStatus:
    """The one an address names, if it is the asker's."""
    try:
        found = await workflows.get(services.db, owner, str(UUID(workflow_id)))
    except ValueError:
        found = None
    if found is None:
        raise no_such_workflow(workflow_id)
    return found


Mine = Annotated[wire.WorkflowStatus, Depends(workflow_of)]


@router.post(
    "/workflows",
    status_code=201,
    response_model=_SHOWN,
    openapi_extra=request_body.described(WorkflowBody),
    summary="Make a workflow",
)
async def make(
    request: Request, services: WithServices, owner: Owner, idempotency_key: Key = None
) -> Response:
    """Creates it with all its tasks or none; or empty, for tasks that name it when submitted."""
    body = await services.bodies.read(request, WorkflowBody)
    nodes = {key: await _node(services, owner, body, key) for key in body.tasks}
    _check_order(nodes)
    admission = await services.task_quotas.submission(services.db, owner)
    with as_problems():
        made = await new_workflow.create(
            services.db,
            owner,
            body.name,
            nodes,
            idempotency_key=idempotency_key,
            max_queued=admission.most,
        )
    await _start(services, made, admission.share)
    metrics.submitted.inc(len(nodes) * made.created)
    _log.info("workflow", workflow=made.workflow_id, owner=owner, tasks=len(nodes))
    shown = await workflow_of(services, owner, made.workflow_id)
    return json(_view(shown), 201, Location=f"/workflows/{made.workflow_id}")


@router.get("/workflows", response_model=dict[str, list[_SHOWN]], summary="List my workflows")
async def page(services: WithServices, owner: Owner) -> Response:
    """The newest first, at most 100, without their tasks."""
    found = await workflows.page(services.db, owner)
    return json({"workflows": [_view(each) for each in found]})


@router.get("/workflows/{workflow_id}", response_model=_SHOWN, summary="Look at a workflow")
async def look(workflow: Mine) -> Response:
    return json(_view(workflow))


@router.post("/workflows/{workflow_id}/cancel", response_model=_SHOWN, summary="Cancel a workflow")
async def cancel(services: WithServices, owner: Owner, workflow: Mine) -> Response:
    """All its tasks that have not ended; results that there are stay."""
    await _cancel(services, owner, workflow.workflow_id)
    return json(_view(await workflow_of(services, owner, workflow.workflow_id)))


@router.post("/workflows/{workflow_id}/retry", response_model=_SHOWN, summary="Retry a workflow")
async def retry(services: WithServices, owner: Owner, workflow: Mine) -> Response:
    """What failed or was cancelled runs again, under the same ids; what is completed is kept."""
    admission = await services.task_quotas.submission(services.db, owner)
    ids = await workflows.failed(services.db, owner, workflow.workflow_id)
    await _forget_events(services, ids)  # before anybody can start them: a log begins anew
    queued, ended = await workflows.retry(services.db, owner, workflow.workflow_id)
    made = new_workflow.MadeWorkflow(workflow.workflow_id, True, queued, ended)
    await _start(services, made, admission.share)
    _log.info("retried", workflow=workflow.workflow_id, owner=owner, tasks=len(ids))
    return json(_view(await workflow_of(services, owner, workflow.workflow_id)))


@router.delete("/workflows/{workflow_id}", status_code=204, summary="Delete a workflow")
async def delete(services: WithServices, owner: Owner, workflow: Mine) -> Response:
    """Deletes it with all its tasks, also running ones, and their results. 409 while tasks
    elsewhere need them.
    """
    await _cancel(services, owner, workflow.workflow_id)
    try:
        gone = await workflows.delete(services.db, owner, workflow.workflow_id)
    except tasks.Needed as needed:
        detail = (
            f"tasks that are not in it and have not ended need its results, such as "
            f"{needed.children[0]}; cancel those first, or wait for them"
        )
        raise Problem(409, "needed", detail, needed_by=needed.children[:100]) from None
    if gone is None:
        raise no_such_workflow(workflow.workflow_id)
    ids, digests = gone
    await _forget_events(services, ids)
    if digests:
        named = sorted(digests)
        await blob_rows.delete_unreferenced(services.db, services.blobs, owner, named)
    _log.info("forgotten", workflow=workflow.workflow_id, owner=owner, tasks=len(ids))
    return Response(status_code=204)


async def _node(services: Services, owner: str, body: WorkflowBody, key: str) -> Node:
    task = body.tasks[key]
    check_limits(task, services.settings)
    await check_notify(services, owner, task.notify)
    await services.live_pythons.check(task.python)
    inside, outside = _needs(body, key, task)
    stored = task.model_copy(update={"needs": outside}).stored()
    short = services.short_tasks.expects(owner, task.code, task.timeout)
    usual = await services.task_quotas.usual_resources(services.db, owner)
    place = await services.placements.place(owner, task, usual, short=short)
    return Node(stored, inside, short, place)


def _check_order(nodes: Mapping[str, Node]) -> None:
    try:
        new_workflow.order(nodes)
    except CycleError as found:
        cycle: list[str] = found.args[1]
        detail = f"the tasks need each other in a circle: {' → '.join(cycle[:20])}; take one out"
        raise Problem(422, "cycle", detail, cycle=cycle) from None


def _needs(
    body: WorkflowBody, key: str, task: NodeBody
) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
    """The results that a task needs, of nodes in this workflow and of tasks elsewhere."""
    inside, outside = dict[str, tuple[str, str]](), dict[str, str]()
    for variable, need in task.needs.items():
        kind, name, there = need.split(":")
        if kind == "task":
            outside[variable] = need
        elif name in body.tasks:
            inside[variable] = name, there
        else:
            detail = f"tasks.{key}.needs: there is no task {name!r} in this workflow"
            raise misunderstood(detail)
    return inside, outside


async def _start(
    services: Services, made: new_workflow.MadeWorkflow, share: settling.Share
) -> None:
    """Redis makes them start at once; the reconciler does so a little later."""
    queued = sorted(made.queued, key=settling.owner_and_lane)
    shares = {task.owner: share for task in queued}
    await or_none(settling.put_back(services.queue, queued, shares))
    if made.ended:
        await settling.settle(services.db, services.queue, made.ended)


async def _cancel(services: Services, owner: str, workflow_id: str) -> None:
    stopped = await workflows.cancel(services.db, owner, workflow_id)
    await or_none(tell_stopped(services.queue, stopped))
    ended = [task.id for task in stopped if task.awaited and task.state == wire.CANCELLED]
    if ended:
        await settling.settle(services.db, services.queue, ended)
    metrics.cancelled.inc(sum(task.state == wire.CANCELLED for task in stopped))
    _log.info("cancel", workflow=workflow_id, owner=owner, tasks=len(stopped))


async def _forget_events(services: Services, task_ids: list[str]) -> None:
    for at in range(0, len(task_ids), _MANY):
        await or_none(events.forget(services.queue, *task_ids[at : at + _MANY]))


def _view(workflow: wire.WorkflowStatus) -> JsonObject:
    return workflow.as_json() | {"status": workflow.status, "progress": workflow.progress}
