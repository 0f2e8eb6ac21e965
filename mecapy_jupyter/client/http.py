"""HTTP to the gateway: problem documents become errors, event streams become events. Knows no tasks
and no notebooks.
"""

from __future__ import annotations

import collections
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import sseclient
import urllib3
from urllib3.util import Retry, Timeout

from mecapy_jupyter import wire
from mecapy_jupyter.client.addresses import CONNECT_S, Address
from mecapy_jupyter.client.logins import Login
from mecapy_jupyter.client.problems import problem
from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared import own_json as json
from mecapy_jupyter.shared.own_requests import unlogged
from mecapy_jupyter.shared.secret import Secret
from mecapy_jupyter.shared.version import __version__
from mecapy_jupyter.stack.embedded import Endpoint
from mecapy_jupyter.wire.json_fields import Json, JsonObject

_SUBMIT_TRIES = 3
_PIECE_BYTES = 1 << 20
_SILENCE_S = 45.0  # the gateway pings an idle event stream every 15 s

# Every request may be sent twice, because a server or proxy may close an idle connection at the
# moment of its reuse. The POSTs are queries (missing), idempotent (cancel), have a key (submit), or
# answer "no such file" the second time (take).
_TRIES, _FIRST_TRIES = 7, 4
"""How long a gateway that has answered before may take to restart; one that never has may not be a
gateway.
"""
_PATIENCE_S = 30.0
"""How long a `Retry-After` is obeyed; a monthly quota is an error at once."""


class _RetryOn503(Retry):
    RETRY_AFTER_STATUS_CODES = frozenset({503})  # urllib3 itself would wait a month, too


_RETRY = _RetryOn503(
    total=_TRIES,
    backoff_factor=0.1,
    backoff_max=2.0,
    status_forcelist=(502, 503, 504),
    raise_on_status=False,
)
_RETRY_POST = _RETRY.new(allowed_methods=None)
_ONCE = _RetryOn503(total=0, raise_on_status=False)  # the reader resumes a broken event stream


class Elsewhere(Exception):
    """The bytes are at another, presigned address: the URL in `args[0]`."""


