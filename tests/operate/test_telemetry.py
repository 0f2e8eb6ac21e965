"""Traces and logs leave by OpenTelemetry: a real gateway and worker, and a receiver."""

from __future__ import annotations

import os
import re
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
from ..house.tracked import ROOT
from ..ports import free_port
from ..stack.running import until
from ..stack.test_doctor import process, said_by_environment
from .collector import MIB, hostile, receiving
from .conftest import listens, program, running

PAGE = (ROOT / "docs" / "telemetry.md").read_text()
TASK = "018f3a52-7c1e-7abc-8def-0123456789ab"
TRACE, SPAN = telemetry.trace_of(TASK), telemetry.Span("run", time.time_ns(), time.time_ns())
FAILS = """
print("s3cret-output", hidden_name)
raise ValueError("s3cret-error " + hidden_name)
"""
MECAPY = (sys.executable, "-P", "-m", "mecapy_jupyter.cli")


def test_one_trace_from_request_to_child(gateway: Any, tmp_path: Path) -> None:
    """The submission, its way through PostgreSQL and Redis, the wait in the queue and each stage of
    the attempt are one trace, named as the task; the logs of both are in it. Nothing of code, names
    and values of variables, output, errors and credentials is, not even of a task that fails.
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
            until(lambda: answers(url), 240)
            with Client(url, TOKEN) as client:
                task = client.submit(len, "s3cret-data")
                assert task.result(240) == 11
                task_id = str(task.id)
                fails = client.run(FAILS, inputs={"hidden_name": "s3cret-input"})
                assert isinstance(fails.exception(240), ValueError)
            for one, ended in ((task_id, "completed"), (str(fails.id), "failed")):
                until(lambda one=one: len(received.trace(one)) >= 11, 240)
                until(lambda one=one, ended=ended: f"worker {ended}" in received.lines(one), 240)
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
    sent = repr(received.spans) + repr(received.logs)
    for private in ("s3cret", "hidden_name", TOKEN, gateway.settings.database_url):
        assert private not in sent, private


def test_the_recipe_for_cockpit(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variables of docs/telemetry.md, traces and logs go to the paths that Cockpit has,
    with its header.
    """
    (block,) = re.findall(r"(?s)```sh\n(MECAPY_OTLP_ENDPOINT=.*?)```", PAGE)
    with receiving() as received:
        block = re.sub(r"https://[^/]+", received.url, block).replace("…", "secret")
        for line in block.splitlines():
            monkeypatch.setenv(*line.split("=", 1))
        exporter = OtlpExporter(os.environ["MECAPY_OTLP_ENDPOINT"], "mecapy-test")
        exporter.span(TRACE, SPAN)
        exporter.log(TRACE, {"event": "started"})
        exporter.close()
        assert received.paths == {"/otlp/v1/traces", "/otlp/v1/logs"}
        assert received.headers["x-token"] == "secret"


@pytest.mark.long
def test_the_recipe_for_a_collector(tmp_path: Path) -> None:
    """OpenTelemetry's own collector, with the file of docs/telemetry.md, passes both on."""
    (text,) = re.findall(r"(?s)```yaml\n(# otelcol.*?)```", PAGE)
    port = free_port()
    with receiving() as received:
        text = text.replace("0.0.0.0:4318", f"127.0.0.1:{port}")
        text = text.replace("https://traces.example.org:4318", received.url)
        (config := tmp_path / "collector.yaml").write_text(text)
        argv = (program("otelcol"), f"--config={config}")
        with running(*argv, log=tmp_path / "log"):
            until(lambda: listens(port), 240)
            exporter = OtlpExporter(f"http://127.0.0.1:{port}", "mecapy-test")
            exporter.span(TRACE, SPAN)
            exporter.log(TRACE, {"event": "started", "task": TASK})
            exporter.close()
            until(lambda: received.trace(TASK) and received.lines(TASK), 240)
        assert list(received.trace(TASK)) == ["test run"]
        assert received.lines(TASK) == ["test started"]


@pytest.mark.parametrize("how", ["silent", "endless", "elsewhere"])
def test_a_collector_that_is_hostile(how: str) -> None:
    """It takes and never answers, answers without an end, or sends to another place: nobody follows
    it there, little of the answer is read, and the exporter ends within seconds.
    """
    with hostile(how) as collector:
        exporter = OtlpExporter(collector.url, "mecapy-test")
        exporter.span(TRACE, SPAN)
        exporter.log(TRACE, {"event": "started"})
        began_s = time.monotonic()
        exporter.close()
        assert time.monotonic() - began_s < 240
        until(lambda: {"/v1/traces", "/v1/logs"} <= collector.asked, 240)
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
        assert worker.wait(240) == 0
    assert "Traceback" not in (tmp_path / "worker").read_text()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", timeout=60).status_code == 200
    except httpx.TransportError:
        return False
