"""A link that logs a browser in, for the holder of a token: `mecapy open`."""

from __future__ import annotations

from hashlib import sha256

from fastapi import Response

from mecapy_backend.api.auth import WithReader
from mecapy_backend.api.json_reply import json
from mecapy_backend.api.schemas.answers import answer
from mecapy_backend.api.services import WithServices
from mecapy_backend.api.surface import surface
from mecapy_backend.page import sessions
from mecapy_jupyter import wire

router = surface("system")


@router.post(
    "/login-links",
    status_code=201,
    response_model=answer(wire.LoginLink),
    summary="A link to the page",
)
async def make(services: WithServices, reader: WithReader) -> Response:
    """The path of the page, with a secret that logs a browser in as you, once and soon. So a
    program can open the page, and no other program sees your token in the browser's address.
    """
    digest = sha256(reader.token.encode()).hexdigest()
    admitted = sessions.Admitted(reader.caller.owner, reader.caller.via, digest)
    secret = await sessions.make_link(services.stream_redis, admitted)
    return json(wire.LoginLink(f"/?token={secret}", sessions.LINK_S).as_json(), 201)
