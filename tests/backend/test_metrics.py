"""What an operator sees of gateway and worker: figures that move with what happens, and logs that
name the task and break no line.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from mecapy_backend.api.metrics import GATEWAY
from mecapy_backend.store import machines
from mecapy_worker.metrics import STAGES, WORKER

from ..house.tracked import ROOT
from ..ports import free_port
from ..stack.running import until
from ..stack.test_doctor import process, said_by_environment
from .speak import ComesAgain, client

LOGGED = """
import logging, structlog, sys
from mecapy_backend.shared import logs
logs.configure(sys.argv[1], "worker")
log = structlog.get_logger()
log.info("a\\nb", task="t-1", name="x\\n{\\"task\\": \\"forged\\"}\\x1b[31m\\u2028",
         error="postgresql://user:hidden@host/db and redis://:hidden@h")
log.warning("long", task="t-1", error="e" * 100_000)
try:
    raise ValueError("one\\ntwo")
except ValueError:
    log.exception("broken", task="t-1")
logging.getLogger("arq").warning("said\\n%s", "elsewhere")
"""


def figures(answer: Any) -> dict[str, float]:
    """`name{label values}` and its value."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = ",".join(sample.labels.values())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


async def test_gateway(gateway: Any, db: Any) -> None:
    """Queue, requests by route, refusals by type and bytes move as they should; indexes answer, and
    nothing counts the queue.
    """
    with client(gateway) as http:
        before = figures(http.get("/metrics"))
        task_id = http.post("/tasks", json={"code": "1"}).json()["task_id"]
        http.post("/tasks", json={"code": "1", "priority": 9})
        assert http.post("/tasks", json={"nonsense": 1}).status_code == 422
        assert http.get(f"/tasks/{task_id}").status_code == 200
        async with db.connect() as connection:
            await connection.execute(
                sa.text("UPDATE tasks SET created_at = now() - interval '1 hour' WHERE id = :id"),
                {"id": task_id},
            )
        now = figures(http.get("/metrics"))
        assert (now["mecapy_queue_depth"], now["mecapy_tasks_running"], now["mecapy_workers"]) == (
            2,
            0,
            0,
        )
        assert 3600 <= now["mecapy_queue_oldest_seconds"] < 4000
        assert now["mecapy_ready"] == now["mecapy_part_up{store}"] == 1
        assert (
            abs(now["mecapy_clock_ahead_seconds{redis}"]) < 30
            and now["mecapy_store_free_bytes"] > 0
        )

        def more(name: str) -> float:
            return now[name] - before.get(name, 0.0)

        assert more("mecapy_http_answers_total{GET,/tasks/{task_id},200}") == 1
        assert (
            more("mecapy_problems_total{not-understood}") == 1
            and more("mecapy_tasks_submitted_total") == 2
        )
        assert more("mecapy_http_received_bytes_total{/tasks}") > 30
        assert task_id not in http.get("/metrics").text, "an id as a label is a series for ever"
        async with db.connect() as connection:
            await connection.execute(
                sa.text("SET enable_seqscan = off")
            )  # a table this small needs no index
            plan = await connection.execute(sa.text("EXPLAIN " + look()))
            assert (
                "tasks_queued" in (text := "\n".join(row[0] for row in plan))
                and "tasks_running" in text
            )


def look() -> str:
    from mecapy_backend.store import pool_figures

    statement: sa.TextClause = vars(pool_figures)["_FIGURES"]
    return str(statement.compile(compile_kwargs={"literal_binds": True}))


def test_who_may_ask(gateway: Any) -> None:
    """From this machine without a token; what a proxy passes on only with one. A request keeps its
    name unless it is none.
    """
    with httpx.Client(base_url=gateway.url, timeout=120) as http:
        assert http.get("/metrics").status_code == 200
        passed_on = {"X-Forwarded-For": "192.0.2.1"}
        assert http.get("/metrics", headers=passed_on).status_code == 401
        assert (
            http.get(
                "/metrics", headers=passed_on | {"Authorization": f"Bearer {gateway.token}"}
            ).status_code
            == 200
        )
        assert (
            http.get("/healthz", headers={"X-Request-ID": "mine-1"}).headers["X-Request-ID"]
            == "mine-1"
        )
        assert re.fullmatch(
            "[0-9a-f]{16}",
            http.get("/healthz", headers={"X-Request-ID": "not a name"}).headers["X-Request-ID"],
        )


