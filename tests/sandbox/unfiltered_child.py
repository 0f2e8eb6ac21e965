"""A child module whose zygote knows no seccomp filter: its tasks really get a session and a group
of their own.
"""

from tiny_child import begin, serve

from mecapy_worker.zygote import host_capabilities

__all__ = ["begin", "prepare", "serve"]


def prepare(preload):
    host_capabilities.system_calls = lambda *_: None
