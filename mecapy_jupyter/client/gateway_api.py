"""The gateway's API as typed functions, one per address. `http` transports the requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal
from urllib.parse import quote

from mecapy_jupyter import wire
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.wire.json_fields import JsonObject, as_object, objects


def task(gateway: Gateway, task_id: str) -> wire.TaskStatus:
    return wire.TaskStatus.from_json(as_object(gateway.get(f"/tasks/{task_id}")))


def tasks(
    gateway: Gateway, limit: int, state: wire.State | None = None
) -> Sequence[wire.TaskStatus]:
    """My last tasks, the newest first; at most one page."""
    return task_page(gateway, limit, state).tasks


def task_page(
    gateway: Gateway, limit: int, state: wire.State | None = None, cursor: str | None = None
) -> wire.TaskPage:
    page = gateway.get("/tasks", cursor=cursor, state=state, limit=limit)
    return wire.TaskPage.from_json(as_object(page))


def task_pages(
    gateway: Gateway, limit: int, state: wire.State | None = None
) -> Iterator[Sequence[wire.TaskStatus]]:
    """Page by page, the newest first."""
    cursor: str | None = None
    while True:
        page = task_page(gateway, limit, state, cursor)
        if page.tasks:
            yield page.tasks
        cursor = page.next
        if cursor is None:
            return


def cancel(gateway: Gateway, task_id: str, *, descendants: bool = False) -> wire.TaskStatus:
    """Cancel it, and all that needs its result if so wished. A running task gets the request; its
    final event follows.
    """
    path = f"/tasks/{task_id}/cancel{'?descendants=true' if descendants else ''}"
    return wire.TaskStatus.from_json(as_object(gateway.post(path)))


def extend(gateway: Gateway, task_id: str, more_s: float) -> wire.TaskLimit:
    """Let it run so much longer, up to the most that the gateway allows."""
    answer = gateway.post(f"/tasks/{task_id}/extend", {"seconds": more_s})
    return wire.TaskLimit.from_json(as_object(answer))


def notify(gateway: Gateway, task_id: str, targets: Sequence[str], *, check: bool = False) -> None:
    """Report its end to these, also if it has ended. `check`: only raise what would be refused."""
    gateway.post(f"/tasks/{task_id}/notify", {"notify": list(targets), "check": check})


def say_to_widgets(gateway: Gateway, task_id: str, messages: Sequence[JsonObject]) -> None:
    """What a page says to the widgets of a running cell. Raises if it did not arrive."""
    gateway.post(f"/tasks/{task_id}/comms", {"messages": list(messages)}, once=True)


def request(gateway: Gateway, task_id: str) -> wire.TaskRequest:
    """A task as it was submitted."""
    return wire.TaskRequest.from_json(as_object(gateway.get(f"/tasks/{task_id}/request")))


def outcome(gateway: Gateway, task_id: str) -> wire.Outcome:
    """How a finished task ended. Raises Refused while it has not."""
    result = as_object(gateway.get(f"/tasks/{task_id}/result"))
    return wire.Outcome.from_json(result | {"state": result["status"]})


def make_workflow(gateway: Gateway, name: str) -> wire.WorkflowStatus:
    """An empty one; tasks name it when they are submitted."""
    return wire.WorkflowStatus.from_json(as_object(gateway.post("/workflows", {"name": name})))


def workflow(gateway: Gateway, workflow_id: str) -> wire.WorkflowStatus:
    return wire.WorkflowStatus.from_json(as_object(gateway.get(f"/workflows/{workflow_id}")))


def cancel_workflow(gateway: Gateway, workflow_id: str) -> None:
    gateway.post(f"/workflows/{workflow_id}/cancel")


def retry_workflow(gateway: Gateway, workflow_id: str) -> None:
    gateway.post(f"/workflows/{workflow_id}/retry")


def delete_workflow(gateway: Gateway, workflow_id: str) -> None:
    gateway.delete(f"/workflows/{workflow_id}")


def me(gateway: Gateway) -> wire.Me:
    return wire.Me.from_json(as_object(gateway.get("/me")))


def login_link(gateway: Gateway) -> wire.LoginLink:
    return wire.LoginLink.from_json(as_object(gateway.post("/login-links")))


def workers(gateway: Gateway) -> list[wire.WorkerInfo]:
    """The live workers."""
    found = objects({"workers": gateway.get("/workers")}, "workers")
    return [wire.WorkerInfo.from_json(worker) for worker in found]


def machines(gateway: Gateway) -> wire.MachinesInfo:
    """Classes of machines, with what is free and what it costs, and the machines that run."""
    return wire.MachinesInfo.from_json(as_object(gateway.get("/machines")))


def packages(gateway: Gateway, python: str) -> wire.InstalledPackages:
    """The packages that all workers with this Python ("3.12") have."""
    found = gateway.get("/workers/packages", python=python)
    return wire.InstalledPackages.from_json(as_object(found))


def begin_sweep(gateway: Gateway, sweep: wire.SweepRequest) -> wire.SweepStatus:
    """Make it, or give it these points; its tasks so far."""
    return wire.SweepStatus.from_json(as_object(gateway.post("/sweeps", sweep.as_json())))


def sweeps(gateway: Gateway) -> Sequence[wire.SweepStatus]:
    """My sweeps, the one that changed last first, without points and tasks."""
    return wire.SweepList.from_json(as_object(gateway.get("/sweeps"))).sweeps


def sweep(gateway: Gateway, name: str, since: datetime | None = None) -> wire.SweepStatus:
    """With `since` only the tasks that ended then or later, and no points."""
    found = gateway.get(_sweep_path(name), since=since.isoformat() if since else None)
    return wire.SweepStatus.from_json(as_object(found))


def change_sweep(
    gateway: Gateway, name: str, change: Literal["pause", "resume", "cancel"]
) -> wire.SweepStatus:
    return wire.SweepStatus.from_json(as_object(gateway.post(f"{_sweep_path(name)}/{change}")))


def _sweep_path(name: str) -> str:
    return f"/sweeps/{quote(name, safe='')}"


def cache(gateway: Gateway, limit: int = 100, keys: wire.CacheKeys | None = None) -> wire.CacheList:
    """My kept results, the newest first."""
    return wire.CacheList.from_json(
        as_object(
            gateway.get("/cache", limit=limit, key=keys and keys.key, seeded=keys and keys.seeded)
        )
    )


def clear_cache(gateway: Gateway, task_id: str = "") -> None:
    """Forget all kept results, or this task's."""
    gateway.delete(f"/cache/{task_id}" if task_id else "/cache")


