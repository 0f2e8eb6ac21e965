"""Text from a task, from its names to its errors, is text wherever we make HTML of it, and wherever
we list it in a terminal; what scripts it brings stay words.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mecapy_jupyter import wire
from mecapy_jupyter.block import line, state
from mecapy_jupyter.client import admin_api, config, gateway_api
from mecapy_jupyter.client.overview import Overview
from mecapy_jupyter.commands import line_magic, login, people
from mecapy_jupyter.commands.status import status_html, status_text

PWN = "window.__pwned=1"
CORPUS = [
    f"<script>{PWN}</script>",
    f"<img src=x onerror={PWN}>",
    f'"><svg onload="{PWN}">',
    f"' onmouseover='{PWN}",
    f'<a href="javascript:{PWN}">x</a>',
    f"</span></div><iframe srcdoc='<script>parent.{PWN}</script>'>",
    f"<style>@import 'javascript:{PWN}'</style>",
    f"&lt;script&gt;{PWN}&lt;/script&gt;",
    f"<math><mtext></p><mglyph><style><img src=x onerror={PWN}>",
    f"{{{{constructor.constructor('{PWN}')()}}}}",
    f"\x1b]8;;javascript:{PWN}\x07link\x1b]8;;\x07",
    f"\u202e<scr\x00ipt>{PWN}</scr\x00ipt>",
    f"<details open ontoggle={PWN}>",
]
OURS = {
    "div",
    "span",
    "table",
    "tbody",
    "tr",
    "td",
    "th",
    "b",
    "i",
    "small",
    "svg",
    "path",
    "polyline",
}


class Seen(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes = set[str](), set[str]()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def harmless(html: str) -> None:
    seen = Seen(html)
    assert seen.tags <= OURS, seen.tags - OURS
    assert not {
        name
        for name in seen.attributes
        if name.startswith("on") or name in ("href", "src", "srcdoc")
    }
    assert not any(ord(c) < 32 and c not in "\n\t" for c in html) and "\u202e" not in html


@pytest.mark.parametrize("evil", CORPUS)
def test_a_block(evil: str) -> None:
    """Its name, its worker, its progress, its error and what came back."""
    now = state.BlockState(name=evil)
    for kind, data in (
        ("started", {"worker": evil, "attempt": 1}),
        ("progress", {"fraction": 0.5, "text": evil}),
    ):
        now = state.advance(now, wire.Event("", kind, data), 1.0)
        harmless(line.html(now, 2.0))
    error = wire.ErrorInfo("cell", evil, evil, 3)
    for outcome in (wire.Outcome("failed", error=error), wire.Outcome("completed")):
        harmless(line.html(state.finished(now, outcome, [evil], 3.0), 4.0))


@pytest.mark.parametrize("evil", CORPUS)
def test_a_status(evil: str) -> None:
    """What `%mecapy` shows of users, workers and tasks."""
    me = wire.Me(evil, evil, role=evil, organisation=evil, tasks={"queued": 1})
    workers = [wire.WorkerInfo(evil, slots=1, python=evil)]
    tasks = [wire.TaskStatus(evil, cast("wire.State", evil), evil)]
    harmless(status_html(Overview(evil, evil, me, workers, tasks)))


TRICKS = [
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[H",
    "a\rb",
    "a\nforged",
    "\u202eabc",
    "\x9b31m",
    "\x1b]52;c;aGk=\x07",
]


@pytest.mark.parametrize("evil", TRICKS)
def test_lists_in_a_terminal(
    evil: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names that somebody else has chosen, of users, organisations, tokens and tasks, move nothing
    on an administrator's screen and begin no line.
    """
    pool: Any = SimpleNamespace(gateway=None)
    now = datetime.now(UTC)
    monkeypatch.setattr(config, "resolve", lambda start: config.Endpoint("http://h", "t", ""))
    person = wire.UserInfo(id="1", name=evil, email=evil, organisation=evil)
    monkeypatch.setattr(admin_api, "users", lambda _: [person])
    monkeypatch.setattr(
        admin_api, "organisations", lambda _: [wire.OrganisationInfo(id=f"o{evil}", users=1)]
    )
    monkeypatch.setattr(
        gateway_api, "tasks", lambda *_: [wire.TaskStatus("1", name=evil, created_at=now)]
    )
    people.user(argparse.Namespace(what="list", json=False))
    people.organisation(argparse.Namespace(what="list", json=False))
    line_magic._tasks(pool, pool, ())  # pyright: ignore[reportPrivateUsage]
    print(login.token_line(wire.TokenInfo("1", evil, ("read",))))
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) == 4
    shown += status_text(Overview("u", evil, wire.Me(evil, evil), [wire.WorkerInfo(evil)], []))
    assert set(shown) - {"\n"} == set(filter(str.isprintable, shown))
