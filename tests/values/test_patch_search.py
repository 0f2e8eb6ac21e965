"""Which cells are followed by a search for what the notebook has put into modules, which takes
tens of milliseconds.
"""

from __future__ import annotations

import pytest

from mecapy_jupyter.travel.environment import patches


@pytest.mark.parametrize(
    "cell",
    [
        "pd.Series.rms = rms",
        "np.linalg . norm = own",
        "plt.rcParams['x'] = 3",
        "yaml.Loader.constructors['!x'] = f",
        "setattr(pd.Series, 'rms', rms)",
        "@pd.api.extensions.register_dataframe_accessor('geo')\nclass Geo: ...",
        "u.add_enabled_units([x])",
        "patch_sklearn()",
        "nest_asyncio.apply()",
    ],
)
def test_cells_that_may_set_something(cell: str) -> None:
    """Attributes, registries, and functions that are named after what they do."""
    assert patches.may_set(cell)


@pytest.mark.parametrize(
    "cell",
    [
        "df.apply(lambda row: row.a + row.b, axis=1)",
        "df.groupby('a').b.apply(np.sum)",
        "df.loc[3, 'a'] = 4",
        "df.iat[0, 0] = 1.0",
        "fig.add_subplot(121); ax.add_patch(mpatches.Circle((0, 0)))",
        "x = y.z == 3",
        "f(a, b=c.d)",
    ],
)
def test_cells_that_work_on_tables_and_figures(cell: str) -> None:
    """They are not searched after."""
    assert not patches.may_set(cell)
