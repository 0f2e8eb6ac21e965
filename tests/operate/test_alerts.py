"""The alert rules, tried by Prometheus' own tools and by a Prometheus that watches a gateway."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from mecapy_backend.api.metrics import GATEWAY
from mecapy_worker.metrics import WORKER

from ..conftest import execute
from ..house.tracked import ROOT
from ..stack.running import until
from ..stack.test_doctor import free_port

RULES = ROOT / "deploy" / "prometheus" / "mecapy.rules.yml"
CASES = Path(__file__).with_name("alerts.test.yml")
needs_prometheus = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")),
    reason="needs Prometheus (apt-get install prometheus)",
)
CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs: [{{job_name: mecapy, static_configs: [{{targets: ["{target}"]}}]}}]
"""


def promtool(*words: str) -> None:
    done = subprocess.run(
        ("promtool", *words), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_name_figures_there_are() -> None:
    """Each figure in a rule is one that a gateway or a worker has."""
    there = {
        sample
        for registry in (GATEWAY, WORKER)
        for family in registry.collect()
        for sample in (family.name, f"{family.name}_total")
    }
    rules = re.findall(r"(?m)^ +expr: (.*)$", RULES.read_text())
    named = {name for rule in rules for name in re.findall(r"\bmecapy_\w+", rule)}
    assert len(named) > 10 and named - there == set()


def test_each_alert_has_a_case() -> None:
    """No alert is without a case that fires it."""
    alerts = set(re.findall(r"alert: (\w+)", RULES.read_text()))
    assert alerts == set(re.findall(r'alertname="(\w+)"', CASES.read_text()))


@needs_prometheus
def test_cases(tmp_path: Path) -> None:
    """A quiet deployment fires no alert, and what each is for fires it."""
    promtool("check", "rules", str(RULES))
    for file in (RULES, CASES):
        shutil.copy(file, tmp_path)
    promtool("test", "rules", str(tmp_path / CASES.name))


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[httpx.Client]:
    """One that scrapes `target` once a second."""
    port = free_port()
    (folder / "prometheus.yml").write_text(CONFIG.format(rules=RULES, target=target))
    argv = (
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            yield http
    finally:
        process.terminate()
        process.wait(60)


def firing(http: httpx.Client) -> set[str]:
    try:
        found = http.get("/api/v1/alerts").json()["data"]["alerts"]
    except (httpx.TransportError, ValueError):  # it starts
        return set()
    return {one["labels"]["alertname"] for one in found if one["state"] == "firing"}


@needs_prometheus
def test_a_dead_worker_fires(gateway: Any, tmp_path: Path) -> None:
    """A worker that ended without a goodbye is told of by the gateway, and fires."""
    with prometheus(tmp_path, gateway.url.removeprefix("http://")) as http:

        def seen() -> Any:
            answer = http.get("/api/v1/query", params={"query": "mecapy_workers_lost"})
            return answer.json()["data"]["result"]

        until(lambda: _quietly(seen), 120)
        assert "MecapyWorkerLost" not in firing(http)
        dead = "INSERT INTO workers (id, info, seen_at) VALUES ('w', '{}', now() - interval '30 s')"
        asyncio.run(execute(gateway.settings.database_url, dead))
        until(lambda: "MecapyWorkerLost" in firing(http), 120)


def _quietly(look: Any) -> Any:
    try:
        return look()
    except (httpx.TransportError, ValueError, KeyError):
        return None
