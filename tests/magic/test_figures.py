"""matplotlib across cells: the parts of a figure hear each other after a trip, and pyplot's current
figure is the one it would be here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .conftest import Kernel

PLOT = "import matplotlib.pyplot as plt, numpy as np\nfig, ax = plt.subplots()\n"
BAR = PLOT + "im = ax.imshow(np.arange(12.).reshape(3, 4)); cb = fig.colorbar(im)\nplt.close(fig)\n"
KEEPS_OPEN = "%matplotlib inline\n%config InlineBackend.close_figures = False\n"


CLOSES = (
    "%matplotlib inline\n%config InlineBackend.close_figures = True\n"
    "import matplotlib.pyplot as plt; plt.close('all')"
)


@pytest.fixture(autouse=True)
def closed(kernel: Kernel) -> Iterator[None]:
    """No figure is open, and figures are closed at the end of a cell; so the next tests find it."""
    assert kernel.run(CLOSES).ok
    yield
    assert kernel.run(CLOSES).ok


def limits(kernel: Kernel, bar: str) -> list[float]:
    """The limits of a colour bar."""
    return [float(kernel.value(f"float({bar}.{name})")) for name in ("vmin", "vmax")]


@pytest.mark.cell("travels", "Links of colour bars")
def test_a_colour_bar_stays_linked(kernel: Kernel) -> None:
    """Its artist's limits are its own: made there and changed here, made here and changed there."""
    assert kernel.run(f"%%mecapy\n{BAR}").ok
    kernel.run("im.set_clim(0, 5)")
    assert limits(kernel, "cb") == [0.0, 5.0]
    assert kernel.value("cb.mappable is im, im.colorbar is cb") == "(True, True)"
    assert kernel.run(f"{BAR}sc = ax.scatter([1, 2], [3, 4], c=[1, 2]); cs = fig.colorbar(sc)").ok
    assert kernel.run("%%mecapy\nim.set_clim(2, 7)\nsc.set_array([5., 9.]); sc.autoscale()").ok
    assert limits(kernel, "cb") == [2.0, 7.0] and limits(kernel, "cs") == [5.0, 9.0]
    kernel.run("im.set_clim(1, 3)")
    assert limits(kernel, "cb") == [1.0, 3.0]


@pytest.mark.cell("travels", "Titles and labels of figures")
def test_a_title_of_the_figure_comes_home(kernel: Kernel) -> None:
    """Although pickling a new artist twice gives different counters each time."""
    kernel.run(PLOT + "plt.close(fig)")
    assert kernel.run("%%mecapy\ntitle = fig.suptitle('S'); fig.supxlabel('x')").ok
    assert kernel.value("(fig.get_suptitle(), fig.get_supxlabel())") == "('S', 'x')"
    assert kernel.value("fig._suptitle is title, title.figure is fig") == "(True, True)"


@pytest.mark.cell("travels", "Twin and shared axes, callbacks")
def test_axes_hear_each_other(kernel: Kernel) -> None:
    """A twin has the limits of its axes; what was connected to their limits is called there."""
    kernel.run(
        f"{PLOT}twin = ax.twinx(); plt.close(fig)\n"
        "def doubled(ax): twin.set_ylim(2 * ax.get_ylim()[0], 2 * ax.get_ylim()[1])\n"
        "ax.callbacks.connect('ylim_changed', doubled)"
    )
    assert kernel.run("%%mecapy\nax.set_ylim(1, 5); ax.set_xlim(0, 3)").ok
    assert kernel.value("[float(x) for x in (*twin.get_ylim(), *twin.get_xlim())]") == (
        "[2.0, 10.0, 0.0, 3.0]"
    )
    kernel.run("ax.set_ylim(2, 6)")
    assert kernel.value("[float(x) for x in twin.get_ylim()]") == "[4.0, 12.0]"


