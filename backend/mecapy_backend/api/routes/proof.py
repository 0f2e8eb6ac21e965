"""An embedded stack's gateway proves that it has its user's token before clients send theirs.

Other gateways do not, because the answers would help to guess a token chosen by a person; a stack's
token is long and random.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import PlainTextResponse

from mecapy_backend.api.services import WithServices
from mecapy_backend.api.surface import surface
from mecapy_jupyter.shared.proof import PATH, proof

router = surface("system", documented=False)

Challenge = Annotated[str, Query(pattern="^[0-9a-f]{32}$")]


@router.get(PATH)
async def proves_itself(
    request: Request, services: WithServices, challenge: Challenge
) -> PlainTextResponse:
    """The proof is for the port that the client has connected to."""
    token, (_, port) = services.settings.tokens[0], request.scope["server"]
    return PlainTextResponse(proof(token, challenge, port))
