"""A child module whose zygote knows no seccomp filter: its tasks really get a session and a group
of their own.
"""

from tiny_child import serve, warm

from mecapy_worker.zygote import host_capabilities

__all__ = ["prepare", "serve", "warm"]


def prepare(preload):
    host_capabilities.system_calls = lambda *_: None
