"""The address and token of a gateway. An embedded stack may restart with another token and port;
its data directory has them.
"""

from __future__ import annotations

from dataclasses import dataclass

import urllib3
from urllib3.util import Timeout

from mecapy_jupyter.shared.secret import Secret
from mecapy_jupyter.stack.embedded import Endpoint, joined
from mecapy_jupyter.stack.proven import proven_pool

CONNECT_S = 5.0
_ANSWER_S = 60.0


@dataclass(frozen=True, slots=True)
class Address:
    """Replaced as a whole, so that no token is sent to another address. `data`: the data directory
    of an embedded stack.
    """

    url: str
    token: Secret
    data: str
    pool: urllib3.PoolManager

    @classmethod
    def of(cls, endpoint: Endpoint) -> Address:
        timeout = Timeout(connect=CONNECT_S, read=_ANSWER_S)
        if endpoint.data:
            pool = proven_pool(endpoint.token, maxsize=32, timeout=timeout)
        else:
            pool = urllib3.PoolManager(maxsize=32, timeout=timeout)
        return cls(endpoint.url, Secret(endpoint.token), endpoint.data, pool)

    def moved(self) -> Address | None:
        """The address of the running embedded stack, if it differs from the last one."""
        now = joined(self.data) if self.data else None
        if now is None or (now.url, now.token) == (self.url, self.token):
            return None
        return Address.of(now)