def test_a_task_from_end_to_end(gateway: Any, tmp_path: Path) -> None:
    """One task through gateway and worker, as processes: its id is in each line about it, its
    request's id in the gateway's, neither its code nor its output in any; the worker's port counts
    it in every stage.
    """
    settings, port, elsewhere = gateway.settings, free_port(), free_port()
    env = said_by_environment(settings, MECAPY_WORKER_PORT=str(port))
    mecapy = (sys.executable, "-P", "-m", "mecapy_jupyter.cli")
    log, gateway_log = tmp_path / "worker.log", tmp_path / "gateway.log"
    ours = {"Authorization": "Bearer token-of-the-tests", "X-Request-ID": "request-7"}
    with (
        process(*mecapy, "gateway", "--port", str(elsewhere), env=env, log=gateway_log),
        process(*mecapy, "worker", env=env, log=log),
        ComesAgain(base_url=f"http://127.0.0.1:{elsewhere}", headers=ours, timeout=120) as http,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as worker,
    ):
        until(lambda: answers(http, "/readyz"), 240)
        code = "print('s3cret-output')\n's3cret' * 2"
        task_id = http.post("/tasks", json={"code": code, "inputs": {"a": "s3cret-input"}}).json()[
            "task_id"
        ]
        until(lambda: http.get(f"/tasks/{task_id}").json()["status"] == "completed", 240)
        until(
            lambda: (
                figures(worker.get("/metrics")).get("mecapy_worker_stage_seconds_count{record}")
                == 1
            ),
            240,
        )
        now = figures(worker.get("/metrics"))
        assert {
            stage: now[f"mecapy_worker_stage_seconds_count{{{stage}}}"] for stage in STAGES
        } == dict.fromkeys(STAGES, 1)
        assert (
            now["mecapy_worker_tasks_total{,completed}"]
            == now["mecapy_worker_slots"]
            == now["mecapy_worker_ready"]
            == 1
        )
        assert now["mecapy_worker_output_bytes_total"] > len(
            "s3cret-output\n"
        )  # and the value it displays
        assert (
            worker.get("/healthz").status_code,
            worker.post("/metrics").status_code,
            worker.get("/x").status_code,
        ) == (200, 405, 404)
    said = [json.loads(line) for line in (gateway_log.read_text() + log.read_text()).splitlines()]
    of_task = [(line["component"], line["event"]) for line in said if line.get("task") == task_id]
    assert of_task == [
        ("gateway", "submitted"),
        ("worker", "started"),
        ("worker", "in child"),
        ("worker", "completed"),
    ]
    assert next(line for line in said if line["event"] == "submitted")["request"] == "request-7"
    assert "s3cret" not in gateway_log.read_text() + log.read_text()
    assert "token-of-the-tests" not in gateway_log.read_text() + log.read_text()


def answers(http: httpx.Client, path: str) -> bool:
    try:
        return http.get(path).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_line_can_be_forged(form: str) -> None:
    """Whatever is quoted stays on its own line and in its own field; passwords of URLs are not
    shown, nothing is without end.
    """
    done = subprocess.run(
        [sys.executable, "-c", LOGGED, form], capture_output=True, text=True, check=True
    )
    lines = done.stderr.split("\n")[:-1]
    heads = [line for line in lines if not line.startswith("    ")]
    assert len(heads) == 4 and "\x1b" not in done.stderr and "\u2028" not in done.stderr
    assert "hidden" not in done.stderr and max(map(len, lines)) < 3000
    if form == "json":
        assert len(lines) == 4
        first, _, third, fourth = map(json.loads, lines)
        assert (first["event"], first["task"], first["level"], first["component"]) == (
            "a\nb",
            "t-1",
            "info",
            "worker",
        )
        assert "one\ntwo" in third["exception"] and (fourth["logger"], fourth["event"]) == (
            "arq",
            "said\nelsewhere",
        )


def test_documented() -> None:
    """Each metric of the alerts in docs/operating.md exists."""
    named = set(re.findall(r"mecapy_\w+", (ROOT / "docs/operating.md").read_text()))
    there = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in [*GATEWAY.collect(), *WORKER.collect()]
    }
    assert "mecapy_queue_depth" in named
    assert named - {"mecapy_jupyter"} <= there


async def test_what_the_fleet_costs(gateway: Any, db: Any) -> None:
    """Today's euros and the machines by class and state are metrics; one paid by the hour costs a
    whole one.
    """
    await machines.intend(db, "large", "local", 2.0, 3600)
    with client(gateway) as http:
        now = figures(http.get("/metrics"))
    assert now["mecapy_fleet_spend_euros"] == 2.0
    assert now["mecapy_fleet_budget_euros"] == 0.0
    assert now["mecapy_fleet_machines{large,wanted}"] == 1
