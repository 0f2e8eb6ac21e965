"""Serverless Containers of the small Scaleway: one that is made runs a real worker, and is ready
once its port answers the probe.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import urllib.request
import uuid
from typing import Any
from urllib.parse import urlsplit

from mecapy_jupyter.shared.processes import mecapy_command

from ..ports import free_port
from .fake_scaleway import FakeScaleway

# As the recordings of scaleway/terraform-provider-scaleway show it (container-basic, -env, -probes,
# -sandbox, data-source-container-basic and data-source-namespace-basic in
# internal/services/container/testdata), read on 2026-11-28, not replayed in CI: what was asked, the
# status of the answer, its fields, and the state it tells.
NAMESPACE = (
    "id", "name", "organization_id", "project_id", "description", "status",
    "environment_variables", "secret_environment_variables", "tags", "created_at", "updated_at",
    "region",
)  # fmt: skip
CONTAINER = (
    "id", "name", "namespace_id", "description", "status", "created_at", "updated_at", "min_scale",
    "max_scale", "memory_limit_bytes", "mvcpu_limit", "timeout", "privacy", "image", "protocol",
    "port", "https_connections_only", "sandbox", "local_storage_limit_bytes", "scaling_option",
    "tags", "command", "args", "environment_variables", "public_endpoint", "liveness_probe",
    "startup_probe", "secret_environment_variables", "region",
)  # fmt: skip
MISSING = ("message", "resource", "resource_id", "type")
READ: list[tuple[str, int, tuple[str, ...], str | None]] = [
    ("POST namespaces", 200, NAMESPACE, "creating"),
    ("GET namespaces/{namespaces}", 200, NAMESPACE, "creating"),
    ("GET namespaces/{namespaces}", 200, NAMESPACE, "ready"),
    ("GET namespaces?name=of-nobody", 200, ("namespaces", "total_count"), None),  # all the same
    ("POST containers", 200, CONTAINER, "creating"),
    ("GET containers/{containers}", 200, CONTAINER, "creating"),
    ("GET containers/{containers}", 200, (*CONTAINER, "error_message"), "ready"),
    ("GET containers?name=x", 200, ("containers", "total_count"), None),
    ("DELETE containers/{containers}", 200, CONTAINER, "deleting"),
    ("DELETE containers/{namespaces}", 404, MISSING, None),
]
DEFAULTS = {
    "min_scale": 0, "max_scale": 5, "memory_limit_bytes": 2048000000, "mvcpu_limit": 1000,
    "timeout": "300s", "https_connections_only": False, "sandbox": "v2", "description": "",
    "local_storage_limit_bytes": 1000000000,
    "scaling_option": {"concurrent_requests_threshold": 50},
    "tags": [], "command": [], "args": [], "environment_variables": {}, "startup_probe": None,
    "liveness_probe": {"failure_threshold": 30, "interval": "10s", "timeout": "1s", "tcp": {}},
}  # fmt: skip
_TIME = "2026-05-05T14:42:42.019884Z"
_AT = r"(\w+) /containers/v1/regions/([\w-]+)/(namespaces|containers)(?:/([\w-]+))?"


class FakeScalewayContainers(FakeScaleway):
    """`known`: namespaces and containers, id → fields. Each is ready when it is asked for a second
    time; one that boots, once its port answers.
    """

    def __init__(self, folder: Any, *, boots: bool = True) -> None:
        super().__init__(folder, boots=boots)
        self.known: dict[str, dict[str, dict[str, Any]]] = {"namespaces": {}, "containers": {}}
        self._looks: dict[str, int] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ports: dict[str, int] = {}

    @property
    def containers(self) -> dict[str, dict[str, Any]]:
        return self.known["containers"]

    def there(self) -> list[dict[str, Any]]:
        return [one for one in self.containers.values() if one["status"] != "deleting"]

    def _route(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        parts = urlsplit(path)
        found = re.fullmatch(_AT, f"{method} {parts.path}")
        if not found:
            return super()._route(method, path, body)
        _, region, kind, number = found.groups()
        known = self.known[kind]
        if number and number not in known:
            return 404, {"message": "resource is not found", "resource": kind[:-1],
                         "resource_id": number, "type": "not_found"}  # fmt: skip
        if method == "POST":
            return self._make(region, kind, json.loads(body))
        if method == "DELETE":
            return 200, self._delete(known[number])
        if number:
            return 200, self._look(known[number])
        every = [self._look(one) for one in known.values() if one["region"] == region]
        first = "page=" not in parts.query or "page=1" in parts.query.split("&")
        return 200, {kind: every if first else [], "total_count": len(every)}

    def _make(self, region: str, kind: str, asked: dict[str, Any]) -> tuple[int, Any]:
        rooms = self.known["namespaces"]
        if kind == "containers" and rooms.get(asked["namespace_id"], {}).get("status") != "ready":
            return 412, {"type": "precondition_failed", "message": "namespace is not ready"}
        about = (region, asked.get("namespace_id"), asked["name"])
        if about in {
            (one["region"], one.get("namespace_id"), one["name"])
            for one in self.known[kind].values()
        }:
            return 409, {"type": "conflict", "message": "name is taken"}
        made = dict.fromkeys(NAMESPACE if kind == "namespaces" else CONTAINER)
        made |= (DEFAULTS if kind == "containers" else {}) | asked
        made |= {"id": str(uuid.uuid4()), "region": region, "status": "creating"}
        made |= {"created_at": _TIME, "updated_at": _TIME, "tags": asked.get("tags") or []}
        secrets = made["secret_environment_variables"] or {}
        made["secret_environment_variables"] = {}  # never told again
        self.known[kind][made["id"]] = made
        self.made += kind == "containers"
        if kind == "containers" and self._boots:
            self._run(made, secrets)
        return 200, dict(made)

    def _run(self, made: dict[str, Any], secrets: dict[str, str]) -> None:
        port = self._ports[made["id"]] = free_port()
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._processes[made["id"]] = subprocess.Popen(
            mecapy_command(*made["args"]),
            env=kept | made["environment_variables"] | secrets | {"PORT": str(port)},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    def _look(self, one: dict[str, Any]) -> dict[str, Any]:
        """As it is now; the next look may find more."""
        told = dict(one)
        self._looks[one["id"]] = self._looks.get(one["id"], 0) + 1
        if one["status"] == "creating" and self._answers(one):
            one |= {"status": "ready"} | ({"error_message": ""} if "image" in one else {})
        return told

    def _answers(self, one: dict[str, Any]) -> bool:
        port = self._ports.get(one["id"])
        if not port:
            return True
        url = f"http://127.0.0.1:{port}{one['startup_probe']['http']['path']}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def _delete(self, one: dict[str, Any]) -> dict[str, Any]:
        one["status"] = "deleting"
        if process := self._processes.pop(one["id"], None):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return one
