"""A child module whose zygote knows no seccomp filter: its tasks really get a session and a group
of their own.
"""

from tiny_child import serve, warm

from mecapy_worker import surroundings

__all__ = ["prepare", "serve", "warm"]


def prepare(preload):
    surroundings.system_calls = lambda shielded, **_: None