def login_offer(gateway: Gateway) -> wire.LoginOffer:
    return wire.LoginOffer.from_json(as_object(gateway.get("/auth")))


def create_token(gateway: Gateway, token: wire.TokenRequest) -> wire.TokenInfo:
    return wire.TokenInfo.from_json(as_object(gateway.post("/tokens", token.as_json())))


def tokens(gateway: Gateway) -> list[wire.TokenInfo]:
    found = objects({"tokens": gateway.get("/tokens")}, "tokens")
    return [wire.TokenInfo.from_json(token) for token in found]


def revoke_token(gateway: Gateway, token_id: str) -> None:
    gateway.delete(f"/tokens/{token_id}")


def missing_blobs(gateway: Gateway, blobs: Iterable[wire.BlobSize]) -> Sequence[wire.MissingBlob]:
    """Those of these that must be uploaded."""
    answer = gateway.post("/blobs/missing", wire.missing_request(blobs))
    return wire.MissingBlobs.from_json(as_object(answer)).missing


def store_folders(gateway: Gateway) -> wire.StoreFolders:
    """The store's folder on this machine."""
    return wire.StoreFolders.from_json(as_object(gateway.get("/blobs/place")))


def take_files(gateway: Gateway, names: Sequence[str]) -> Sequence[wire.BlobSize]:
    """Hand over files in the store's folder; each becomes a blob."""
    answer = gateway.post("/blobs/take", {"files": list(names)})
    return wire.TakenBlobs.from_json(as_object(answer)).taken


def part_urls(
    gateway: Gateway, digest: str, size_bytes: int, upload: str = "", first: int = 0
) -> wire.PartUrls:
    """Start an upload in parts; with `upload`, new URLs for the parts from `first` on."""
    body: wire.JsonObject = {"size": size_bytes}
    if upload:
        body |= {"upload": upload, "first": first}
    return wire.PartUrls.from_json(as_object(gateway.post(f"/blobs/{digest}/parts", body)))


def end_parts(
    gateway: Gateway, digest: str, upload: str, size_bytes: int, etags: Sequence[str]
) -> None:
    """Complete an upload in parts."""
    body: wire.JsonObject = {"size": size_bytes, "etags": list(etags)}
    gateway.post(_upload(digest, upload), body, key=digest)


def abort_parts(gateway: Gateway, digest: str, upload: str) -> None:
    gateway.delete(_upload(digest, upload))


def _upload(digest: str, upload: str) -> str:
    return f"/blobs/{digest}/parts/{quote(upload, safe='')}"
