"""What a task printed and displayed, as pieces that the page can show: text, pictures, and HTML
for a frame without scripts. Everything here comes from code that may be hostile.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Literal

from mecapy_backend.page.curves import Samples
from mecapy_backend.store.log import events
from mecapy_backend.store.log.events import EncodedEvent
from mecapy_jupyter import wire
from mecapy_jupyter.wire.json_fields import Json, JsonObject, as_text

TEXT_CHARS = 200_000
PICTURE_CHARS = 8_000_000  # in base64, all pictures of a page together
MOST = 200
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?")
_LEADING_OUT = re.compile(r"<(?=(?:link|meta|base|i?frame|frameset)\b)", re.IGNORECASE)
"""Elements that let a browser connect to another host, or go there, in spite of the policy."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class OutputPiece:
    """`kind` says how `text` is shown: as text, as the address of a picture, or as HTML."""

    kind: Literal["stdout", "stderr", "error", "text", "picture", "html"]
    text: str
    display_id: str = ""


class Output:
    """Collects pieces and samples of usage from events, and keeps the last pieces of many. `last`:
    the id of the last event; `clears_next`: what is printed next takes the place of all.
    """

    def __init__(self) -> None:
        self.pieces = list[OutputPiece]()
        self.shortened = False
        self.last = events.START
        self.samples = Samples()
        self.clears_next = False

    async def collect(self, stream: AsyncIterator[EncodedEvent]) -> Output:
        async for event in stream:
            if event.type in (wire.STDOUT, wire.STDERR, wire.DISPLAY):
                self._add(event.decoded().body)
            else:
                self.samples.add(event)
            if event.type not in wire.FINAL:
                self.last = event.id
        self._shorten()
        return self

    def _add(self, body: wire.EventBody | None) -> None:
        match body:
            case wire.StdoutEvent():
                self._write(OutputPiece("stdout", body.text))
            case wire.StderrEvent():
                self._write(OutputPiece("stderr", body.text))
            case wire.DisplayEvent(kind="clear_output"):
                self.clears_next = body.wait
                self.pieces = self.pieces if body.wait else []
            case wire.DisplayEvent():
                self._display(body)
            case _:
                pass

    def _display(self, body: wire.DisplayEvent) -> None:
        piece = replace(shown(body), display_id=body.display_id or "")
        if body.kind != "update_display_data":
            self._write(piece)
            return
        self.pieces = [
            piece if piece.display_id and each.display_id == piece.display_id else each
            for each in self.pieces
        ]

    def _write(self, piece: OutputPiece) -> None:
        if self.clears_next:
            self.pieces, self.clears_next = [], False
        last = self.pieces[-1] if self.pieces else None
        if last and last.kind == piece.kind and piece.kind in ("stdout", "stderr"):
            self.pieces[-1] = replace(last, text=(last.text + piece.text)[-2 * TEXT_CHARS :])
        else:
            self.pieces.append(piece)
        if len(self.pieces) > 2 * MOST:
            self._shorten()

    def _shorten(self) -> None:
        room = {"picture": PICTURE_CHARS}
        kept = list[OutputPiece]()
        for piece in reversed(self.pieces[-MOST:]):
            kind = "picture" if piece.kind == "picture" else "text"
            left = room.get(kind, TEXT_CHARS)
            if left < len(piece.text) and kind == "text" and piece.kind != "html":
                piece = replace(piece, text=piece.text[-left:] if left else "")
                self.shortened = True
            if left < len(piece.text) or not piece.text:
                self.shortened = self.shortened or bool(piece.text)
                continue
            room[kind] = left - len(piece.text)
            kept.append(piece)
        self.shortened = self.shortened or len(self.pieces) > MOST
        self.pieces = kept[::-1]


def shown(body: wire.DisplayEvent) -> OutputPiece:
    """The richest form that is safe to show."""
    data = body.data
    if body.kind == "error":
        return OutputPiece("error", _traceback(data))
    for kind in _PICTURES:
        encoded = "".join(_joined(data.get(kind)).split())
        if encoded and _BASE64.fullmatch(encoded):
            return OutputPiece("picture", f"data:{kind};base64,{encoded}")
    if html := _joined(data.get("text/html")):
        return OutputPiece("html", _LEADING_OUT.sub("&lt;", html))
    for kind in ("text/markdown", "text/latex", "text/plain"):
        if text := _joined(data.get(kind)):
            return OutputPiece("text", text)
    return OutputPiece("text", f"({', '.join(data)})")


def _traceback(data: JsonObject) -> str:
    lines = data.get("traceback")
    text = _joined(lines if isinstance(lines, list) else [], "\n")
    return text or f"{data.get('ename')}: {data.get('evalue')}"


def _joined(value: Json, between: str = "") -> str:
    """Jupyter allows a text or a list of its lines."""
    if isinstance(value, list):
        return between.join(text for text in map(as_text, value) if text)
    return as_text(value) or ""


def plain(text: str) -> str:
    """Text of a terminal as one that a browser can show: the colours go, and of a line that was
    written over the last writing stays.
    """
    text = printable(text).replace("\r\n", "\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def printable(text: str) -> str:
    """Part of such a text: what is written over the last writing is still there."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", _TERMINAL.sub("", text))
