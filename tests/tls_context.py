"""One TLS context for all HTTP clients of a test process: making one reads all certificates, 20 to
50 ms of processor each, and hundreds of clients talk to servers without TLS.
"""

from __future__ import annotations

import functools
import os
from typing import Any

from httpx._config import create_ssl_context
from httpx._transports import default

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@functools.cache
def _default_context(trust_env: bool, *_certificates: str | None) -> Any:
    return create_ssl_context(trust_env=trust_env)


def _context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> Any:
    """What the test asks for by name is its own; so are other certificates."""
    if verify is True and cert is None:
        return _default_context(trust_env, *map(os.environ.get, _CERTIFICATES))
    return create_ssl_context(verify=verify, cert=cert, trust_env=trust_env)


def share() -> None:
    default.create_ssl_context = _context
