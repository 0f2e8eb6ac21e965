"""State that plotting libraries keep for the whole process: colour maps, themes, renderers.

Entries of the table in `library_state`. It never imports a package. Known for matplotlib 3.8 to
3.10, plotly 5 to 7, bokeh 3, altair 5 and 6, pyvista 0.43 to 0.49.
"""

from __future__ import annotations

import importlib
import pickle
import sys
from typing import Any

from mecapy_jupyter.travel.environment import state_pickler
from mecapy_jupyter.travel.environment.state_kind import StateKind, library

_INLINE = "module://matplotlib_inline.backend_inline"
_DRAWING_FILES = frozenset({"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"})


def _backend() -> str | None:
    """A back end that draws into files; a worker has no window for the others."""
    # does not choose a back end
    name: object = dict[str, Any].get(library("matplotlib").rcParams, "backend")
    lower = name.lower() if isinstance(name, str) else ""
    return lower if lower in _DRAWING_FILES else None


def _set_backend(name: str) -> None:
    library("matplotlib").use(name)


def _is_interactive() -> bool:
    """False after `plt.ioff()`, which keeps figures from showing by themselves. IPython turns it on
    when it sets pyplot up, and leaves this mark.
    """
    is_set_up = hasattr(library("matplotlib.pyplot").draw_if_interactive, "called")
    return not is_set_up or bool(library("matplotlib").is_interactive())


def _set_interactive(on: bool) -> None:
    library("matplotlib").interactive(on)


class _OfALibrary:
    """Stands for a colour map that a package registers: the package is imported when it is used."""

    def __init__(self, module: str, name: str) -> None:
        self._home = module, name

    def copy(self) -> Any:
        module, name = self._home
        return getattr(importlib.import_module(module), name).copy()


def _colour_maps() -> Any:
    """Name → pickle, or seaborn's name, of colour maps that are not matplotlib's own."""
    registry, seaborn = library("matplotlib").colormaps, sys.modules.get("seaborn.cm")
    builtin: set[str] = set(registry._builtin_cmaps)
    return {
        name: "seaborn.cm" if hasattr(seaborn, name) else state_pickler.dumps(registry._cmaps[name])
        for name in registry
        if name not in builtin and not isinstance(registry._cmaps[name], _OfALibrary)
    } or None


def _set_colour_maps(state: dict[str, str | bytes]) -> None:
    maps: dict[str, Any] = library("matplotlib").colormaps._cmaps
    for name, data in state.items():
        if isinstance(data, str):
            maps.setdefault(name, _OfALibrary(data, name))
        else:
            maps[name] = pickle.loads(data)  # noqa: S301 our own state


def _stylelibrary() -> Any:
    """The default of `style.library`, with matplotlib's own styles."""
    return sys.modules.get("matplotlib.style.core") or library("matplotlib.style")


def _styles() -> dict[str, dict[str, Any]]:
    home = _stylelibrary()
    own = home.library.keys() - home._base_library.keys()
    return {name: dict[str, Any](home.library[name]) for name in sorted(own)}


def _set_styles(state: dict[str, dict[str, Any]]) -> None:
    _stylelibrary().library.update(state)


_PLOTLY = frozenset(
    (
        *("ggplot2", "seaborn", "simple_white", "plotly", "plotly_white", "plotly_dark", "none"),
        *("presentation", "xgridoff", "ygridoff", "gridon"),
    )
)


def _plotly() -> dict[str, Any]:
    io = library("plotly.io")
    templates = {name: io.templates[name].to_plotly_json() for name in set(io.templates) - _PLOTLY}
    return {"default": io.templates.default, "renderer": io.renderers.default, "own": templates}


def _set_plotly(state: dict[str, Any]) -> None:
    io = library("plotly.io")
    for name, template in state["own"].items():
        io.templates[name] = template
    io.templates.default, io.renderers.default = state["default"], state["renderer"]


def _plotly_express() -> dict[str, Any]:
    defaults = library("plotly.express").defaults
    return {name: getattr(defaults, name) for name in defaults.__slots__}


def _set_plotly_express(state: dict[str, Any]) -> None:
    for name, value in state.items():
        setattr(library("plotly.express").defaults, name, value)


def _bokeh() -> Any:
    state = library("bokeh.io.state").curstate()
    return {"notebook": state._notebook_type} if state._notebook else None


def _set_bokeh(state: dict[str, Any]) -> None:
    """Like `output_notebook`, but the page already has the scripts."""
    io = importlib.import_module("bokeh.io.notebook")
    io.CommsHandle  # noqa: B018 its hooks are there with the module
    library("bokeh.io.state").curstate().output_notebook(state["notebook"] or "jupyter")


def _altair_registries() -> dict[str, Any]:
    altair = library("altair")
    themes = next(
        (
            module.themes
            for name, module in list(sys.modules.items())
            if name.startswith("altair.vegalite.v") and name.endswith(".theme")
        ),
        None,
    )
    named = {"renderers": altair.renderers, "data_transformers": altair.data_transformers}
    return named | ({"themes": themes} if themes is not None else {})


def _altair() -> dict[str, Any]:
    return {
        kind: (
            registry._active_name,
            dict(registry._options),
            {
                name: state_pickler.dumps(plugin)
                for name, plugin in registry._plugins.items()
                if not str(getattr(plugin, "__module__", "altair")).startswith(("altair", "vl_"))
            },
        )
        for kind, registry in _altair_registries().items()
    }


def _set_altair(state: dict[str, Any]) -> None:
    registries = _altair_registries()
    for kind, (active, options, plugins) in state.items():
        for name, data in plugins.items():
            registries[kind].register(name, pickle.loads(data))  # noqa: S301 our own state
        registries[kind].enable(active, **options)


def _pyvista() -> dict[str, Any]:
    pyvista = library("pyvista")
    theme: dict[str, Any] = pyvista.global_theme.to_dict()
    theme.pop("jupyter_extension_available", None)  # detected at run time, not set
    return {"theme": theme, "off_screen": pyvista.OFF_SCREEN}


def _set_pyvista(state: dict[str, Any]) -> None:
    pyvista = library("pyvista")
    pyvista.global_theme.load_theme(pyvista.global_theme.from_dict(state["theme"]))
    pyvista.OFF_SCREEN = state["off_screen"]


PLOTTING: dict[str, StateKind] = {
    "matplotlib.backend": StateKind("matplotlib", _backend, _set_backend, _INLINE),
    "matplotlib.interactive": StateKind(
        "matplotlib.pyplot", _is_interactive, _set_interactive, fresh=True
    ),
    "matplotlib.colormaps": StateKind("matplotlib", _colour_maps, _set_colour_maps),
    "matplotlib.style": StateKind("matplotlib.style", _styles, _set_styles, {}),
    "plotly.io": StateKind("plotly.io", _plotly, _set_plotly),
    "plotly.express": StateKind("plotly.express", _plotly_express, _set_plotly_express),
    "bokeh": StateKind("bokeh.io.state", _bokeh, _set_bokeh),
    "altair": StateKind("altair", _altair, _set_altair),
    "pyvista": StateKind("pyvista", _pyvista, _set_pyvista),
}
