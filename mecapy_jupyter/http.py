"""HTTP to the gateway: problem documents become errors, streams become events. Knows no task and no notebook.

Before it: `client`. After it: the gateway's routes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import sseclient
import urllib3
from urllib3.util import Retry, Timeout

from . import errors, wire
from .version import __version__

_CONNECT_S = 5.0
_ANSWER_S = 60.0
_SUBMIT_TRIES = 3
_PIECE_BYTES = 1 << 20
_SILENCE_S = 45.0  # the gateway pings an idle event stream every 15 s

# Only what may be sent twice is: GET, PUT and DELETE always, POST where its caller gave an Idempotency-Key.
_RETRY = Retry(total=4, backoff_factor=0.1, backoff_max=2.0, status_forcelist=(502, 503, 504), raise_on_status=False)
_ONCE = Retry(total=0, raise_on_status=False)


class Gateway:
    """One gateway, spoken to with one token. Safe to share between threads."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "User-Agent": f"mecapy-jupyter/{__version__}"}
        self._pool = urllib3.PoolManager(maxsize=32, timeout=Timeout(connect=_CONNECT_S, read=_ANSWER_S), retries=_RETRY)

    def __repr__(self) -> str:
        return f"Gateway({self.url!r})"

    def __reduce__(self) -> Any:
        raise TypeError("a connection to the gateway holds a token and does not travel; make a Client where it is needed")

    def close(self) -> None:
        """Close the connections nobody uses. Another request opens a new one."""
        self._pool.clear()

    def get(self, path: str, **query: Any) -> Any:
        return self._json("GET", path, fields={name: str(value) for name, value in query.items() if value is not None})

    def post(self, path: str, body: Any = None, *, key: str = "") -> Any:
        """POST JSON. With an idempotency `key` it is tried again when the connection breaks."""
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        text = json.dumps(body, separators=(",", ":"), allow_nan=False).encode() if body is not None else b""
        retries = _RETRY.new(allowed_methods=None) if key else _ONCE
        return self._json("POST", path, body=text, headers=headers, retries=retries)

    def delete(self, path: str) -> None:
        self._request("DELETE", path)

    def put_bytes(self, url: str, data: Any) -> None:
        """PUT bytes (anything with the buffer protocol) to a path of the gateway or to a presigned URL."""
        headers = {"Content-Type": "application/octet-stream"}
        if url.startswith(self.url) or url.startswith("/"):
            self._request("PUT", url, body=data, headers=headers)
        else:  # presigned: our token is none of the store's business
            answer = self._send("PUT", url, body=data, headers=headers, own=False)
            if answer.status >= 300:
                raise errors.StorageFailed(f"the object store refused an upload ({answer.status}); try again, or tell the operator")

    def get_pieces(self, path: str) -> Iterator[bytes]:
        """A body as it arrives, never whole in memory."""
        answer = self._send("GET", path, preload_content=False)
        try:
            if answer.status >= 400:
                answer.read()
                raise _problem(answer, self.url)
            yield from answer.stream(_PIECE_BYTES)
        except urllib3.exceptions.HTTPError as broken:
            raise errors.ConnectionFailed(f"a download from {self.url} broke: {broken}. `%mecapy get` fetches it again") from broken
        finally:
            answer.close()

    def submit(self, body: Any, key: str) -> tuple[dict[str, Any], Iterator[wire.Event]]:
        """Submit a task and follow it, in one request. Returns what the gateway says of it, and the events after that.

        `key`: the idempotency key; the request is repeated with it when the connection breaks before the task is known.
        """
        headers = {"Accept": "text/event-stream", "Content-Type": "application/json", "Idempotency-Key": key}
        text = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
        for tries_left in reversed(range(_SUBMIT_TRIES)):
            told = self._stream("POST", "/tasks", headers=headers, body=text, retries=_RETRY.new(allowed_methods=None))
            try:
                return next(told).data, told
            except (errors.ConnectionFailed, StopIteration):
                if not tries_left:
                    raise errors.ConnectionFailed(f"{self.url} broke the connection while it took the task; run the cell again") from None
        raise AssertionError

    def events(self, task_id: str, last_id: str = "", *, follow: bool = True) -> Iterator[wire.Event]:
        """Events of a task after `last_id`, until the final one; without `follow`, until the last one there is by now.

        Raises `ConnectionFailed` when the stream breaks.
        """
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        path = f"/tasks/{task_id}/events" + ("" if follow else "?follow=false")
        return self._stream("GET", path, headers=headers, retries=_ONCE)

    def _stream(self, method: str, path: str, **options: Any) -> Iterator[wire.Event]:
        timeout, ended = Timeout(connect=_CONNECT_S, read=_SILENCE_S), False
        answer = self._send(method, path, preload_content=False, timeout=timeout, **options)
        try:
            if answer.status >= 300:
                answer.read()
                raise _problem(answer, self.url)
            for event in _sent_events(answer):
                ended = event.type in wire.FINAL
                yield event
        except urllib3.exceptions.HTTPError as broken:
            raise errors.ConnectionFailed(f"the event stream from {self.url} broke: {broken}") from broken
        finally:
            if ended:  # nothing follows: the connection serves the next request
                answer.drain_conn()
                answer.release_conn()
            else:
                answer.close()

    def _json(self, method: str, path: str, **options: Any) -> Any:
        data = self._request(method, path, **options).data
        return json.loads(data) if data else None

    def _request(self, method: str, path: str, **options: Any) -> urllib3.BaseHTTPResponse:
        answer = self._send(method, path, **options)
        if answer.status >= 400:
            raise _problem(answer, self.url)
        return answer

    def _send(self, method: str, path: str, *, own: bool = True, **options: Any) -> urllib3.BaseHTTPResponse:
        url = path if path.startswith("http") else self.url + path
        headers = (self._headers if own else {}) | options.pop("headers", {})
        try:
            return self._pool.request(method, url, headers=headers, **options)
        except urllib3.exceptions.HTTPError as broken:
            raise errors.ConnectionFailed(
                f"no answer from the gateway at {self.url} ({_reason(broken)}). Is it running? "
                "`mecapy status` shows the embedded stack; `%mecapy doctor` checks the rest."
            ) from None


def _sent_events(answer: urllib3.BaseHTTPResponse) -> Iterator[wire.Event]:
    for event in sseclient.SSEClient(answer.stream()).events():
        yield wire.Event(event.id or "", event.event, json.loads(event.data))


def _reason(broken: Exception) -> str:
    cause = getattr(broken, "reason", None) or broken
    return str(cause).rpartition(": ")[2] or type(cause).__name__


_BY_STATUS: dict[int, type[errors.MecapyError]] = {401: errors.NotAuthorized, 403: errors.NotAuthorized, 404: errors.NotFound}


def _problem(answer: urllib3.BaseHTTPResponse, url: str) -> errors.MecapyError:
    """The error for an RFC 9457 problem document (or for an answer that is none)."""
    try:
        detail = json.loads(answer.data)["detail"]
    except (ValueError, KeyError, TypeError):
        detail = f"{url} answered {answer.status}; is this address a MecaPy gateway?"
    leaf = _BY_STATUS.get(answer.status) or (errors.Unavailable if answer.status in (429, 502, 503, 504) else errors.Refused)
    return leaf(str(detail))
