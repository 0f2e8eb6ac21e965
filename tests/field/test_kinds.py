"""The comparison itself, and cells that no single library tells."""

from __future__ import annotations

from collections.abc import Callable

from .cells import Compared


def test_a_difference_is_seen(compared: Callable[[str], Compared]) -> None:
    """A cell that prints something else on the pool is named, and those around it are not."""
    found = compared(
        """
        #L
        x = 1
        #H
        import sys
        print("pool" if "mecapy_worker" in sys.modules else "kernel")
        y = x + 1
        #L
        print(y)
        """
    )
    assert found.out == "kernel\n2\n"
    assert [difference.partition(":")[0] for difference in found.differences] == ["cell 2"]


def test_a_word_is_seen(compared: Callable[[str], Compared]) -> None:
    """What MecaPy itself says on standard error is no difference, and is kept apart."""
    found = compared(
        """
        #L
        import fractions
        fractions.limit = 3
        #H
        print(fractions.Fraction(1, 2))
        """
    )
    assert (found.out, found.differences) == ("1/2\n", [])
    assert len(found.said) == 1
    assert "fractions.limit" in found.said[0]