@pytest.mark.cell("travels", "Open figures, `plt.gcf()`")
def test_the_current_figure_goes_on(kernel: Kernel) -> None:
    """With figures kept open, the next cell draws into the same one, here and there, under the same
    number, and shows it once; closed there is closed here.
    """
    kernel.run(f"{KEEPS_OPEN}import matplotlib.pyplot as plt")
    ran = kernel.run("%%mecapy\nplt.figure(figsize=(3, 2)); plt.plot([1, 2]); plt.title('one');")
    assert len(ran.pictures) == 1, ran.pictures
    assert kernel.value("plt.get_fignums(), plt.gca().get_title()") == "([1], 'one')"
    assert not kernel.run("plt.xlabel('later'); fig = plt.gcf()").displays
    ran = kernel.run(
        "%%mecapy\nplt.plot([3, 4])\n"
        "print(plt.gcf() is fig, plt.get_fignums(), plt.gca().get_xlabel())\nplt.figure(7);"
    )
    assert ran.stdout == "True [1] later\n" and len(ran.pictures) == 1
    assert kernel.value("plt.get_fignums(), len(fig.axes[0].lines), plt.gcf() is fig") == (
        "([1, 7], 2, False)"
    )
    assert kernel.value("plt.figure(1) is fig, fig.canvas.manager.num") == "(True, 1)"
    assert kernel.run("%%mecapy\nplt.close('all')").ok
    assert kernel.value("plt.get_fignums()") == "[]"


def test_a_figure_that_is_not_open_is_not_opened(kernel: Kernel) -> None:
    """Drawing into the axes of a figure that was closed leaves pyplot without one."""
    kernel.run(f"{PLOT}")
    ran = kernel.run("%%mecapy\nax.plot([1, 2]); ax.set_title('there'); print(plt.get_fignums())")
    assert ran.stdout == "[]\n" and not ran.pictures
    assert kernel.value("ax.get_title(), len(ax.lines), plt.get_fignums()") == "('there', 1, [])"


@pytest.mark.cell("said", "An open figure that cannot travel")
def test_an_open_figure_that_cannot_travel_is_said(kernel: Kernel) -> None:
    """And the cell, which does not name it, runs."""
    kernel.run(f"{KEEPS_OPEN}{PLOT}fig.lock = __import__('threading').Lock()")
    ran = kernel.run("%%mecapy\nx = 1")
    assert ran.ok and "mecapy: an open figure cannot travel" in ran.stderr
    assert kernel.value("x, plt.get_fignums()") == "(1, [1])"


@pytest.mark.cell("travels", "`matplotlib.use('Agg')`")
def test_a_backend_that_shows_nothing_shows_nothing_there(kernel: Kernel) -> None:
    """A figure stays open and is not displayed; `use` in a cell holds afterwards, and so does going
    back.
    """
    kernel.run("import matplotlib; matplotlib.use('Agg')\nimport matplotlib.pyplot as plt")
    ran = kernel.run("%%mecapy\nplt.plot([1, 2]); print(plt.get_backend().lower())")
    assert ran.stdout == "agg\n" and not ran.pictures
    assert kernel.value("plt.get_fignums(), plt.get_backend().lower()") == "([1], 'agg')"
    kernel.run("plt.close('all')\n%matplotlib inline")
    ran = kernel.run("%%mecapy\nplt.plot([1, 2]);")
    assert len(ran.pictures) == 1
    assert kernel.run("%%mecapy\nimport matplotlib; matplotlib.use('svg')").ok
    assert kernel.value("plt.get_backend().lower()") == "'svg'"


def test_a_figure_of_a_notebook_that_shows_none_by_itself(kernel: Kernel) -> None:
    """After `plt.ioff()`, in the notebook or in the cell, until `plt.ion()`."""
    assert kernel.run("%matplotlib inline\nimport matplotlib.pyplot as plt\n_ = plt.ioff()").ok
    try:
        cell = "plt.figure(); plt.plot([1, 2]);"
        assert not kernel.run(f"%%mecapy\n{cell}").pictures
        assert kernel.run(f"%%mecapy\n_ = plt.ion(); {cell}").pictures
        assert kernel.value("plt.isinteractive()") == "True"
        assert not kernel.run(f"%%mecapy\n_ = plt.ioff(); {cell}").pictures
        assert kernel.value("plt.isinteractive()") == "False"
    finally:
        kernel.run("plt.close('all'); plt.ion()")
