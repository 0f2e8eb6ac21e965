"""My account: who I am here, what I may use and have used, and my API tokens."""

from __future__ import annotations

from starlette.responses import Response

from mecapy_backend.api import permissions
from mecapy_backend.api.routes import tokens
from mecapy_backend.api.schemas.people import NewTokenBody
from mecapy_backend.page import answers
from mecapy_backend.page.door import Visit
from mecapy_backend.store.people import api_tokens, shares, users


async def shown(visit: Visit, made: str = "") -> Response:
    """`made`: a token that was made just now, which is shown this once."""
    services = visit.services
    status = await shares.quota_status(services.db, visit.owner, services.settings, with_bytes=True)
    may = permissions.ACCOUNT in visit.caller.scopes
    return visit.page(
        "account.html",
        account=await users.name_and_email(services.db, visit.owner),
        quotas={"mine": status.of_owner, "my organisation's": status.of_organisation},
        tokens=await api_tokens.list_valid(services.db, visit.owner) if may else None,
        scopes=permissions.TOKEN_SCOPES,
        made=made,
    )


async def make_token(visit: Visit) -> Response:
    form = visit.form
    scopes = [scope for scope in permissions.TOKEN_SCOPES if form.get(scope)]
    days = float(form["days"]) if form.get("days", "").isdigit() else None
    wanted = NewTokenBody.model_validate(
        {"name": form.get("name", ""), "scopes": scopes, "days": days}
    )
    made = await tokens.make(visit.services, visit.owner, wanted, by=visit.owner)
    return await shown(visit, made.token)


async def revoke_token(visit: Visit) -> Response:
    await tokens.revoke(visit.services, visit.owner, visit.request.path_params["token_id"])
    return answers.to("/page/account")
