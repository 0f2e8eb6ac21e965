"""Traces and logs leave by OpenTelemetry: a real gateway and worker, and a receiver."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from mecapy_backend.shared import telemetry
from mecapy_backend.shared.otlp import OtlpExporter
from mecapy_jupyter.client.client import Client

from ..conftest import TOKEN
from ..stack.running import until
from ..stack.test_doctor import free_port, process, said_by_environment
from .collector import MIB, hostile, receiving

MECAPY = (sys.executable, "-P", "-m", "mecapy_jupyter.cli")


def test_one_trace_from_request_to_child(gateway: Any, tmp_path: Path) -> None:
    """The submission, its way through PostgreSQL and Redis, the wait in the queue and each stage of
    the attempt are one trace, named as the task; the logs of both are in it, and nothing of code
    and data.
    """
    port = free_port()
    with receiving() as received:
        env = said_by_environment(
            gateway.settings,
            MECAPY_OTLP_ENDPOINT=received.url,
            OTEL_EXPORTER_OTLP_HEADERS="x-token=of-cockpit",
        )
        with (
            process(*MECAPY, "gateway", "--port", str(port), env=env, log=tmp_path / "gateway"),
            process(*MECAPY, "worker", env=env, log=tmp_path / "worker"),
        ):
            url = f"http://127.0.0.1:{port}"
            until(lambda: answers(url), 120)
            with Client(url, TOKEN) as client:
                task = client.submit(len, "s3cret-data")
                assert task.result(240) == 11
                task_id = str(task.id)
            until(lambda: len(received.trace(task_id)) >= 11 and received.lines(task_id), 60)
        spans = received.trace(task_id)
        assert received.headers["x-token"] == "of-cockpit"
    stages = ("start", "inputs", "child", "run", "result", "record")
    attempt, submit = spans["worker attempt 1"], spans["gateway submit"]
    assert not submit.parent_span_id
    for name in ("gateway postgres", "gateway redis", "worker queue", "worker attempt 1"):
        assert spans[name].parent_span_id == submit.span_id, name
    for stage in stages:
        one = spans[f"worker {stage}"]
        assert one.parent_span_id == attempt.span_id, stage
        assert submit.start_time_unix_nano <= one.start_time_unix_nano <= one.end_time_unix_nano
    lines = received.lines(task_id)
    assert "gateway submitted" in lines and "worker completed" in lines
    assert "s3cret" not in repr(received.spans) + repr(received.logs)


@pytest.mark.parametrize("how", ["silent", "endless", "elsewhere"])
def test_a_collector_that_is_hostile(how: str) -> None:
    """It takes and never answers, answers without an end, or sends to another place: nobody follows
    it there, little of the answer is read, and the exporter ends within seconds.
    """
    with hostile(how) as collector:
        exporter = OtlpExporter(collector.url, "mecapy-test")
        exporter.span(2**127, telemetry.Span("run", time.time_ns(), time.time_ns()))
        exporter.log(2**127, {"event": "started"})
        began_s = time.monotonic()
        exporter.close()
        assert time.monotonic() - began_s < 20
        until(lambda: {"/v1/traces", "/v1/logs"} <= collector.asked, 60)
    assert "/elsewhere" not in collector.asked
    assert collector.answered_bytes < 32 * MIB


@pytest.mark.long
@pytest.mark.parametrize("how", ["away", "silent", "endless", "elsewhere"])
def test_tasks_do_not_feel_a_bad_collector(gateway: Any, tmp_path: Path, how: str) -> None:
    """Tasks run as ever, and the worker ends in time; what could not be sent is lost."""
    with ExitStack() as opened:
        url = "http://127.0.0.1:9" if how == "away" else opened.enter_context(hostile(how)).url
        env = said_by_environment(
            gateway.settings, MECAPY_OTLP_ENDPOINT=url, OTEL_BSP_SCHEDULE_DELAY="100"
        )
        worker = opened.enter_context(process(*MECAPY, "worker", env=env, log=tmp_path / "worker"))
        with Client(gateway.url, TOKEN) as client:
            assert list(client.map(pow, range(20), [2] * 20))[-1] == 361
            assert client.submit(pow, 2, 5).result(240) == 32
        worker.terminate()
        assert worker.wait(60) == 0
    assert "Traceback" not in (tmp_path / "worker").read_text()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", timeout=60).status_code == 200
    except httpx.TransportError:
        return False