class Gateway:
    """A connection to one gateway with one token, or with the stored login.

    Thread-safe. `data`: the data directory of an embedded stack, which proves itself and is found
    again after a restart.
    """

    def __init__(self, url: str, token: str, data: str = "") -> None:
        self._at = Address.of(Endpoint(url.rstrip("/"), token, "", data))
        self._login = None if token else Login(self.url)
        self._headers = {"User-Agent": f"mecapy-jupyter/{__version__}"}
        self._answered = False

    @classmethod
    def of(cls, endpoint: Endpoint) -> Gateway:
        return cls(endpoint.url, endpoint.token, endpoint.data)

    @property
    def url(self) -> str:
        return self._at.url

    @property
    def embedded(self) -> bool:
        """Whether it is the stack of this machine."""
        return bool(self._at.data)

    def __repr__(self) -> str:
        return f"Gateway({self.url!r})"

    def __reduce__(self) -> Any:
        raise TypeError(
            "a connection to the gateway holds a token and does not travel; make a Client where "
            "it is needed"
        )

    def secret_in(self, data: bytes) -> bool:
        """Whether our token is in the text."""
        token = self._login.token() if self._login else self._at.token
        return token.encode() in data

    def close(self) -> None:
        """Close idle connections. Another request opens a new one."""
        self._at.pool.clear()

    def get(self, path: str, **query: str | int | None) -> Json:
        return self._json(
            "GET",
            path,
            fields={name: str(value) for name, value in query.items() if value is not None},
        )

    def post(
        self, path: str, body: JsonObject | None = None, *, key: str = "", once: bool = False
    ) -> Json:
        """POST JSON. It may be sent twice: it is idempotent, or has an idempotency `key`, or else
        is sent `once`.
        """
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        text = _encoded(body) if body is not None else b""
        retries = _ONCE if once else _RETRY_POST
        return self._json("POST", path, body=text, headers=headers, retries=retries)

    def patch(self, path: str, body: JsonObject) -> Json:
        """PATCH. Idempotent."""
        headers = {"Content-Type": "application/json"}
        return self._json("PATCH", path, body=_encoded(body), headers=headers, retries=_RETRY_POST)

    def delete(self, path: str) -> None:
        self._request("DELETE", path)

    def put_bytes(self, path: str, data: memoryview) -> None:
        """PUT bytes: anything with the buffer protocol."""
        self._request("PUT", path, body=data, headers={"Content-Type": "application/octet-stream"})

    def get_pieces(self, path: str) -> Iterator[bytes]:
        """A body in pieces, never whole in memory. Raises Elsewhere on a redirect."""
        answer = self._send("GET", path, preload_content=False, redirect=False)
        try:
            if answer.status == 307:
                raise Elsewhere(answer.headers["Location"])
            if answer.status >= 400:
                raise problem(answer, self.url)
            yield from answer.stream(_PIECE_BYTES, decode_content=False)
        except urllib3.exceptions.HTTPError as broken:
            raise errors.ConnectionFailed(
                f"the download from {self.url} failed: {broken}. `%mecapy get` fetches it again"
            ) from broken
        finally:
            answer.close()

    def submit(self, body: JsonObject, key: str) -> tuple[wire.QueuedEvent, Iterator[wire.Event]]:
        """Submit a task and follow it in one request.

        Returns the gateway's answer, then the events. `key`: the idempotency key, with which the
        request is repeated if the connection breaks before the task is known.
        """
        headers = {
            "Accept": "text/event-stream",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        text = _encoded(body)
        for tries_left in reversed(range(_SUBMIT_TRIES)):
            events = self._stream("POST", "/tasks", headers=headers, body=text, retries=_RETRY_POST)
            try:
                return wire.QueuedEvent.from_json(next(events).data), events
            except (errors.ConnectionFailed, StopIteration):
                if not tries_left:
                    raise errors.ConnectionFailed(
                        f"{self.url} closed the connection while it took the task; run the "
                        "cell again"
                    ) from None
        raise AssertionError

    def enqueue(self, body: JsonObject, key: str) -> tuple[wire.QueuedEvent, None]:
        """Submit a task without following it."""
        queued = self.post("/tasks", body, key=key)
        return wire.QueuedEvent.from_json(queued if isinstance(queued, dict) else {}), None

    def events(
        self, task_id: str, last_id: str = "", *, follow: bool = True
    ) -> Iterator[wire.Event]:
        """Events of a task after `last_id` until the final one; without `follow`, until the last
        existing one. Raises `ConnectionFailed` if the stream breaks.
        """
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        path = f"/tasks/{task_id}/events" + ("" if follow else "?follow=false")
        return self._stream("GET", path, headers=headers, retries=_ONCE)

    def _stream(self, method: str, path: str, **options: Any) -> Iterator[wire.Event]:
        timeout, ended = Timeout(connect=CONNECT_S, read=_SILENCE_S), False
        answer = self._send(method, path, preload_content=False, timeout=timeout, **options)
        sent_events = _sent_events(answer)
        try:
            if answer.status >= 300:
                raise problem(answer, self.url)
            for event in sent_events:
                ended = event.type in wire.FINAL
                yield event
        except urllib3.exceptions.HTTPError as broken:
            raise errors.ConnectionFailed(
                f"the event stream from {self.url} broke: {broken}"
            ) from broken
        finally:
            # read the end of the stream, so that the connection can serve the next request
            if ended:
                with suppress(urllib3.exceptions.HTTPError):
                    collections.deque(sent_events, maxlen=0)
                answer.release_conn()
            else:
                answer.close()

    def _json(self, method: str, path: str, **options: Any) -> Json:
        data = self._request(method, path, **options).data
        return json.loads(data) if data else None

    def _request(self, method: str, path: str, **options: Any) -> urllib3.BaseHTTPResponse:
        answer = self._send(method, path, **options)
        if answer.status >= 400:
            raise problem(answer, self.url)
        return answer

    def _send(self, method: str, path: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """Repeat while the gateway asks for patience."""
        until = time.monotonic() + _PATIENCE_S
        while True:
            answer = self._authorized(method, path, **options)
            wait = answer.headers.get("Retry-After", "") if answer.status == 429 else ""
            if not wait.isdecimal() or time.monotonic() + int(wait) > until:
                return answer
            answer.drain_conn()
            answer.release_conn()
            time.sleep(int(wait))

    def _authorized(self, method: str, path: str, **options: Any) -> urllib3.BaseHTTPResponse:
        # so that it is in the gateway's log
        named = self._headers | {"X-Request-ID": os.urandom(8).hex()} | options.pop("headers", {})
        at = self._at
        token = self._login.token() if self._login else at.token
        answer = self._once(at, token, method, path, headers=named, **options)
        if answer.status == 401 and self._login and self._login.refused(token):
            answer.drain_conn()
            answer.release_conn()
            answer = self._once(at, self._login.token(), method, path, headers=named, **options)
        return answer

    def _once(
        self,
        at: Address,
        token: Secret,
        method: str,
        path: str,
        headers: dict[str, str],
        retries: Retry = _RETRY,
        **options: Any,
    ) -> urllib3.BaseHTTPResponse:
        if not self._answered:
            retries = retries.new(total=min(int(retries.total or 0), _FIRST_TRIES))
        sent = headers | {"Authorization": Secret(f"Bearer {token}")}
        try:
            with unlogged():
                answer = at.pool.request(
                    method, at.url + path, headers=sent, retries=retries, **options
                )
        except urllib3.exceptions.HTTPError as broken:
            moved = self._at if self._at is not at else at.moved()
            if moved:
                self._at = moved
                return self._once(moved, moved.token, method, path, headers, retries, **options)
            raise errors.ConnectionFailed(
                f"no answer from the gateway at {self.url} ({_reason(broken)}). Is it running? "
                "`mecapy status` shows the embedded stack; `%mecapy doctor` checks the rest."
            ) from None
        self._answered = True
        return answer


def _encoded(body: JsonObject) -> bytes:
    return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


def _sent_events(answer: urllib3.BaseHTTPResponse) -> Iterator[wire.Event]:
    with unlogged():
        events = iter(sseclient.SSEClient(answer.stream()).events())
    while True:
        with unlogged():
            if (event := next(events, None)) is None:
                return
        yield wire.Event(event.id or "", event.event, json.loads(event.data))


def _reason(broken: Exception) -> str:
    cause = getattr(broken, "reason", None) or broken
    return str(cause).rpartition(": ")[2] or type(cause).__name__
