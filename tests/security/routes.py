"""Every route of the gateway, and who may ask it about whose things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from blake3 import blake3

SECRET = "what-ada-computes"
BLOB = b"bytes of " + SECRET.encode()
DIGEST = blake3(BLOB).hexdigest()
JSON = {"Content-Type": "application/json"}

OPEN, OWN, OBJECT, ORGANISATION, ALL = "open", "own", "object", "organisation", "all"


@dataclass(frozen=True)
class Case:
    """`kind`: who may. OWN: every user, and it is about their own; OBJECT: it names a thing of
    ada's, which for others does not exist.
    """

    kind: str
    status: int = 200
    body: Any = None
    query: str = ""


# In this order; what destroys comes last.
WALK: dict[str, Case] = {
    "GET /livez": Case(OPEN),
    "GET /healthz": Case(OPEN),
    "GET /readyz": Case(OPEN),
    "GET /auth": Case(OPEN),
    "GET /metrics": Case(ALL),
    "GET /audit": Case(ALL),
    "GET /workers": Case(OWN),
    "GET /workers/packages": Case(OWN),
    "PATCH /workers/{worker_id}": Case(ALL, 404, {"draining": True}),
    "GET /machines": Case(OWN),
    "GET /system/scale": Case(OWN),
    "POST /machines/credentials": Case(OPEN, 401),
    "POST /machines/failed": Case(OPEN, 401, query="?why=x"),
    "GET /me": Case(OWN),
    "POST /login-links": Case(OWN, 201),
    "POST /tasks": Case(OWN, 201, {"code": "1"}),
    "GET /tasks": Case(OWN),
    "GET /tasks/{task_id}": Case(OBJECT),
    "GET /tasks/{task_id}/request": Case(OBJECT),
    "GET /tasks/{task_id}/result": Case(OBJECT),
    "GET /tasks/{task_id}/events": Case(OBJECT, query="?follow=false"),
    "POST /tasks/{task_id}/cancel": Case(OBJECT),
    "POST /tasks/{task_id}/extend": Case(OBJECT, 409, {"seconds": 60}),
    "POST /tasks/{task_id}/notify": Case(OBJECT, 204, {"notify": []}),
    "POST /tasks/{task_id}/comms": Case(
        OBJECT, 409, {"messages": [{"comm_id": "a", "data": {"method": "custom"}}]}
    ),
    "POST /tasks/{task_id}/share": Case(OBJECT),
    "DELETE /tasks/{task_id}/share": Case(OBJECT, 204),
    "GET /shared/{task_id}": Case(OWN, 404),  # shared: test_page_login
    "POST /workflows": Case(OWN, 201, {"name": "of all", "tasks": {"a": {"code": "1"}}}),
    "GET /workflows": Case(OWN),
    "GET /workflows/{workflow_id}": Case(OBJECT),
    "POST /workflows/{workflow_id}/cancel": Case(OBJECT),
    "POST /workflows/{workflow_id}/retry": Case(OBJECT),
    "POST /sweeps": Case(OWN, 200, {"name": "of all", "points": ["0" * 32]}),
    "GET /sweeps": Case(OWN),
    "GET /sweeps/{name}": Case(OBJECT),
    "POST /sweeps/{name}/pause": Case(OBJECT),
    "POST /sweeps/{name}/resume": Case(OBJECT),
    "POST /sweeps/{name}/cancel": Case(OBJECT),
    "GET /cache": Case(OWN),
    "DELETE /cache/{task_id}": Case(OBJECT),
    "DELETE /cache": Case(OWN),
    "GET /blobs/{digest}": Case(OBJECT),
    "POST /blobs/missing": Case(OWN, 200, {"digests": [{"digest": DIGEST, "size": len(BLOB)}]}),
    "GET /blobs/place": Case(OWN),
    "POST /blobs/take": Case(OWN, 404, {"files": ["0" * 32]}),
    "POST /blobs/{digest}/parts": Case(OWN, 409, {"size": 1}),
    "POST /blobs/{digest}/parts/{upload}": Case(OWN, 409, {"size": 1, "etags": []}),
    "DELETE /blobs/{digest}/parts/{upload}": Case(OWN, 204),
    "PUT /blobs/{digest}": Case(OWN, 204, BLOB),
    "GET /tokens": Case(OWN),
    "POST /tokens": Case(OWN, 201, {"name": "ci"}),
    "GET /users": Case(ORGANISATION),
    "GET /users/tasks": Case(ORGANISATION),
    "POST /users": Case(ALL, 201, {"name": "prometheus"}),
    "GET /users/{user_id}/tokens": Case(ALL),
    "POST /users/{user_id}/tokens": Case(ALL, 409, {"name": "eve logs in"}),
    "DELETE /users/{user_id}/tokens/{token_id}": Case(ALL, 404),
    "GET /organisations": Case(ORGANISATION),
    "GET /organisations/usage": Case(ORGANISATION),
    "GET /organisations/report": Case(ORGANISATION),
    "PATCH /organisations/{organisation_id}": Case(ALL, 204, {"weight": 2.0}),
    "PATCH /users/{user_id}": Case(ALL, 200, {"max_queued": 7}),
    "DELETE /tokens/{token_id}": Case(OBJECT, 204),
    "DELETE /tasks/{task_id}": Case(OBJECT, 204),
    "DELETE /workflows/{workflow_id}": Case(OBJECT, 204),
    "DELETE /users/{user_id}": Case(ALL, 204),
}
# What a personal API token may with one scope alone; what is in neither takes a login, or `admin`
# and a role.
READ = {
    route for route in WALK if route.startswith("GET /") and WALK[route].kind in (OWN, OBJECT)
} - {"GET /tokens", "GET /blobs/place"} | {"POST /login-links"}
TASKS = (
    {route for route in WALK if WALK[route].kind in (OWN, OBJECT)}
    - READ
    - {route for route in WALK if "/tokens" in route}
)
