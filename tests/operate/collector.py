"""A small OTLP receiver: what came by HTTP in protobuf, decoded with OpenTelemetry's messages."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ..http_server import QuietHandler, listening

MIB = 1 << 20


@dataclass
class Received:
    """`spans`: service, span; `logs`: service, record. `headers`: of the last request."""

    url: str = ""
    spans: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    logs: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    paths: set[str] = field(default_factory=set[str])

    def trace(self, task_id: str) -> dict[str, Any]:
        """Its spans by service and name."""
        wanted = bytes.fromhex(task_id.replace("-", ""))
        own = [(service, span) for service, span in self.spans if span.trace_id == wanted]
        return {f"{service} {span.name}": span for service, span in own}

    def lines(self, task_id: str) -> list[str]:
        """The lines of the log in that trace: service and event."""
        wanted = bytes.fromhex(task_id.replace("-", ""))
        return [
            f"{who} {line.body.string_value}" for who, line in self.logs if line.trace_id == wanted
        ]


@contextmanager
def receiving() -> Generator[Received]:
    received = Received()

    class Receiver(QuietHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            received.headers = {name.lower(): value for name, value in self.headers.items()}
            received.paths.add(self.path)
            if self.path.endswith("/v1/traces"):
                traces: Any = ExportTraceServiceRequest.FromString(body)
                for one in traces.resource_spans:
                    spans = [span for scope in one.scope_spans for span in scope.spans]
                    received.spans += [(_service(one), span) for span in spans]
            else:
                assert self.path.endswith("/v1/logs")
                logs: Any = ExportLogsServiceRequest.FromString(body)
                for one in logs.resource_logs:
                    lines = [line for scope in one.scope_logs for line in scope.log_records]
                    received.logs += [(_service(one), line) for line in lines]
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with listening(Receiver) as address:
        received.url = f"http://{address}"
        yield received


@dataclass
class Hostile:
    """`asked`: the paths of all requests; `answered_bytes`: what could be written of answers."""

    url: str = ""
    asked: set[str] = field(default_factory=set[str])
    answered_bytes: int = 0


@contextmanager
def hostile(how: str) -> Generator[Hostile]:
    """`silent`: takes a request and never answers; `endless`: its answer has no end; `elsewhere`:
    it sends to another path of its own.
    """
    collector, over = Hostile(), threading.Event()

    class Receiver(QuietHandler):
        def do_POST(self) -> None:
            collector.asked.add(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            if how == "silent":
                over.wait()
                return
            self.send_response(307 if how == "elsewhere" else 200)
            if how == "elsewhere":
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
            self.end_headers()
            with suppress(OSError):
                while how == "endless" and not over.is_set():
                    self.wfile.write(bytes(MIB))
                    collector.answered_bytes += MIB

    with listening(Receiver) as address:
        collector.url = f"http://{address}"
        try:
            yield collector
        finally:
            over.set()


def _service(one: Any) -> str:
    values = {item.key: item.value.string_value for item in one.resource.attributes}
    return values["service.name"].removeprefix("mecapy-")
