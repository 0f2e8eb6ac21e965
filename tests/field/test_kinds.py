"""The comparison itself, and cells that no single library tells."""

from __future__ import annotations

from collections.abc import Callable

from .cells import Compared, needs


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


@needs("tqdm")
def test_a_bar_of_the_notebook_moves_on(compared: Callable[[str], Compared]) -> None:
    """A cell that moves a bar leaves the same bar, with its numbers, for the next one."""
    found = compared(
        """
        #L
        import sys
        from tqdm import tqdm
        how = dict(total=9, bar_format="{desc}{n}/{total}", mininterval=0, miniters=1)
        bar, error = tqdm(file=sys.stdout, **how), tqdm(**how)
        alias = bar
        #H
        bar.update(3)
        bar.set_description("x")
        error.n = 2
        #L
        bar.update(1)
        print(bar.n, bar.desc, alias is bar, error.n)
        """
    )
    assert "4 x:  True 2" in found.out, found.out
    assert (found.differences, found.said) == ([], [])


def test_what_a_replaced_function_keeps_is_the_notebooks(
    compared: Callable[[str], Compared],
) -> None:
    """A wrapper around a library's function counts in the variable that counts here, and in its own
    attribute: also one that bears the library's name.
    """
    found = compared(
        """
        #L
        import functools
        import numpy as np
        sizes, totals = [], {"calls": 0}
        def noting(f, seen, totals=totals):
            @functools.wraps(f)
            def noted(*args, **named):
                noted.calls += 1
                totals["calls"] += 1
                seen.append(np.shape(args[0]))
                return f(*args, **named)
            noted.calls = 0
            return noted
        np.linalg.norm = noting(np.linalg.norm, sizes)
        mine = np.linalg.norm
        np.linalg.norm([3, 4])
        #H
        length = np.linalg.norm([3, 4, 12])
        print(length, sizes, totals, np.linalg.norm.calls, np.linalg.norm is mine)
        #L
        np.linalg.norm([1])
        print(sizes, totals, np.linalg.norm.calls, np.linalg.norm is mine)
        """
    )
    assert found.out == (
        "13.0 [(2,), (3,)] {'calls': 2} 2 True\n[(2,), (3,), (1,)] {'calls': 3} 3 True\n"
    )
    assert (found.differences, found.said) == ([], [])


def test_what_python_and_libraries_hold_is_the_notebooks(
    compared: Callable[[str], Compared],
) -> None:
    """A handler of a signal, a filter of a logger, a formatter and numpy's error call that are, or
    belong to, objects of the notebook change these, on the worker and afterwards here.
    """
    found = compared(
        """
        #L
        import logging, os, signal
        import numpy as np
        class Counts:
            def __init__(self): self.n = 0
            def stop(self, number, frame): self.n += 1
            def filter(self, record): self.n += 1; return False
            def __call__(self, quantity, printer, cycle): self.n += 1; printer.text(f"mm {self.n}")
            def write(self, message): self.n += 1
        class Quantity: pass
        on_signal, of_logger, shows, notes = Counts(), Counts(), Counts(), Counts()
        handler, plain_stop = on_signal.stop, Counts.stop
        _ = signal.signal(signal.SIGUSR1, handler)
        logging.getLogger("steps").addFilter(of_logger)
        get_ipython().display_formatter.formatters["text/plain"].for_type(Quantity, shows)
        np.seterrcall(notes)
        _ = np.seterr(divide="log")
        counts = on_signal, of_logger, shows, notes
        def act():
            os.kill(os.getpid(), signal.SIGUSR1)
            logging.getLogger("steps").warning("x")
            display(Quantity())
            np.ones(1) / 0
            print([one.n for one in counts])
        #H
        act()
        #L
        act()
        print(signal.getsignal(signal.SIGUSR1) is handler, Counts.stop is plain_stop)
        print(logging.getLogger("steps").filters[0] is of_logger, np.geterrcall() is notes)
        """
    )
    assert found.out == "[1, 1, 1, 1]\n[2, 2, 2, 2]\nTrue True\nTrue True\n"
    assert (found.differences, found.said) == ([], [])
