"""Requests of managers and admins: one function per address."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from mecapy_jupyter import wire
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.wire.json_fields import Json, JsonObject, as_object, objects

_PAGE = 1000


def users(gateway: Gateway) -> Iterator[wire.UserInfo]:
    """All users whom the caller may see."""
    after = ""
    while found := _list(gateway.get("/users", after=after, limit=_PAGE)):
        yield from map(wire.UserInfo.from_json, found)
        after = str(found[-1]["id"])


def add_user(gateway: Gateway, user: JsonObject) -> wire.UserInfo:
    return wire.UserInfo.from_json(as_object(gateway.post("/users", user)))


def change_user(gateway: Gateway, user_id: str, change: JsonObject) -> wire.UserInfo:
    return wire.UserInfo.from_json(as_object(gateway.patch(f"/users/{_in(user_id)}", change)))


def erase_user(gateway: Gateway, user_id: str) -> None:
    gateway.delete(f"/users/{_in(user_id)}")


def user_tokens(gateway: Gateway, user_id: str) -> list[wire.TokenInfo]:
    found = _list(gateway.get(f"/users/{_in(user_id)}/tokens"))
    return [wire.TokenInfo.from_json(token) for token in found]


def create_user_token(gateway: Gateway, user_id: str, token: wire.TokenRequest) -> wire.TokenInfo:
    made = gateway.post(f"/users/{_in(user_id)}/tokens", token.as_json())
    return wire.TokenInfo.from_json(as_object(made))


def revoke_user_token(gateway: Gateway, user_id: str, token_id: str) -> None:
    gateway.delete(f"/users/{_in(user_id)}/tokens/{_in(token_id)}")


def tasks_of_users(
    gateway: Gateway, limit: int, user: str | None = None, state: str | None = None
) -> list[wire.TaskOfUser]:
    found = _list(gateway.get("/users/tasks", user=user, state=state, limit=limit))
    return [wire.TaskOfUser.from_json(task) for task in found]


def organisations(gateway: Gateway) -> list[wire.OrganisationInfo]:
    return [wire.OrganisationInfo.from_json(one) for one in _list(gateway.get("/organisations"))]


def monthly_use(gateway: Gateway, month: str) -> list[wire.MonthlyUse]:
    """`month` as "2026-11"; "": this one."""
    found = _list(gateway.get("/organisations/usage", month=month or None))
    return [wire.MonthlyUse.from_json(one) for one in found]


def monthly_reports(gateway: Gateway, month: str) -> list[wire.MonthlyReport]:
    """The reports by organisation."""
    found = _list(gateway.get("/organisations/report", month=month or None))
    return [wire.MonthlyReport.from_json(one) for one in found]


def change_organisation(gateway: Gateway, name: str, change: JsonObject) -> None:
    gateway.patch(f"/organisations/{_in(name)}", change)


def drain(gateway: Gateway, worker_id: str, draining: bool) -> wire.WorkerInfo:
    answer = gateway.patch(f"/workers/{_in(worker_id)}", {"draining": draining})
    return wire.WorkerInfo.from_json(as_object(answer))


def _list(answer: Json) -> list[JsonObject]:
    return objects({"all": answer}, "all")


def _in(name: str) -> str:
    return quote(name, safe="")
