"""Serverless Jobs of the small Scaleway: a run that is started runs a real worker."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import uuid
from typing import Any
from urllib.parse import parse_qs, urlsplit

from mecapy_jupyter.shared.processes import mecapy_command

from .fake_scaleway import FakeScaleway

# As the recordings of scaleway/terraform-provider-scaleway show it (action-job-definition-start-
# basic and job-definition-retry-policy in internal/services/jobs/testdata), read on 2026-11-28, not
# replayed in CI: what was asked, the status of the answer, and its fields.
DEFINITION = (
    "id", "name", "project_id", "created_at", "updated_at", "cpu_limit", "memory_limit",
    "local_storage_capacity", "image_uri", "command", "environment_variables", "job_timeout",
    "description", "cron_schedule", "startup_command", "args", "retry_policy", "region",
)  # fmt: skip
RUN = (
    "command", "cpu_limit", "created_at", "environment_variables", "error_message", "exit_code",
    "id", "job_definition_id", "local_storage_capacity", "memory_limit", "region", "run_duration",
    "started_at", "state", "terminated_at", "updated_at",
)  # fmt: skip
READ: list[tuple[str, int, tuple[str, ...]]] = [
    ("POST job-definitions", 200, DEFINITION),
    ("GET job-definitions/{id}", 200, DEFINITION),
    ("POST job-definitions/{id}/start", 200, ("job_runs",)),
    ("GET job-runs?job_definition_id={id}", 200, ("job_runs", "total_count")),
    ("DELETE job-definitions/{id}", 403, ("message",)),  # one or more job runs are still running
]
_TIME = "2026-07-02T14:16:59.636565Z"
_AT = r"(\w+) /serverless-jobs/v1alpha2/regions/([\w-]+)/(job-definitions|job-runs)(?:/([\w-]+))?"


class FakeScalewayJobs(FakeScaleway):
    """`runs`: id → its fields."""

    def __init__(self, folder: Any, *, boots: bool = True) -> None:
        super().__init__(folder, boots=boots)
        self.definitions: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def left(self) -> dict[str, int]:
        running = sum(run["state"] == "running" for run in self.runs.values())
        return super().left() | {"definitions": len(self.definitions), "runs": running}

    def _route(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        parts = urlsplit(path)
        found = re.fullmatch(_AT + r"(?:/(\w+))?", f"{method} {parts.path}")
        if not found:
            return super()._route(method, path, body)
        _, region, kind, number, action = found.groups()
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match method, kind, action:
            case "POST", "job-definitions", None:
                return 200, self._define(region, json.loads(body))
            case "POST", "job-definitions", "start":
                return 200, {"job_runs": [self._start(number)]}
            case "POST", "job-runs", "stop":
                self.end(number, "interrupted")
                return 200, self.runs[number]
            case "DELETE", "job-definitions", None:
                return self._delete(number)
            case "GET", "job-definitions", None if number:
                return (200, self.definitions[number]) if number in self.definitions else (404, {})
            case _:
                name = kind.replace("-", "_")
                known = self.definitions if kind == "job-definitions" else self.runs
                own = query.get("job_definition_id")
                every = [one for one in known.values() if one["region"] == region]
                every = [one for one in every if not own or one["job_definition_id"] == own]
                first = query.get("page", "1") == "1"
                return 200, {name: every if first else [], "total_count": len(every)}

    def _define(self, region: str, asked: dict[str, Any]) -> dict[str, Any]:
        made = dict.fromkeys(DEFINITION) | asked
        made |= {"id": str(uuid.uuid4()), "region": region}
        made |= {"created_at": _TIME, "updated_at": _TIME}
        self.definitions[made["id"]] = made
        self.made += 1
        return made

    def _start(self, number: str) -> dict[str, Any]:
        job = self.definitions[number]
        run = dict.fromkeys(RUN) | {name: job[name] for name in RUN if name in job}
        run |= {"id": str(uuid.uuid4()), "job_definition_id": number, "state": "running"}
        self.runs[run["id"]] = run
        if self._boots:
            kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
            self._processes[run["id"]] = subprocess.Popen(
                mecapy_command(*job["args"]), env=kept | job["environment_variables"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        return run

    def end(self, number: str, state: str) -> None:
        """As the platform ends a run: at once."""
        self.runs[number]["state"] = state
        if process := self._processes.pop(number, None):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _delete(self, number: str) -> tuple[int, Any]:
        own = [run for run in self.runs.values() if run["job_definition_id"] == number]
        if any(run["state"] == "running" for run in own):
            return 403, {"message": "one or more job runs are still running"}
        if self.definitions.pop(number, None) is None:
            return 404, {"type": "not_found", "message": "resource is not found"}
        return 204, None
