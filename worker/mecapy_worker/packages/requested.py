"""Which packages a task may add (MECAPY_PACKAGES), decided before anything is asked of an index."""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mecapy_backend.shared.settings import Settings
from mecapy_jupyter.shared.units import listed


class PackagesRefused(Exception):
    """What a task names cannot be had. The text says why, and what to do."""


def checked(texts: Iterable[str], settings: Settings) -> tuple[str, ...]:
    """The requirements in one form and order, if all are allowed."""
    found = sorted({str(_requirement(text)): None for text in texts})
    if settings.packages == "off":
        raise PackagesRefused(
            f"The cell adds {listed(found)}, but this deployment does not install packages for "
            "tasks; ask its operators to install it on the workers, or to set MECAPY_PACKAGES."
        )
    if settings.packages == "list":
        allowed = {canonicalize_name(name) for name in settings.packages_list}
        other = [text for text in found if canonicalize_name(Requirement(text).name) not in allowed]
        if other:
            raise PackagesRefused(
                f"The cell adds {listed(other)}, which is not on this deployment's list "
                f"({', '.join(sorted(settings.packages_list)) or 'empty'}); ask its operators, "
                "who set MECAPY_PACKAGES_LIST."
            )
    return tuple(found)


def _requirement(text: str) -> Requirement:
    try:
        found = Requirement(text)
    except InvalidRequirement:
        raise PackagesRefused(
            f'{text[:200]!r} is no requirement of a package; write "gmsh==4.13".'
        ) from None
    if found.url:
        raise PackagesRefused(
            f"{found.name} is asked for by its address, but packages come from the index alone; "
            f"leave out what follows the @."
        )
    return found


def explained(wanted: Iterable[str], said: str) -> PackagesRefused:
    """What the installer said, as a sentence with what to do."""
    text = re.sub(r"\s+", " ", re.sub(r"\x1b\[[0-9;]*m", "", said)).strip()
    text = re.sub(r"^error: No solution found when resolving dependencies:?( cause:)? ", "", text)
    if "no usable wheels" in text or "only-binary" in text:
        todo = "only wheels are installed, no source is built; ask for a version that has one"
    elif "not found in the package registry" in text or "no version of" in text:
        todo = "check names and versions"
    elif "unsatisfiable" in text:
        todo = "loosen a version"
    else:
        todo = "run the cell again later, and tell the operators if it fails again"
    return PackagesRefused(f"{listed(list(wanted))} cannot be installed: {text[:1500]} → {todo}.")
