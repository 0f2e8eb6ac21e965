"""`workflow("nightly")`: tasks that belong together, and the graph of their results."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextvars import Token
from typing import TYPE_CHECKING

from mecapy_jupyter import wire
from mecapy_jupyter.client import config, current_workflow, gateway_api
from mecapy_jupyter.client.task import Task
from mecapy_jupyter.remote_function import client_of
from mecapy_jupyter.shared import workflow_picture
from mecapy_jupyter.shared.units import escaped

if TYPE_CHECKING:
    from mecapy_jupyter.client.client import Client


class Workflow:
    """Inside `with`, every task that is submitted belongs to it. It lives at the gateway: kernel
    and notebook may be closed. `workflow(id=…)` finds it again.
    """

    def __init__(self, client: Client, status: wire.WorkflowStatus) -> None:
        self._client = client
        self.id, self.name = status.workflow_id, status.name
        self._entered = list[Token[str]]()

    def __enter__(self) -> Workflow:
        self._entered.append(current_workflow.id_of.set(self.id))
        return self

    def __exit__(self, *_: object) -> None:
        current_workflow.id_of.reset(self._entered.pop())

    def __repr__(self) -> str:
        return f"<Workflow {workflow_picture.headline(self.look())}>"

    def _repr_html_(self) -> str:
        now = self.look()
        drawn = workflow_picture.picture(now).svg
        return f"<p>{escaped(workflow_picture.headline(now))}</p>{drawn}"

    @property
    def status(self) -> wire.WorkflowState:
        """`empty`, `running`, `completed`, `failed` or `cancelled`, as of now."""
        return self.look().status

    @property
    def progress(self) -> float:
        """The completed part of its tasks, from 0 to 1."""
        return self.look().progress

    def look(self) -> wire.WorkflowStatus:
        """Its tasks, with their states and parents."""
        return gateway_api.workflow(self._client.gateway, self.id)

    def show(self) -> workflow_picture.Picture:
        """The graph as a picture: the colour of a task is its state."""
        return workflow_picture.picture(self.look())

    def cancel(self) -> None:
        """All its tasks that have not ended."""
        gateway_api.cancel_workflow(self._client.gateway, self.id)

    def retry(self) -> list[Task]:
        """Run what failed or was cancelled again, under the same ids; what is completed is kept.
        Returns their new Futures: the old ones have ended.
        """
        gateway, before = self._client.gateway, self.look()
        gateway_api.retry_workflow(gateway, self.id)
        again = [task for task in before.tasks if task.status in (wire.FAILED, wire.CANCELLED)]
        return self._futures(again)

    def tasks(self) -> list[Task]:
        """The Futures of its tasks, the oldest first, as another kernel gets them."""
        return self._futures(self.look().tasks)

    def _futures(self, tasks: Iterable[wire.WorkflowTask]) -> list[Task]:
        namespace = sys.modules["__main__"].__dict__
        return [self._client.attach(task.task_id, task.name, namespace).follow() for task in tasks]

    def delete(self) -> None:
        """It with all its tasks and their results."""
        gateway_api.delete_workflow(self._client.gateway, self.id)


def workflow(name: str = "", *, id: str = "", client: Client | None = None) -> Workflow:
    """A new workflow of this name, or the one with this id. `client`: where; by default as of
    `Client()`.

        with workflow("nightly") as w:
            mesh = make_mesh.submit(3)
            results = [solve.submit(mesh, load) for load in loads]
        w.status, w.show()
    """
    client = client or client_of(config.resolve())
    if id:
        return Workflow(client, gateway_api.workflow(client.gateway, id))
    if not name:
        raise TypeError("workflow() needs a name, or the id of an existing workflow")
    return Workflow(client, gateway_api.make_workflow(client.gateway, name))
