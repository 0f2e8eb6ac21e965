"""Packs values for a worker, or explains which cannot travel and why."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mecapy_jupyter.capture import diagnose
from mecapy_jupyter.shared import errors
from mecapy_jupyter.travel.environment import module_text, prelude, user_modules
from mecapy_jupyter.travel.files.gather import Along
from mecapy_jupyter.travel.pickling import payload


def main_namespace() -> dict[str, Any]:
    """The namespace whose functions become members of the task's own: the script's or the
    notebook's.
    """
    return sys.modules["__main__"].__dict__


def pack(
    values: Mapping[str, Any],
    namespace: dict[str, Any],
    words: Sequence[str],
    imports: Sequence[str],
    secret_in: Callable[[bytes], bool] = lambda _: False,
    folder: Along | None = None,
    keep: tuple[str, ...] = (),
) -> payload.Packed:
    """Raises CannotSend with the variable and the part. `words`, `imports`: as for `prelude.make`.
    The text of a cell with a secret is not sent.
    """
    diagnose.check_sizes(values)
    cells, own = set[str](), user_modules.OwnSources()
    if not module_text.IMPORTERS.isdisjoint(words):
        imports = [*imports, *user_modules.loaded()]
    carried, beside = folder.carried(keep) if folder else (None, [])

    def around(modules: list[str]) -> dict[str, Any]:
        made = prelude.make(modules, values, words, imports, cells, own)
        return made | {
            "folder": carried,
            "cells": {
                name: cell
                for name, cell in made["cells"].items()
                if not secret_in("".join(cell[1]).encode())
            },
        }

    try:
        return payload.pack(
            [values],
            namespace,
            prelude=around,
            states=prelude.ModuleStates(own, imports),
            cells=cells,
            beside=beside,
        )
    except errors.MecapyError:
        raise
    except Exception as trouble:
        for name, value in values.items():
            sentence = diagnose.trouble(value, name, lambda part: payload.pack([part], namespace))
            if sentence:
                raise errors.CannotSend(sentence) from trouble
        raise errors.CannotSend(
            f"the cell's inputs cannot travel to the worker: {trouble}"
        ) from trouble
