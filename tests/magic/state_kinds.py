"""A line for each kind of state that travels: how a notebook sets it, and what its cells see."""

from __future__ import annotations

# kind: (imports, how a notebook sets it, what its next cell sees, another setting)
STATE: dict[str, tuple[str, str, str, str]] = {
    "random": ("import random", "random.seed(7)", "random.getstate()[1][:3]", "random.seed(8)"),
    "numpy.random": (
        "import numpy as np",
        "np.random.seed(7)",
        "np.random.get_state()[1][:3].tolist()",
        "np.random.seed(8)",
    ),
    "numpy.bufsize": (
        "import numpy as np",
        "np.setbufsize(4096)",
        "np.getbufsize()",
        "np.setbufsize(16384)",
    ),
    "numpy.errcall": (
        "import numpy as np",
        "np.seterrcall(lambda kind, flag: 1)",
        "np.geterrcall()(0, 0)",
        "np.seterrcall(lambda kind, flag: 2)",
    ),
    "numpy.printoptions": (
        "import numpy as np",
        "np.set_printoptions(precision=3)",
        "str(np.array([1/3]))",
        "np.set_printoptions(precision=5)",
    ),
    "numpy.errstate": (
        "import numpy as np",
        "np.seterr(all='ignore')",
        "np.geterr()['divide']",
        "np.seterr(all='print')",
    ),
    "matplotlib.rcParams": (
        "import matplotlib.pyplot as plt",
        "plt.style.use('dark_background'); plt.rcParams['lines.linewidth'] = 7",
        "plt.rcParams['lines.linewidth'], plt.rcParams['figure.facecolor']",
        "plt.rcParams['lines.linewidth'] = 9",
    ),
    "matplotlib.backend": (
        "import matplotlib",
        "matplotlib.use('agg')",
        "matplotlib.get_backend().lower()",
        "matplotlib.use('svg')",
    ),
    "matplotlib.interactive": (
        "import matplotlib.pyplot as plt",
        "get_ipython().run_line_magic('matplotlib', 'inline'); plt.ioff()",
        "plt.isinteractive()",
        "plt.ion()",
    ),
    "matplotlib.style": (
        "import matplotlib.pyplot as plt",
        "plt.style.library['thick'] = {'lines.linewidth': 9.0}",
        "dict(plt.style.library['thick'])",
        "plt.style.library['thick'] = {'lines.linewidth': 11.0}",
    ),
    "matplotlib.scale": (
        "from matplotlib.scale import LinearScale, get_scale_names, register_scale",
        "register_scale(type('Twice', (LinearScale,), {'name': 'twice', '__module__': "
        "'__main__'}))",
        "[name for name in get_scale_names() if name in ('twice', 'thrice')]",
        "register_scale(type('Thrice', (LinearScale,), {'name': 'thrice', '__module__': "
        "'__main__'}))",
    ),
    "matplotlib.projections": (
        "from matplotlib.axes import Axes; from matplotlib.projections import "
        "get_projection_names, register_projection",
        "register_projection(type('Mine', (Axes,), {'name': 'mine', '__module__': '__main__'}))",
        "[name for name in get_projection_names() if name in ('mine', 'his')]",
        "register_projection(type('His', (Axes,), {'name': 'his', '__module__': '__main__'}))",
    ),
    "figure formats": (
        "import matplotlib_inline.config, matplotlib_inline.backend_inline as inline",
        "inline.set_matplotlib_formats('svg')",
        "sorted(get_ipython().display_formatter.formatters['image/svg+xml'].type_printers) != [] "
        "or None",
        "inline.set_matplotlib_formats('png')",
    ),
    "pandas.options": (
        "import pandas as pd",
        "pd.options.display.max_rows = 7",
        "pd.options.display.max_rows",
        "pd.options.display.max_rows = 9",
    ),
    "sympy.printing": (
        "import sympy",
        "sympy.init_printing(use_latex=False, use_unicode=False)",
        "tuple in get_ipython().display_formatter.formatters['text/latex'].type_printers, "
        "sympy.pretty(sympy.pi)",
        "sympy.init_printing(use_latex='mathjax', use_unicode=True)",
    ),
    "sympy.parameters": (
        "import sympy; from sympy.core.parameters import global_parameters",
        "global_parameters.evaluate = False",
        "str(sympy.Symbol('x') + sympy.Symbol('x'))",
        "global_parameters.evaluate = True",
    ),
    "sympy.assumptions": (
        "import sympy; from sympy.assumptions import ask, global_assumptions as assumed, Q",
        "x = sympy.Symbol('x'); assumed.add(Q.positive(x))",
        "ask(Q.positive(sympy.Symbol('x'))), len(assumed)",
        "assumed.clear()",
    ),
    "warnings.filters": (
        "import warnings",
        "warnings.filterwarnings('error', message='mine')",
        "[f[0] for f in warnings.filters if f[1] is not None and f[1].pattern == 'mine'][:1]",
        "warnings.filterwarnings('ignore', message='mine')",
    ),
    "decimal.context": (
        "import decimal",
        "decimal.getcontext().prec = 7",
        "str(decimal.Decimal(1) / 3)",
        "decimal.getcontext().prec = 9",
    ),
    "decimal.signals": (
        "import decimal",
        "decimal.getcontext().traps[decimal.FloatOperation] = True",
        "repr(decimal.getcontext())",
        "decimal.getcontext().flags[decimal.Subnormal] = True",
    ),
    "decimal.default": (
        "import decimal",
        "decimal.DefaultContext.prec = 5",
        "decimal.DefaultContext.prec",
        "decimal.DefaultContext.prec = 28",
    ),
    "logging": (
        "import logging",
        "logging.basicConfig(level=logging.INFO, force=True); "
        "logging.getLogger('beam').setLevel(logging.DEBUG)",
        "logging.getLogger().level, logging.getLogger('beam').level, "
        "len(logging.getLogger().handlers)",
        "logging.getLogger('beam').setLevel(logging.ERROR)",
    ),
    "logging.settings": (
        "import logging, warnings",
        "logging.captureWarnings(True); logging.getLogger('beam').propagate = False",
        "warnings.showwarning.__module__, logging.getLogger('beam').propagate",
        "logging.captureWarnings(False); logging.getLogger('beam').propagate = True",
    ),
    "signals": (
        "import signal",
        "signal.signal(signal.SIGUSR1, lambda *_: 1)",
        "signal.getsignal(signal.SIGUSR1)()",
        "signal.signal(signal.SIGUSR1, lambda *_: 2)",
    ),
    "recursion limit": (
        "import sys",
        "sys.setrecursionlimit(7000)",
        "sys.getrecursionlimit()",
        "sys.setrecursionlimit(9000)",
    ),
    "shell": (
        "import os",
        "get_ipython().ast_node_interactivity = 'last_expr_or_assign'",
        "get_ipython().ast_node_interactivity",
        "get_ipython().ast_node_interactivity = 'last_expr'",
    ),
    "time zone": (
        "import os, time",
        "os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()",
        "time.strftime('%H:%M %Z', time.localtime(0))",
        "os.environ['TZ'] = 'Asia/Kolkata'; time.tzset()",
    ),
    "formatters": (
        "import os",
        "get_ipython().display_formatter.formatters['text/plain'].for_type(complex, "
        "lambda z, p, c: p.text('z1'))",
        "get_ipython().display_formatter.format(1j)[0]['text/plain']",
        "get_ipython().display_formatter.formatters['text/plain'].for_type(complex, "
        "lambda z, p, c: p.text('z2'))",
    ),
    "sys.path": (
        "import os, sys; os.makedirs('added', exist_ok=True)",
        "sys.path.insert(0, os.path.abspath('added')); sys.path += ['lib', '/elsewhere/lib']",
        "[p.startswith('/e') or os.path.relpath(p) for p in sys.path "
        "if p.endswith(('added', 'lib', 'late'))]",
        "sys.path.append('late')",
    ),
    "sys": (
        "import sys",
        "sys.tracebacklimit = 50; sys.solver_name = ['spooles']",
        "sys.tracebacklimit, sys.solver_name",
        "sys.tracebacklimit = 60",
    ),
    "sys.argv": ("import sys", "sys.argv = ['prog', '3']", "sys.argv", "sys.argv = ['prog', '4']"),
    "umask": (
        "import os",
        "os.umask(0o027)",
        "[(os.umask(mask), mask)[1] for mask in [os.umask(0o077)]]",
        "os.umask(0o022)",
    ),
    "digits of an integer": (
        "import sys",
        "sys.set_int_max_str_digits(9000)",
        "sys.get_int_max_str_digits()",
        "sys.set_int_max_str_digits(8000)",
    ),
    "socket timeout": (
        "import socket",
        "socket.setdefaulttimeout(3.5)",
        "socket.getdefaulttimeout()",
        "socket.setdefaulttimeout(60.0)",
    ),
    "calendar": (
        "import calendar",
        "calendar.setfirstweekday(calendar.SUNDAY)",
        "calendar.weekheader(2)",
        "calendar.setfirstweekday(calendar.MONDAY)",
    ),
    "codecs": (
        "import codecs",
        "codecs.register_error('mine', lambda error: ('?', error.end))",
        "'\\xe9'.encode('ascii', 'mine')",
        "codecs.register_error('mine', lambda error: ('!', error.end))",
    ),
    "garbage collector": (
        "import gc",
        "gc.disable(); gc.set_threshold(50_000, 11, 12)",
        "gc.isenabled(), gc.get_threshold()",
        "gc.enable()",
    ),
    "thread switching": (
        "import sys",
        "sys.setswitchinterval(0.5)",
        "sys.getswitchinterval()",
        "sys.setswitchinterval(0.25)",
    ),
    "thread stack": (
        "import threading",
        "threading.stack_size(2**20)",
        "[threading.stack_size(size) or size for size in [threading.stack_size()]]",
        "threading.stack_size(2**21)",
    ),
    "processes": (
        "import multiprocessing",
        "multiprocessing.set_start_method('spawn', force=True)",
        "multiprocessing.get_start_method()",
        "multiprocessing.set_start_method('fork', force=True)",
    ),
    "tempfile": (
        "import os, tempfile",
        "tempfile.tempdir = os.path.abspath('scratch')",
        "os.path.relpath(tempfile.gettempdir())",
        "tempfile.tempdir = os.path.abspath('other')",
    ),
    "csv": (
        "import csv",
        "csv.register_dialect('semi', delimiter=';'); csv.field_size_limit(99_999)",
        "(list(csv.reader(['a;b'], 'semi')), csv.field_size_limit())",
        "csv.register_dialect('semi', delimiter=':')",
    ),
    "gettext": (
        "import gettext",
        "gettext.textdomain('beam')",
        "gettext.textdomain()",
        "gettext.textdomain('plate')",
    ),
    "shutil": (
        "import shutil",
        "shutil.register_archive_format('mesh', lambda *a, **k: 'one')",
        "shutil.make_archive('x', 'mesh')",
        "shutil.register_archive_format('mesh', lambda *a, **k: 'two')",
    ),
    "sqlite3": (
        "import sqlite3",
        "sqlite3.register_adapter(complex, str)",
        "sqlite3.connect(':memory:').execute('select ?', (1j,)).fetchall()",
        "sqlite3.register_adapter(complex, abs)",
    ),
    "XML namespaces": (
        "import xml.etree.ElementTree as ET",
        "ET.register_namespace('fe', 'http://x')",
        "ET.tostring(ET.Element('{http://x}a'))",
        "ET.register_namespace('fem', 'http://x')",
    ),
    "zoneinfo": (
        "import zoneinfo",
        "zoneinfo.reset_tzpath(['/usr/share/zoneinfo'])",
        "zoneinfo.TZPATH",
        "zoneinfo.reset_tzpath(['/usr/lib/zoneinfo'])",
    ),
    "mimetypes": (
        "import mimetypes",
        "mimetypes.add_type('text/x-mesh', '.msh')",
        "mimetypes.guess_type('a.msh')",
        "mimetypes.add_type('text/x-mesh-2', '.msh')",
    ),
    "locale": (
        "import locale",
        "locale.setlocale(locale.LC_TIME, 'C.UTF-8')",
        "locale.setlocale(locale.LC_TIME)",
        "locale.setlocale(locale.LC_TIME, 'C')",
    ),
    "builtins": (
        "import builtins",
        "builtins.inch = 25.4",
        "inch",
        "builtins.inch = 2.54",
    ),
    "own modules": (
        "import sys, types; made_here = sys.modules['made_here'] = types.ModuleType('made_here')",
        "made_here.x = 1",
        "made_here.x",
        "made_here.x = 2",
    ),
    "environment": (
        "import os",
        "os.environ['BEAM_MODEL'] = 'fine'",
        "os.environ.get('BEAM_MODEL')",
        "del os.environ['BEAM_MODEL']",
    ),
}
