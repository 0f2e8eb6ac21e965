"""A token as a text that does not show itself: in a traceback with the values of variables, in
`repr`, or inside a pickle.
"""

from __future__ import annotations

from typing import Any, SupportsIndex


class Secret(str):
    """The text itself for whoever sends it; for `repr` and pickle it is not there."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        raise TypeError(
            "a MecaPy token does not travel and is not stored with other things; make a Client "
            "where it is needed"
        )
