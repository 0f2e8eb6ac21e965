"""The page where an identity provider knows the users: logging in there, and what each sees."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import httpx
import pytest

from mecapy_backend.store.people import shares
from mecapy_backend.store.people.users import add_user

from .provider import Provider
from .visitor import EVIL, Tags, Visitor


def at_the_provider(visitor: Visitor) -> tuple[dict[str, str], str]:
    """Begins a login; what the provider is asked, and where."""
    answer = visitor.get("/page/login/oidc")
    assert answer.status_code == 303, answer.text
    where = urlsplit(answer.headers["location"])
    return dict(parse_qsl(where.query)), f"{where.scheme}://{where.netloc}{where.path}"


def approved(provider: Provider, asked: dict[str, str], who: str = "ada") -> str:
    """The provider lets them in; the path that it sends the browser to."""
    code = f"code-of-{who}-{len(provider.devices.issued)}"
    provider.devices.codes[code] = (who, asked["code_challenge"], asked["redirect_uri"])
    return f"/page/login/back?code={code}&state={asked['state']}"


def test_log_in_at_the_provider(oidc_gateway: Any, provider: Provider) -> None:
    """Code flow with PKCE: the browser comes back with a code and has a session; a second use of
    the same answer has none.
    """
    visitor = Visitor(oidc_gateway)
    with visitor.http:
        asked, where = at_the_provider(visitor)
        assert where == f"{provider.issuer}/authorize"
        assert asked["code_challenge_method"] == "S256"
        assert asked["redirect_uri"] == f"{oidc_gateway.url}/page/login/back"
        back = approved(provider, asked)
        answer = visitor.get(back)
        assert (answer.status_code, 'url=/"' in answer.text) == (200, True), answer.text
        assert not any(token in answer.text for token in provider.devices.issued)
        assert "ada" in visitor.get("/page/account").text
        assert visitor.get(back).status_code == 401


def test_answers_that_no_login_here_asked_for(oidc_gateway: Any, provider: Provider) -> None:
    """Another browser's answer, an unknown state, a refusal and a wrong verifier begin no
    session.
    """
    ours, attackers = Visitor(oidc_gateway), Visitor(oidc_gateway)
    with ours.http, attackers.http:
        asked, _ = at_the_provider(attackers)
        assert ours.get(approved(provider, asked, "eve")).status_code == 401
        assert ours.get("/page/login/back?code=x&state=unknown").status_code == 401
        asked, _ = at_the_provider(ours)
        refused = f"/page/login/back?error=access_denied<b>&state={asked['state']}"
        answer = ours.get(refused)
        assert answer.status_code == 401 and "access_denied&lt;b&gt;" in answer.text
        asked, _ = at_the_provider(ours)
        back = approved(provider, asked | {"code_challenge": "another"})
        assert ours.get(back).status_code == 401
        assert ours.get("/").status_code == 401


@pytest.fixture
def people(oidc_gateway: Any, provider: Provider) -> dict[str, str]:
    roles = {role: {"realm_access": {"roles": [f"mecapy-{role}"]}} for role in ("manager", "admin")}
    return {
        "ada": provider.token("ada", organization=["acme"]),
        "bob": provider.token("bob", organization=["acme"]),
        "mia": provider.token("mia", organization=["acme"], **roles["manager"]),
        "root": provider.token("root", **roles["admin"]),
    }


def test_others_tasks_and_pages(oidc_gateway: Any, people: dict[str, str]) -> None:
    """Somebody else's task is 404 to everybody, and can be neither opened nor cancelled; pages of
    managers and admins are theirs alone, and nobody is shown a link to what they may not open.
    """
    mine = {"Authorization": f"Bearer {people['ada']}"}
    body = {"name": "of-ada", "code": "'secret-of-ada'"}
    task = httpx.post(f"{oidc_gateway.url}/tasks", json=body, headers=mine, timeout=120).json()
    path = f"/page/tasks/{task['task_id']}"
    made = httpx.post(
        f"{oidc_gateway.url}/workflows", json={"name": "w"}, headers=mine, timeout=120
    ).json()
    httpx.post(
        f"{oidc_gateway.url}/sweeps",
        json={"name": "of-ada", "points": []},
        headers=mine,
        timeout=120,
    )
    others = (f"/page/workflows/{made['workflow_id']}", "/page/sweeps/of-ada")
    statuses = {
        "ada": (200, 403, 403),
        "bob": (404, 403, 403),
        "mia": (404, 200, 403),
        "root": (404, 200, 200),
    }
    for who, (own, users, audit) in statuses.items():
        visitor = Visitor(oidc_gateway)
        with visitor.http:
            assert visitor.log_in(people[who]).status_code == 303
            pages = (path, f"{path}/output", "/page/users", "/page/audit")
            answers = [visitor.get(page) for page in pages]
            assert [one.status_code for one in answers] == [own, own, users, audit], who
            assert who == "ada" or all("secret-of-ada" not in one.text for one in answers)
            assert ("/page/audit" in visitor.get("/").text) == (audit == 200)
            for other in others:
                assert visitor.get(other).status_code == (200 if who == "ada" else 404), other
            if who != "ada":
                csrf = visitor.csrf()
                for act in ("again", "share", "unshare"):
                    assert visitor.post(f"{path}/{act}", csrf=csrf).status_code in (404, 409)
                for act in ("cancel", "retry"):
                    assert visitor.post(f"{others[0]}/{act}", csrf=csrf).status_code == 404
                for act in ("pause", "resume", "cancel"):
                    answer = visitor.post(f"{others[1]}/{act}", csrf=csrf)
                    assert answer.status_code == 404
                limited = visitor.post(
                    "/page/organisations/acme", csrf=csrf, limits="yes", weight="2"
                )
                assert limited.status_code == (303 if who == "root" else 403)
                assert visitor.post(f"{path}/cancel", csrf=csrf).status_code == 404
                forbidden = visitor.post("/page/users/local", csrf=csrf, disabled="yes")
                assert forbidden.status_code == (409 if who == "root" else 403)
            assert visitor.get(f"{path}x").status_code == 404
    answer = httpx.get(f"{oidc_gateway.url}{path[5:]}", headers=mine, timeout=120)
    assert answer.json()["status"] == "queued"


def test_what_is_shared_with_colleagues(oidc_gateway: Any, people: dict[str, str]) -> None:
    """A shared task can be looked at by members of the owner's organisation alone, and by nobody
    else; only its owner changes anything, and ends it.
    """
    body = {"name": "of-ada", "code": "'secret-of-ada'"}
    ada = {"Authorization": f"Bearer {people['ada']}"}
    task = httpx.post(f"{oidc_gateway.url}/tasks", json=body, headers=ada, timeout=120).json()
    task_id = task["task_id"]
    visitors = {who: Visitor(oidc_gateway) for who in people}
    for who, visitor in visitors.items():
        assert visitor.log_in(people[who]).status_code == 303

    def see(path: str) -> dict[str, int]:
        return {who: visitor.get(path).status_code for who, visitor in visitors.items()}

    shared, own = f"/page/shared/{task_id}", f"/page/tasks/{task_id}"
    none = {"ada": 404, "bob": 404, "mia": 404, "root": 403}
    assert see(shared) == none
    for who in ("bob", "mia", "root"):
        answer = visitors[who].post(f"{own}/share", csrf=visitors[who].csrf())
        assert answer.status_code in (404, 409)
    assert visitors["ada"].post(f"{own}/share", csrf=visitors["ada"].csrf()).status_code == 303
    assert shared in visitors["ada"].get(own).text
    everybody = {"ada": 200, "bob": 200, "mia": 200, "root": 403}
    for part in ("", "/output", "/curves"):
        assert see(shared + part) == everybody
    assert see(own) == {"ada": 200, "bob": 404, "mia": 404, "root": 404}
    page = visitors["bob"].get(shared).text
    assert "secret-of-ada" in page and "<form" not in page.partition("<main")[2]
    for act in ("cancel", "again", "share", "unshare"):
        answer = visitors["bob"].post(f"{own}/{act}", csrf=visitors["bob"].csrf())
        assert answer.status_code == 404, act
    visitors["ada"].post(f"{own}/unshare", csrf=visitors["ada"].csrf())
    assert see(shared) == none
    for visitor in visitors.values():
        visitor.http.close()


def test_a_disabled_user_is_out(oidc_gateway: Any, people: dict[str, str]) -> None:
    """Whom an admin disables on the page has no session any more."""
    ada, root = Visitor(oidc_gateway), Visitor(oidc_gateway)
    with ada.http, root.http:
        ada.log_in(people["ada"])
        root.log_in(people["root"])
        mine = {"Authorization": f"Bearer {people['ada']}"}
        owner = httpx.get(f"{oidc_gateway.url}/me", headers=mine, timeout=120).json()["owner"]
        assert owner in root.get("/page/users").text
        limits = {"limits": "yes", "weight": "2.5", "max_running": "3", "cpu_hours": ""}
        answer = root.post(f"/page/users/{owner}", csrf=root.csrf(), **limits)
        assert answer.status_code == 303
        me = httpx.get(f"{oidc_gateway.url}/me", headers=mine, timeout=120).json()
        assert (me["weight"], me["quotas"]["running"]["limit"]) == (2.5, 3)
        wrong = root.post(f"/page/users/{owner}", csrf=root.csrf(), **(limits | {"weight": "-1"}))
        assert wrong.status_code == 422
        answer = root.post(f"/page/users/{owner}", csrf=root.csrf(), disabled="yes")
        assert answer.status_code == 303
        assert ada.get("/").status_code == 401


async def test_costs_of_those_one_looks_after(
    oidc_gateway: Any, people: dict[str, str], db: Any
) -> None:
    """A user sees what their own tasks and their organisation cost, a manager also each user of
    theirs, an admin all; names in it are text, and so is a month that is none.
    """
    visitors = {who: Visitor(oidc_gateway) for who in people}
    owners = dict[str, str]()
    for who, visitor in visitors.items():
        assert visitor.log_in(people[who]).status_code == 303
        mine = {"Authorization": f"Bearer {people[who]}"}
        owners[who] = visitor.http.get("/me", headers=mine).json()["owner"]
    made = await add_user(db, EVIL, "", "other", "user")
    assert made
    await shares.add_usage(db, {made.id: shares.Took(1.0, 1, 3600.0)}, price=71.5)
    await shares.add_usage(db, {owners["bob"]: shares.Took(1.0, 1, 3600.0)}, price=2.25)
    budget = {"limits": "yes", "weight": "1", "budget": "2"}
    csrf = visitors["root"].csrf()
    answer = visitors["root"].post("/page/organisations/acme", csrf=csrf, **budget)
    assert answer.status_code == 303
    pages = {who: visitor.get("/page/costs").text for who, visitor in visitors.items()}
    for who, page in pages.items():
        assert ("€71.50" in page, "alert(1)" in page) == (who == "root",) * 2, who
        assert ("bob" in page) == (who in ("mia", "root")), who
        assert "€2.25" in page and "no machine starts" in page, who
        assert ("<h2>Machines" in page) == (who == "root"), who
        tags = Tags(page)
        assert len(tags.all("script")) == 1 and not tags.all("img")
    wrong = visitors["root"].get(f"/page/costs?month={quote(EVIL)}")
    assert wrong.status_code == 200 and len(Tags(wrong.text).all("script")) == 1
    earlier = visitors["root"].get("/page/costs?month=2020-01").text
    assert "ended in 2020-01" in earlier and "€71.50" not in earlier
    for visitor in visitors.values():
        visitor.http.close()
