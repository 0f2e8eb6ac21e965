"""How deep JSON may nest on its way to gateway and kernel, whose parsers raise RecursionError
somewhere below a thousand levels.
"""

from __future__ import annotations

from mecapy_jupyter.wire import Json

DEEPEST = 250


def too_deep(text: str, value: Json) -> bool:
    """Whether `value`, read from `text`, nests too deep. Checked only if the text has that many
    brackets.
    """
    if text.count("[") + text.count("{") <= DEEPEST:
        return False
    level: list[Json] = [value]
    for _ in range(DEEPEST):
        inside = list[Json]()
        for one in level:
            if isinstance(one, dict):
                inside += one.values()
            elif isinstance(one, list):
                inside += one
        if not inside:
            return False
        level = inside
    return any(isinstance(one, (dict, list)) for one in level)
