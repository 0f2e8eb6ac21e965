"""Libraries whose state travels: how a notebook and a cell set it, and what is seen then."""

from __future__ import annotations

# kind: (what it needs, how a notebook sets it, what its next cell sees, its value, another setting,
# its value then)
LIBRARIES: dict[str, tuple[str, str, str, str, str, str]] = {
    "matplotlib.colormaps": (
        "matplotlib",
        "import matplotlib as mpl\nfrom matplotlib.colors import ListedColormap\n"
        "mpl.colormaps.register(ListedColormap(['red', 'blue'], name='two'), force=True)",
        "mpl.colormaps['two'].colors",
        "['red', 'blue']",
        "mpl.colormaps.register(ListedColormap(['red', 'lime'], name='two'), force=True)",
        "['red', 'lime']",
    ),
    "tqdm.pandas": (
        "pandas,tqdm",
        "import pandas as pd\nfrom tqdm import tqdm\ntqdm.pandas(disable=True)",
        "pd.Series([1, 2]).progress_apply(lambda x: 2 * x).tolist()",
        "[2, 4]",
        "pass",
        "[2, 4]",
    ),
    "nest_asyncio": (
        "nest_asyncio",
        "import asyncio, nest_asyncio\nnest_asyncio.apply()\nasync def five(): return 5",
        "asyncio.run(five())",
        "5",
        "pass",
        "5",
    ),
    "plotly.io": (
        "plotly",
        "import plotly.io as pio, plotly.graph_objects as go\n"
        "pio.templates['mine'] = go.layout.Template(layout_paper_bgcolor='red')\n"
        "pio.templates.default = 'plotly_dark+mine'",
        "go.Figure().layout.template.layout.paper_bgcolor",
        "'red'",
        "pio.templates.default = 'plotly'",
        "'white'",
    ),
    "plotly.express": (
        "plotly,pandas,numpy",
        "import plotly.express as px\npx.defaults.width = 321",
        "px.scatter(x=[1], y=[1]).layout.width",
        "321",
        "px.defaults.width = 123",
        "123",
    ),
    "bokeh": (
        "bokeh",
        "from bokeh.io import output_notebook\nfrom bokeh.io.state import curstate\n"
        "output_notebook(hide_banner=True)",
        "curstate().notebook",
        "True",
        "pass",
        "True",
    ),
    "altair": (
        "altair",
        "import altair as alt\nalt.data_transformers.disable_max_rows()\n"
        "alt.renderers.enable('mimetype')",
        "alt.data_transformers.options, alt.renderers.active",
        "({'max_rows': None}, 'mimetype')",
        "alt.renderers.enable('json')",
        "({'max_rows': None}, 'json')",
    ),
    "pyvista": (
        "pyvista",
        "import pyvista as pv\npv.set_plot_theme('dark')\npv.global_theme.font.size = 21",
        "pv.global_theme.background.name, pv.global_theme.font.size",
        "('black', 21)",
        "pv.global_theme.font.size = 22",
        "('black', 22)",
    ),
    "sklearn": (
        "sklearn,pandas",
        "import sklearn\nfrom sklearn.preprocessing import StandardScaler\nimport pandas as pd\n"
        "sklearn.set_config(transform_output='pandas')\ndf = pd.DataFrame({'a': [1.0, 2.0]})",
        "type(StandardScaler().fit_transform(df)).__name__",
        "'DataFrame'",
        "sklearn.set_config(transform_output='default')",
        "'ndarray'",
    ),
    "xarray": (
        "xarray",
        "import xarray as xr\nxr.set_options(keep_attrs=False)\n"
        "field = xr.DataArray([1.0, 2.0], attrs={'units': 'Pa'})",
        "(field * 2).mean().attrs",
        "{}",
        "xr.set_options(keep_attrs=True)",
        "{'units': 'Pa'}",
    ),
    "dask": (
        "dask",
        "import dask\ndask.config.set(scheduler='synchronous')",
        "dask.config.get('scheduler')",
        "'synchronous'",
        "dask.config.set(scheduler='threads')",
        "'threads'",
    ),
    "control": (
        "control",
        "import control\ncontrol.set_defaults('freqplot', dB=True)",
        "control.config.defaults['freqplot.dB']",
        "True",
        "control.set_defaults('freqplot', dB=False)",
        "False",
    ),
    "mpmath": (
        "mpmath",
        "import mpmath\nmpmath.mp.dps = 30",
        "str(mpmath.mpf(1) / 3)",
        "'0.333333333333333333333333333333'",
        "mpmath.mp.dps = 5",
        "'0.33333'",
    ),
    "mpmath.iv": (
        "mpmath",
        "import mpmath\nmpmath.iv.dps = 30",
        "mpmath.iv.dps",
        "30",
        "mpmath.iv.dps = 20",
        "20",
    ),
    "jax": (
        "jax",
        "import jax, jax.numpy as jnp\njax.config.update('jax_enable_x64', True)",
        "str(jnp.ones(2).dtype)",
        "'float64'",
        "jax.config.update('jax_enable_x64', False)",
        "'float32'",
    ),
    "pint": (
        "pint",
        "import pint\nureg = pint.UnitRegistry()\nureg.define('fatigue_cycle = [cyc]')\n"
        "ureg.formatter.default_format = '.1f~P'\npint.set_application_registry(ureg)\n"
        "n = pint.Quantity(1000, 'fatigue_cycle')",
        "str((n + 2 * ureg.fatigue_cycle) / pint.Quantity(2, 'hour'))",
        "'501.0 fatigue_cycle/h'",
        "ureg.formatter.default_format = '.2f~P'",
        "'501.00 fatigue_cycle/h'",
    ),
    "CoolProp": (
        "CoolProp",
        "import CoolProp.CoolProp as CP\nCP.set_reference_state('R134a', 'ASHRAE')",
        "round(CP.PropsSI('H', 'T', 300, 'Q', 0, 'R134a'))",
        "89045",
        "CP.set_reference_state('R134a', 'IIR')",
        "237189",
    ),
}
