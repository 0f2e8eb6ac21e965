"""Progress of a task: `mecapy_jupyter.track` and unchanged `tqdm` bars become frames for the live
block. tqdm is hooked only when a cell imports it. A moving bar on stderr prints nothing; its final
text is printed at its end. One on stdout prints as ever, because the text may be captured. A bar of
`tqdm.notebook` is a widget too. Bars that write elsewhere are left alone.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import weakref
from collections.abc import Callable
from typing import Any

from mecapy_jupyter.travel import loop_progress
from mecapy_jupyter.travel.environment import import_hook
from mecapy_worker.child.output import Outgoing, OutStream
from mecapy_worker.shared.messages import ProgressMessage

TEXT_CHARS = 1000
_latest: loop_progress.Latest | None = None
_hooked = set[str]()
_shown: weakref.WeakKeyDictionary[Any, loop_progress.Bar] = weakref.WeakKeyDictionary()


def connect(outgoing: Outgoing) -> None:
    """Send progress to `outgoing` from here on."""
    global _latest
    _latest = loop_progress.Latest(
        lambda fraction, text: outgoing.send(ProgressMessage(fraction, text[:TEXT_CHARS]))
    )
    loop_progress.bars, loop_progress.sink = loop_progress.Bars(), _latest.give
    if not _hooked:
        for name in _HOOKS:  # a preloaded module may have imported it
            import_hook.when_imported(name, functools.partial(_hook, name))
        _hooked.update(_HOOKS)


def finish() -> None:
    """The cell has ended: open bars keep their text."""
    for bar in [bar for bar in _shown if not bar.disable]:
        bar.disable = True  # it must not print again when it is collected
        if not bar.gui and _is_quiet(bar):  # a widget keeps what it shows
            bar.fp.write(f"{bar}\n")
    if _latest is not None:
        _latest.flush()


def _ours(bar: Any) -> bool:
    """Whether a bar is for the notebook: it writes to this process's stdout or stderr."""
    stream = getattr(bar.fp, "_wrapped", bar.fp)
    return isinstance(stream, OutStream) and stream.mine


def _is_quiet(bar: Any) -> bool:
    return getattr(bar.fp, "_wrapped", bar.fp).name == "stderr"


def _hook_std(module: Any) -> None:
    """Every tqdm draws through these two methods of its base class."""
    bar_class = module.tqdm
    display, clear = bar_class.display, bar_class.clear

    def shown(self: Any, msg: str | None = None, pos: int | None = None) -> Any:
        if not _ours(self):
            return display(self, msg, pos)
        # tqdm closes it: `msg` is empty if nothing stays; otherwise tqdm adds the line break
        if self.disable:
            if msg is None and _is_quiet(self):
                self.fp.write(str(self))
            loop_progress.bars.close(_shown.pop(self, loop_progress.Bar()))
        else:
            _tell(self)
        if not _is_quiet(self):
            return display(self, msg, pos)
        return not self.disable or msg is None

    def cleared(self: Any, nolock: bool = False) -> None:
        if not (_ours(self) and _is_quiet(self)):
            clear(self, nolock)

    bar_class.display, bar_class.clear, bar_class.__reduce__ = shown, cleared, _travels


_NUMBERS = ("n", "total", "desc", "postfix", "miniters", "last_print_n", "last_print_t")


def _travels(bar: Any) -> tuple[Any, ...]:
    """How a bar in a variable comes home: without its stream and locks. The numbers are its state,
    so that a bar of the notebook gets them.
    """
    module = "tqdm.auto" if type(bar).__module__ != "tqdm.std" else "tqdm.std"
    numbers = {name: getattr(bar, name) for name in _NUMBERS if hasattr(bar, name)}
    return loop_progress.bar_again, (module,), numbers


def _tell(bar: Any) -> None:
    shown = _shown.get(bar)
    if shown is None:
        shown = _shown[bar] = loop_progress.Bar()
    about: dict[str, Any] = bar.format_dict
    done, total, rate = about["n"], about["total"], about["rate"]
    scaled: Callable[[float], str] = bar.format_sizeof if about["unit_scale"] else "{:,.6g}".format
    shown.description = (about["prefix"] or "").rstrip(": ")
    shown.done = done
    shown.total = total or None
    shown.note = about["postfix"] or ""
    unit = "" if about["unit"] == "it" else about["unit"].strip()
    shown.count = (f"{scaled(done)}/{scaled(total)}" if total else scaled(done)) + (
        f" {unit}" if unit else ""
    )
    rate = rate or (done - about["initial"]) / (about["elapsed"] or 1.0)
    shown.left_s = (total - done) / rate if total and rate else None
    loop_progress.bars.show(shown)


def _hook_notebook(module: Any) -> None:
    """Its widgets go to the page, and the live block shows the same bar."""
    bar_class = module.tqdm_notebook
    display = bar_class.display

    def shown(self: Any, msg: str | None = None, *args: Any, **kwargs: Any) -> Any:
        if self.disable:
            loop_progress.bars.close(_shown.pop(self, loop_progress.Bar()))
        elif _ours(self):
            _tell(self)
        return display(self, msg, *args, **kwargs)

    bar_class.display = shown


def _hook_auto(module: Any) -> None:
    """Makes tqdm detect a notebook, which it decides by the loaded modules."""
    notebook: Any = importlib.import_module("tqdm.notebook")
    if notebook.IProgress is not None:
        module.tqdm, module.trange = notebook.tqdm, notebook.trange


_HOOKS: dict[str, Callable[[Any], None]] = {
    "tqdm.std": _hook_std,
    "tqdm.notebook": _hook_notebook,
    "tqdm.autonotebook": _hook_auto,
}


def _hook(name: str) -> None:
    with contextlib.suppress(Exception):  # another tqdm: its bars print as usual
        _HOOKS[name](sys.modules[name])
