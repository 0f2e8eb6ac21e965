"""The provider's own SDK, with time limits, and its errors as sentences. The only file that imports
it: it has no limit of its own, so its `requests` is replaced by one that has (versions 2.x; a test
asks a server that never answers).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import TypeVar, cast

import requests
import scaleway_core.api as core
from requests.exceptions import RequestException
from scaleway.block.v1 import BlockV1API  # pyright: ignore[reportMissingTypeStubs]
from scaleway.container import v1 as container  # pyright: ignore[reportMissingTypeStubs]
from scaleway.instance import v1 as instance  # pyright: ignore[reportMissingTypeStubs]
from scaleway.instance.v1.custom_api import (  # pyright: ignore[reportMissingTypeStubs]
    InstanceUtilsV1API,
)
from scaleway.jobs import v1alpha2 as jobs  # pyright: ignore[reportMissingTypeStubs]
from scaleway.marketplace import v2 as marketplace  # pyright: ignore[reportMissingTypeStubs]
from scaleway_core.client import Client

from mecapy_backend.fleet.provider import ProviderRefused
from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.wire import JsonObject

__all__ = ["BlockV1API", "InstanceUtilsV1API", "container", "instance", "jobs", "marketplace"]
ANSWER_S = 30.0
Found = TypeVar("Found")
_NAMES = ("SCW_ACCESS_KEY", "SCW_SECRET_KEY", "SCW_DEFAULT_PROJECT_ID")


class ScalewayRefused(ProviderRefused):
    """`final`: no other type or zone would help. `away`: the zone does not work at all. `unsure`:
    what was asked for may have been done all the same. `gone`: there is no such thing.
    """

    def __init__(
        self,
        why: str,
        *,
        final: bool = False,
        away: bool = False,
        unsure: bool = False,
        gone: bool = False,
    ) -> None:
        super().__init__(why)
        self.final, self.away, self.unsure, self.gone = final, away, unsure, gone


def client(answer_s: float = ANSWER_S) -> Client:
    """A client by the variables of the provider's tools. ConfigError names what is missing."""
    access, secret, project = (os.environ.get(name, "") for name in _NAMES)
    if missing := [name for name in _NAMES if not os.environ.get(name)]:
        raise ConfigError(
            f"the provider scaleway-vm needs {', '.join(missing)}: make an API key in the console, "
            "with the rights InstancesFullAccess and BlockStorageFullAccess on one project "
            "(scaleway-job: ServerlessJobsFullAccess, scaleway-container: ContainersFullAccess)"
        )
    limited = partial(requests.request, timeout=(min(10.0, answer_s), answer_s))
    setattr(core, "requests", SimpleNamespace(request=limited))  # noqa: B010
    url = os.environ.get("SCW_API_URL", "https://api.scaleway.com")
    made = Client(access_key=access, secret_key=secret, default_project_id=project, api_url=url)
    try:
        made.validate()
    except ValueError as wrong:
        raise ConfigError(f"{', '.join(_NAMES)}: {wrong}") from None
    return made


def asked(where: str, call: Callable[[], Found]) -> Found:
    """What the provider answers. Raises ScalewayRefused."""
    try:
        return call()
    except core.ScalewayException as problem:
        raise _refusal(where, problem.response) from None
    except RequestException as problem:
        if problem.response is not None:  # no JSON: a proxy's page
            raise _refusal(where, problem.response) from None
        kind = type(problem).__name__
        why = f"Scaleway, {where}: no answer in {ANSWER_S:.0f} s or no connection ({kind})"
        raise ScalewayRefused(why, away=True, unsure=True) from None
    except ValueError as problem:
        raise ScalewayRefused(f"Scaleway, {where}: the answer cannot be read: {problem}") from None


def _refusal(where: str, response: requests.Response) -> ScalewayRefused:
    body = _body(response)
    kind, said = str(body.get("type", "")), str(body.get("message", "")) or response.reason or ""
    status = response.status_code
    if kind == "denied_authentication" or status == 401:
        why = f"Scaleway does not accept the key: see that {_NAMES[0]} and {_NAMES[1]} are right"
        return ScalewayRefused(f"{why} ({said})", final=True)
    if kind == "quotas_exceeded" or "quota" in said:
        why = "the account's quota is used up: ask Scaleway for more, or lower `max`"
        return ScalewayRefused(f"Scaleway, {where}: {why} ({_quotas(body) or said})")
    if status == 403 and "still running" in said:  # a job's definition
        return ScalewayRefused(f"Scaleway, {where}: {said}")
    if status == 403:
        why = "the key may not do this: give it InstancesFullAccess and BlockStorageFullAccess"
        why += " (for jobs ServerlessJobsFullAccess, for containers ContainersFullAccess)"
        return ScalewayRefused(f"{why} on the project ({said})", final=True)
    if kind == "out_of_stock" or "server_type_unavailable" in said:
        return ScalewayRefused(f"Scaleway, {where}: none in stock")
    if status == 404:
        return ScalewayRefused(f"Scaleway, {where}: {said}", gone=True)
    if status == 429:
        return ScalewayRefused(
            f"Scaleway, {where}: too many requests (429); the fleet asks again later", away=True
        )
    if status >= 500:
        why = f"Scaleway, {where}: is unavailable ({status} {said})"
        return ScalewayRefused(why, away=True, unsure=True)
    return ScalewayRefused(f"Scaleway, {where}: {said or kind} ({status})")


def _body(response: requests.Response) -> JsonObject:
    try:
        found = response.json()
    except ValueError:
        return {}
    return cast(JsonObject, found) if isinstance(found, dict) else {}


def _quotas(body: JsonObject) -> str:
    details = body.get("details")
    parts = [cast(JsonObject, one) for one in details] if isinstance(details, list) else []
    return ", ".join(
        f"{one.get('resource')} {one.get('current')}/{one.get('quota')}" for one in parts
    )
