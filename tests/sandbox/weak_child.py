"""A child module whose zygote believes that this kernel has no Landlock."""

from mecapy_worker import landlock
from tiny_child import serve, warm

__all__ = ["prepare", "serve", "warm"]


def prepare(preload):
    landlock.version = lambda: 0
