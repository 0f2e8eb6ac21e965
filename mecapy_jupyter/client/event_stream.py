"""The events of one answer of the gateway, as Server-Sent Events."""

from __future__ import annotations

import collections
import json
from collections.abc import Generator, Iterator
from contextlib import suppress

import sseclient
import urllib3

from mecapy_jupyter import wire
from mecapy_jupyter.client.problems import problem
from mecapy_jupyter.hooks import open_answers
from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared.own_requests import unlogged


class EventStream:
    """An iterator of events. Raises what the gateway refuses, and `ConnectionFailed` if it breaks.
    `url`: the gateway's, for its errors.
    """

    def __init__(self, answer: urllib3.BaseHTTPResponse, url: str) -> None:
        self._answer, self._events = answer, _events(answer, url)

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> wire.Event:
        return next(self._events)

    def arrives(self, within_s: float) -> bool:
        """Whether more of it is here or comes within this time. False also if nobody can tell."""
        return open_answers.arrives(self._answer, within_s)

    def close(self) -> None:
        """After the final event, its connection can serve the next request."""
        self._events.close()


def _events(answer: urllib3.BaseHTTPResponse, url: str) -> Generator[wire.Event, None, None]:
    ended, sent_events = False, _sent_events(answer)
    try:
        if answer.status >= 300:
            raise problem(answer, url)
        for event in sent_events:
            ended = event.type in wire.FINAL
            yield event
    except urllib3.exceptions.HTTPError as broken:
        raise errors.ConnectionFailed(f"the event stream from {url} broke: {broken}") from broken
    finally:
        # read the end of the stream, so that the connection can serve the next request
        if ended:
            with suppress(urllib3.exceptions.HTTPError):
                collections.deque(sent_events, maxlen=0)
            answer.release_conn()
        else:
            answer.close()


def _sent_events(answer: urllib3.BaseHTTPResponse) -> Iterator[wire.Event]:
    with unlogged():
        events = iter(sseclient.SSEClient(answer.stream()).events())
    while True:
        with unlogged():
            if (event := next(events, None)) is None:
                return
        yield wire.Event(event.id or "", event.event, json.loads(event.data))
