"""The REST surface under schemathesis: requests made from its own OpenAPI document, right and wrong
ones, on a real gateway.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from ..compiled_once import kept
from ..conftest import RunningGateway
from .speak import client

EXAMPLES = int(os.environ.get("MECAPY_EXAMPLES", "6"))
"""For each operation, of right requests and of wrong ones. The same ones at every run."""


class Known:
    """Tasks and blobs that exist, put in place of made-up names: else nothing but 404 would be
    tested.
    """

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._turn = itertools.count()
        http.put(f"/blobs/{EMPTY}", content=b"").raise_for_status()

    def into(self, case: Any) -> None:
        if case.operation.path.endswith("/events"):  # else it would not end by itself
            case.query = {"follow": "false"}
        if next(self._turn) % 3 == 0:
            return
        if "task_id" in case.path_parameters:
            case.path_parameters["task_id"] = self._task()
        if "workflow_id" in case.path_parameters:
            body = {"name": "n", "tasks": {"a": {"code": "1"}}}
            made = self._http.post("/workflows", json=body).json()
            case.path_parameters["workflow_id"] = made["workflow_id"]
        if "digest" in case.path_parameters:
            case.path_parameters["digest"] = EMPTY

    def _task(self) -> str:
        """A queued one, or one that has ended."""
        task_id = self._http.post("/tasks", json={"code": "1"}).json()["task_id"]
        if next(self._turn) % 2:
            self._http.post(f"/tasks/{task_id}/cancel").raise_for_status()
        return task_id


EMPTY = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


@pytest.fixture
def http(gateway: RunningGateway) -> Iterator[httpx.Client]:
    with client(gateway) as opened:
        yield opened


@pytest.mark.parametrize("mode", ["positive", "negative"], ids=["right", "wrong"])
def test_no_500(gateway: RunningGateway, http: httpx.Client, mode: str) -> None:
    """Whatever is asked, the answer is one the document announces, in the shape it announces, and
    never the gateway's own failure.
    """
    with kept():
        import schemathesis  # here: every process that only collects the tests would wait for it
        from schemathesis import checks
        from schemathesis.specs.openapi import checks as of_the_document

    schema = schemathesis.openapi.from_url(f"{gateway.url}/openapi.json")
    known, asked = Known(http), 0
    checked = [
        checks.not_a_server_error,
        of_the_document.status_code_conformance,
        of_the_document.content_type_conformance,
        of_the_document.response_schema_conformance,
    ]

    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES, derandomize=True, database=None, deadline=None,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
        def asks(case: Any) -> None:
            nonlocal asked
            known.into(case)
            asked += 1
            headers = {"Authorization": f"Bearer {gateway.token}"}
            while (answer := case.call(headers=headers, timeout=120)).status_code == 503:
                (after_s,) = answer.headers["retry-after"]  # of a machine that is too busy
                time.sleep(float(after_s))
            case.validate_response(answer, checks=checked)

        with suppress(Unsatisfiable):  # where nothing can be wrong
            asks()
    assert asked > 10 * EXAMPLES
