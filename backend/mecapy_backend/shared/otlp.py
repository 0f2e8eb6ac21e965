"""The OTLP exporter of `telemetry`. It alone imports the OpenTelemetry SDK, which is an extra."""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping

import requests
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceFlags

from mecapy_backend.shared import telemetry
from mecapy_jupyter.shared.version import __version__

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SCOPE = InstrumentationScope("mecapy", __version__)
_SEVERITY = {
    "debug": SeverityNumber.DEBUG,
    "info": SeverityNumber.INFO,
    "warning": SeverityNumber.WARN,
    "error": SeverityNumber.ERROR,
    "critical": SeverityNumber.FATAL,
}
_NOT_ATTRIBUTES = {"event", "level", "time"}
_ANSWER_BYTES = 1 << 16
_CLOSE_S = 5.0


class OtlpExporter:
    """Sends to `endpoint`/v1/traces and /v1/logs, or where the SDK's own variables for each say;
    OTEL_EXPORTER_OTLP_HEADERS and the like apply.
    """

    def __init__(self, endpoint: str, service: str) -> None:
        self._resource = Resource.create({"service.name": service, "service.version": __version__})
        self._spans = BatchSpanProcessor(
            OTLPSpanExporter(_place(endpoint, "traces"), session=_session())
        )
        self._logs = LoggerProvider(self._resource, shutdown_on_exit=False)
        self._logs.add_log_record_processor(
            BatchLogRecordProcessor(OTLPLogExporter(_place(endpoint, "logs"), session=_session()))
        )
        self._logger = self._logs.get_logger("mecapy", __version__)

    def span(self, trace: int, span: telemetry.Span) -> None:
        top = trace & 0xFFFFFFFFFFFFFFFF
        own = span.id or telemetry.new_id()
        parent = None if own == top else _context(trace, span.parent or top, remote=True)
        self._spans.on_end(
            ReadableSpan(
                span.name,
                _context(trace, own),
                parent,
                self._resource,
                span.attributes,
                start_time=span.start_ns,
                end_time=span.end_ns,
                instrumentation_scope=_SCOPE,
            )
        )

    def log(self, trace: int, entry: Mapping[str, object]) -> None:
        level = str(entry.get("level", "info"))
        attributes = {
            name: value if isinstance(value, str | int | float) else repr(value)
            for name, value in entry.items()
            if name not in _NOT_ATTRIBUTES
        }
        now_ns = time.time_ns()
        self._logger.emit(
            LogRecord(
                timestamp=now_ns,
                observed_timestamp=now_ns,
                trace_id=trace,
                span_id=trace & 0xFFFFFFFFFFFFFFFF,
                trace_flags=_SAMPLED if trace else None,
                severity_text=level,
                severity_number=_SEVERITY.get(level, SeverityNumber.INFO),
                body=str(entry.get("event", "")),
                attributes=attributes,
            )
        )

    def close(self) -> None:
        """Both at once, and for a few seconds at most: the SDK would wait for half a minute each,
        longer than an orchestrator waits for the process.
        """
        parts = (self._spans, self._logs)
        ends = [threading.Thread(target=one.shutdown, daemon=True) for one in parts]
        for end in ends:
            end.start()
        until = time.monotonic() + _CLOSE_S
        for end in ends:
            end.join(max(0.0, until - time.monotonic()))


def _session() -> requests.Session:
    """Reads only the beginning of an answer, which may have any size and is not needed."""

    def begin(answer: requests.Response, **_: object) -> None:
        answer.raw.read(_ANSWER_BYTES)
        answer.close()

    session = requests.Session()
    session.stream = True
    session.hooks["response"] = [begin]
    return session


def _context(trace: int, span: int, *, remote: bool = False) -> SpanContext:
    return SpanContext(trace, span, remote, _SAMPLED)


def _place(endpoint: str, kind: str) -> str:
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{kind.upper()}_ENDPOINT")
    return own or f"{endpoint}/v1/{kind}"
