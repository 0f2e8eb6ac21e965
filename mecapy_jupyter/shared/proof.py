"""How an embedded stack proves itself before it is shown the token: by the answer to a challenge,
which takes the token to compute. Both sides compute it here.
"""

from __future__ import annotations

import hmac

PATH = "/proof"


def proof(token: str, challenge: str, port: int) -> str:
    """The answer to a challenge. It contains `port`, so that a program on another port that passes
    the challenge on to the stack gives a wrong answer.
    """
    return hmac.digest(token.encode(), f"mecapy:{port}:{challenge}".encode(), "sha256").hex()
