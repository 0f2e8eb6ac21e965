"""The page at `/`, attacked: forged writes, scripts in whatever a task can say, frames, sessions,
redirects, and other people's tasks.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from mecapy_backend.api import permissions
from mecapy_backend.api.audit import ACTS
from mecapy_backend.page import answers, audit, pool, sweeps, tasks, workflows
from mecapy_backend.page.routes import PAGES
from mecapy_jupyter import cli, wire

from ..backend.speak import Worker, client
from .visitor import EVIL, Tags, Visitor


def submitted(gateway: Any, **task: Any) -> str:
    with client(gateway) as http:
        answer = http.post("/tasks", json={"code": "1"} | task)
        assert answer.status_code == 201, answer.text
        return answer.json()["task_id"]


def test_every_page_has_the_right_of_a_route() -> None:
    """A page can do what a REST route can, by the same table; what writes is a POST."""
    for page in PAGES:
        assert page.acts_as in permissions.RIGHTS, page.path
        assert (page.method == "GET") == (page.acts_as.startswith("GET ")) or page.path == (
            "/page/logout"
        )
        assert page.method == "GET" or not page.link


def test_no_page_that_lives_is_audited_as_an_admins_act() -> None:
    """What an open page asks again by itself does not fill the audit, and nobody reads what is
    audited by asking as one.
    """
    templates = Path(answers.__file__).parent / "templates"
    live = {path.stem for path in templates.iterdir() if "block live" in path.read_text()}
    assert live == {"tasks", "task", "pool", "health", "sweep", "workflow"}
    views = {"tasks": tasks.listed, "pool": pool.shown, "health": audit.health}
    views |= {"sweep": sweeps.shown, "workflow": workflows.shown}
    acts = {page.acts_as for page in PAGES if page.view in views.values()}
    assert len(acts) == 5 and not acts & ACTS.keys()


def test_forged_writes_are_refused(gateway: Any, visitor: Visitor) -> None:
    """A write needs our own Origin and the session's own CSRF token; without either nothing
    happens.
    """
    task = submitted(gateway)
    path, csrf = f"/page/tasks/{task}/cancel", visitor.csrf()
    own = visitor.own
    assert visitor.post(path).status_code == 403
    assert visitor.post(path, csrf="x" * 43).status_code == 403
    for forged in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {},
        {"Origin": gateway.url, "Sec-Fetch-Site": "same-site"},
        {"Origin": f"{gateway.url}.evil.example"},
    ):
        visitor.own = forged
        assert visitor.post(path, csrf=csrf).status_code == 403, forged
    with client(gateway) as http:
        assert http.get(f"/tasks/{task}").json()["status"] == "queued"
        visitor.own = own
        answer = visitor.post(path, csrf=csrf)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/page/tasks/{task}")
        assert http.get(f"/tasks/{task}").json()["status"] == "cancelled"


def test_run_again(gateway: Any, visitor: Visitor) -> None:
    """A final task runs again as it was, as a task of its own; whoever presses twice has one."""
    task = submitted(gateway, code="a + 1", name="sum", inputs={"a": 2}, priority=7)
    visitor.post(f"/page/tasks/{task}/cancel", csrf=visitor.csrf())
    form = dict(
        re.findall(r'name="(csrf|once)" value="([^"]+)"', visitor.get(f"/page/tasks/{task}").text)
    )
    places = [
        visitor.post(f"/page/tasks/{task}/again", **form).headers["location"] for _ in range(2)
    ]
    assert places[0] == places[1] != f"/page/tasks/{task}"
    with client(gateway) as http:
        again = http.get(f"{places[0].removeprefix('/page')}/request").json()
        assert again == http.get(f"/tasks/{task}/request").json()
        assert http.get(places[0].removeprefix("/page")).json()["status"] == "queued"


def test_nobody_to_share_with(gateway: Any, visitor: Visitor) -> None:
    """Who is in no organisation shares nothing, and is offered nothing."""
    task = submitted(gateway)
    assert "/share" not in visitor.get(f"/page/tasks/{task}").text
    answer = visitor.post(f"/page/tasks/{task}/share", csrf=visitor.csrf())
    assert answer.status_code == 409 and "no organisation" in answer.text
    assert visitor.get(f"/page/shared/{task}").status_code == 403


def test_sweeps_and_workflows(gateway: Any, visitor: Visitor) -> None:
    """A sweep is a table of squares by state, a workflow a graph; both can be stopped; whatever
    their names hold is text.
    """
    points = [f"{number:032x}" for number in range(3)]
    graph = {
        "name": EVIL,
        "tasks": {
            "a": {"code": "1", "name": EVIL},
            "b": {"code": "x", "needs": {"x": "node:a:"}},
        },
    }
    name = EVIL.replace("/", "|")
    with client(gateway) as http:
        assert http.post("/sweeps", json={"name": name, "points": points}).status_code == 200
        task = http.post("/tasks", json={"code": "1", "sweep": name, "points": points[:2]}).json()
        made = http.post("/workflows", json=graph)
        assert made.status_code == 201, made.text
    sweep, workflow = f"/page/sweeps/{quote(name)}", f"/page/workflows/{made.json()['workflow_id']}"
    pages = [
        visitor.get(path).text for path in ("/page/sweeps", sweep, "/page/workflows", workflow)
    ]
    for page in pages:
        tags = Tags(page)
        assert all(set(script) == {"src", "defer"} for script in tags.all("script"))
        assert not tags.all("img") and "alert(1)" in page
    squares = [one["class"] for one in Tags(pages[1]).all("rect") if "x" in one]
    assert squares == ["queued", "queued", "not-sent-yet"]
    assert pages[1].count(f"/page/tasks/{task['task_id']}") == 1
    drawn = Tags(pages[3])
    assert (len(drawn.all("rect")), len(drawn.all("path"))) == (2, 1)
    csrf = visitor.csrf()
    assert visitor.post(f"{workflow}/cancel", csrf=csrf).status_code == 303
    assert "2 cancelled" in visitor.get("/page/workflows").text
    assert visitor.post(f"{workflow}/retry", csrf=csrf).status_code == 303
    assert "running" in visitor.get("/page/workflows").text
    assert visitor.post(f"{sweep}/cancel", csrf=csrf).status_code == 303
    assert "cancelled" in visitor.get(sweep).text
    for path in ("/page/sweeps/none", "/page/workflows/none", "/page/sweeps/%00"):
        assert visitor.get(path).status_code == 404, path


def test_headers(gateway: Any, visitor: Visitor) -> None:
    """No page is framed, cached or given another script, style or host than ours."""
    for path in ("/", "/page/pool", "/page/account", "/page/health", "/page/nothing"):
        headers = visitor.get(path).headers
        assert headers["cache-control"] == "no-store", path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"], path
    assert visitor.get("/").headers["x-frame-options"] == "DENY"
    assert visitor.get("/page/static/..%2froutes.py").status_code in (303, 404)


async def test_nothing_a_task_says_becomes_markup(gateway: Any, visitor: Visitor) -> None:
    """Names, code, headers, inputs, text, errors and displays of a task are text on the page; HTML
    stands in a frame that runs no script.
    """
    task = submitted(
        gateway,
        name=EVIL,
        code=EVIL,
        inputs={EVIL: EVIL},
        cell={"header": EVIL, "filename": EVIL},
    )
    async with Worker(gateway) as worker:
        await worker.start(task)
        for body in (
            wire.StdoutEvent(f"{EVIL}\udc80\x1b[31m"),
            wire.StderrEvent(EVIL),
            wire.ProgressEvent(0.5, EVIL),
            wire.DisplayEvent(data={"text/html": EVIL}),
            wire.UsageEvent(50.0, 10**6),
            wire.DisplayEvent(data={"image/png": f"AAAA{EVIL}", "text/plain": EVIL}),
            wire.DisplayEvent(data={"image/svg+xml": EVIL, EVIL: EVIL}),
            wire.DisplayEvent(kind="error", data={"ename": EVIL, "traceback": [EVIL]}),
        ):
            await worker.says(task, body)
        pages = [visitor.get("/").text, visitor.get(f"/page/tasks/{task}").text]
        error = wire.ErrorInfo("cell", EVIL, EVIL, 1, (EVIL,))
        await worker.finish(task, wire.Outcome(wire.FAILED, {EVIL: EVIL}, error))
    pages += [visitor.get(path).text for path in ("/", f"/page/tasks/{task}", "/page/users/tasks")]
    pages.append(visitor.get(f"/page/tasks/{task}/output").text)
    for page in pages:
        tags = Tags(page)
        assert all(set(script) == {"src", "defer"} for script in tags.all("script"))
        assert not any(name.startswith("on") for _, each in tags.tags for name in each)
        assert all(image["src"] != "x" for image in tags.all("img"))
        assert "alert(1)" in page
    frames = Tags(pages[-1]).all("iframe")
    assert frames and all(frame["sandbox"] == "" for frame in frames)
    assert EVIL in str(frames[0]["srcdoc"])
    filtered = visitor.http.get("/", params={"name": EVIL, "state": EVIL, "after": "x"})
    assert filtered.status_code == 422 and not Tags(filtered.text).all("img")
    assert "55433" not in visitor.http.get("/", params={"name": "{{7*7919}}"}).text


def test_the_command_opens_the_page(
    gateway: Any, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """`mecapy open` gives the browser an address that logs in and holds no token."""
    monkeypatch.setenv("MECAPY_URL", gateway.url)
    monkeypatch.setenv("MECAPY_TOKEN", gateway.token)
    opened = list[str]()
    monkeypatch.setattr("webbrowser.open", lambda url: not opened.append(url))
    assert cli.main(["open"]) == 0
    assert gateway.token not in opened[0]
    with httpx.Client(timeout=120, headers={"Sec-Fetch-Site": "none"}) as browser:
        assert "My tasks" in browser.get(opened[0], follow_redirects=True).text
