"""Explains which of a cell's in-place changes could not be applied to the originals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mecapy_jupyter.capture.parts import path_to


def failed(failed: Iterable[tuple[object, str]], namespace: Mapping[str, Any]) -> dict[str, str]:
    variables = {name: value for name, value in namespace.items() if not name.startswith("_")}
    names = {id(value): name for name, value in variables.items()}

    def called(obj: object) -> str:
        return names.get(id(obj)) or path_to(obj, variables) or f"a {type(obj).__name__}"

    return {
        f"the change of {called(obj)}": f"{why}; bind its contents to a variable of the cell"
        for obj, why in failed
    }


def named(
    swaps: Iterable[tuple[object, object]], namespace: Mapping[str, Any]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The names of variables that become new objects, and remarks on parts of other objects that
    would have to.
    """
    variables = {name: value for name, value in namespace.items() if not name.startswith("_")}
    names_found, lost = list[str](), dict[str, str]()
    for original, _ in swaps:
        if names := [name for name, value in variables.items() if value is original]:
            names_found += names
        else:
            kind = type(original).__name__
            lost[f"the change of {path_to(original, variables) or f'a {kind}'}"] = (
                f"a value of the type {kind} cannot be changed in place"
            )
    return tuple(names_found), lost
