"""The settings of packages that tasks name (docs/packages.md); a part of `settings`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

MB, GB = 10**6, 10**9


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(name.strip() for name in value.split(",") if name.strip())


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Names in the environment, with commas between."""


class PackageSettings(BaseSettings):
    packages: Literal["off", "list", "any"] = "off"
    """Which packages a task may add: none, those of MECAPY_PACKAGES_LIST (with what they need), or
    any; the embedded stack: any.
    """

    packages_list: Names = ()
    """Names of packages that a task may add, with commas between."""

    packages_index: Names = ()
    """Your own index instead of the public one: a URL, or `file:///directory`; of several, each
    name comes from the first that has it.
    """

    packages_hosts: Names = ()
    """`host:port` that the indexes' files come from, where it is not the index's own; nothing else
    is reached.
    """

    packages_constraints: str = ""
    """File of constraints (`name<2` lines) for what tasks add."""

    packages_bytes: int = Field(default=10 * GB, gt=0)
    """What tasks added; the longest unused goes first."""

    packages_dir: str = ""
    """Where it lies; default: in the system's temp."""
