"""Prometheus and Alertmanager of the distribution beside a stack, with the project's own
configuration, and the receiver of its pages. Only intervals and addresses differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from ..house.tracked import ROOT
from ..http_server import QuietHandler, listening
from ..ports import free_port
from ..stack.running import until
from .conftest import program, running

MONITORING = ROOT / "deploy" / "monitoring"
WITHIN_S = 240.0
_OF_A_DEPLOYMENT = ("authorization", "dns_sd_configs")


@dataclass
class Watch:
    """`prometheus`: its address. `told`: what the receivers got, in order: the receiver, the
    alert's name, and whether it `firing` or `resolved`.
    """

    prometheus: httpx.Client
    told: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])

    def values(self, query: str) -> list[dict[str, Any]]:
        answer = self.prometheus.get("/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", (query, answer)
        return answer["data"]["result"]

    @contextmanager
    def paged(self, alert: str, severity: str = "page") -> Generator[None]:
        """What the block does brings this page; the end of the block takes it back."""
        before = len(self.told)
        yield
        until(lambda: (severity, alert, "resolved") in self.told[before:], WITHIN_S)

    def arrives(self, alert: str, severity: str = "page") -> None:
        until(lambda: (severity, alert, "firing") in self.told, WITHIN_S)


@contextmanager
def watching(
    folder: Path, targets: Mapping[str, Sequence[str]], blackbox: str = ""
) -> Generator[Watch]:
    """`targets`: what is scraped once a second, by job. `blackbox`: the exporter's address."""
    with ExitStack() as opened:
        watch = Watch(httpx.Client(timeout=120))
        receiver = opened.enter_context(_receiver(watch))
        alertmanager = _alertmanager(folder, receiver, opened)
        url = _prometheus(folder, alertmanager, targets, blackbox, opened)
        with httpx.Client(base_url=url, timeout=60) as watch.prometheus:
            until(lambda: _answers(url), WITHIN_S)
            yield watch


@contextmanager
def _receiver(watch: Watch) -> Generator[str]:
    class Receiver(QuietHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            for alert in body["alerts"]:
                severity = self.path.strip("/")
                watch.told.append((severity, alert["labels"]["alertname"], alert["status"]))
            self.send_response(200)
            self.end_headers()

    with listening(Receiver) as address:
        yield address


def _alertmanager(folder: Path, receiver: str, opened: ExitStack) -> str:
    text = (MONITORING / "alertmanager.yml").read_text().replace("pager:9000", receiver)
    for name in ("group_wait", "group_interval"):
        text, found = re.subn(rf"{name}: \w+", f"{name}: 1s", text)
        assert found == 1
    (config := folder / "alertmanager.yml").write_text(text)
    address = f"127.0.0.1:{free_port()}"
    argv = (
        program("prometheus-alertmanager"),
        f"--config.file={config}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    )
    opened.enter_context(running(*argv, log=folder / "alertmanager.log"))
    return address


def _prometheus(
    folder: Path,
    alertmanager: str,
    targets: Mapping[str, Sequence[str]],
    blackbox: str,
    opened: ExitStack,
) -> str:
    text = (MONITORING / "prometheus.yml").read_text()
    uncommented = re.sub(r"(?m)^  # (- job_name|  )", r"  \1", text)
    config: dict[str, Any] = yaml.safe_load(uncommented.replace("blackbox:9115", blackbox))
    for name in config["rule_files"]:
        hasty = re.sub(r"for: \d+m", "for: 1s", (MONITORING / name).read_text())
        (folder / name).write_text(hasty)
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    jobs = {one["job_name"]: one for one in config["scrape_configs"]}
    config["scrape_configs"] = [
        {name: value for name, value in jobs[job].items() if name not in _OF_A_DEPLOYMENT}
        | {"static_configs": [{"targets": list(at)}]}
        for job, at in targets.items()
    ]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    argv = (
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={address}",
    )
    opened.enter_context(running(*argv, log=folder / "prometheus.log"))
    return f"http://{address}"


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=60).status_code == 200
    except httpx.TransportError:
        return False
