"""The errors a user can meet, under the name they are documented by."""

from mecapy_jupyter.shared.errors import *  # noqa: F403 every error class, and nothing else
