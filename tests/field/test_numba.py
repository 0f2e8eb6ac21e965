"""Functions that numba compiles."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .cells import Compared, needs

pytestmark = needs("numba")


@pytest.mark.cell("travels", "Functions of numba: `jit`, `vectorize`, `guvectorize`")
def test_a_universal_function(compared: Callable[[str], Compared]) -> None:
    """It works there, and here afterwards: what it has compiled is no change of it."""
    found = compared(
        """
        #L
        import numba, numpy as np
        @numba.vectorize
        def clip(x): return x if x < 2 else 2.0
        @numba.guvectorize(["void(float64[:], float64[:])"], "(n)->(n)")
        def twice(a, out):
            for i in range(a.size): out[i] = 2 * a[i]
        a = np.arange(4.0)
        #H
        print(clip(a), twice(a))
        y = 5
        #L
        print(clip(a), twice(a), y)
        """
    )
    assert found.out == "[0. 1. 2. 2.] [0. 2. 4. 6.]\n[0. 1. 2. 2.] [0. 2. 4. 6.] 5\n"
    assert (found.differences, found.said) == ([], [])
