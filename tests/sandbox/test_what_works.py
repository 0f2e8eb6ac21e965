"""What scientific code does every day must work inside."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from running import options, run

from mecapy_worker.pool.pool import Pool

pytestmark = pytest.mark.asyncio(loop_scope="module")

CODE = {
    "threaded linear algebra": "import numpy as np; a = np.random.rand(600, 600); result = "
    "bool(np.allclose(np.linalg.solve(a, a @ np.ones(600)), 1))",
    "scipy": "from scipy.integrate import solve_ivp; result = bool(abs(solve_ivp(lambda t, y: -y, "
    "(0, 1), [1.0]).y[0, -1] - 0.3679) < 0.01)",
    "threads": "from concurrent.futures import ThreadPoolExecutor as P\nwith P(16) as p: result = "
    "sum(p.map(len, ['a'] * 100)) == 100",
    "fork pool": "import multiprocessing as m\nwith m.get_context('fork').Pool(2) as p: result = "
    "p.map(abs, [-1, -2]) == [1, 2]",
    "spawn pool": "import multiprocessing as m\nwith m.get_context('spawn').Pool(1) as p: result "
    "= p.map(abs, [-1, -2]) == [1, 2]",
    "process executor": "from concurrent.futures import ProcessPoolExecutor as P\nwith P(2) as p: "
    "result = list(p.map(abs, [-1, -2])) == [1, 2]",
    "queue and lock": "import multiprocessing as m\nq = m.Queue(); p = m.Process(target=q.put, "
    "args=(5,)); p.start(); result = q.get() == 5; p.join()",
    "shared memory": "from multiprocessing.shared_memory import SharedMemory as S\ns = "
    "S(create=True, size=100); result = S(s.name).size >= 100; s.close(); s.unlink()",
    "subprocess": "import subprocess; result = subprocess.run(['sh', '-c', 'echo hi | tr h H'], "
    "capture_output=True, text=True).stdout == 'Hi\\n'",
    "own session": "import subprocess; result = subprocess.run(['true'], "
    "start_new_session=True).returncode == 0",
    "python": "import subprocess, sys; result = subprocess.run([sys.executable, '-c', 'import "
    "json'], check=True).returncode == 0",
    "asyncio": "import asyncio\nasync def f(): await asyncio.sleep(0.01); return True\nresult = "
    "asyncio.run(f())",
    "asyncio subprocess": "import asyncio\nasync def f(): return await (await "
    "asyncio.create_subprocess_exec('true')).wait()\nresult = asyncio.run(f()) == 0",
    "temporary files": "import tempfile, os\nwith tempfile.NamedTemporaryFile('w+') as f: "
    "f.write('x'); result = f.name.startswith(os.environ['TMPDIR'])",
    "rename across folders": "import os; os.mkdir('a'); os.mkdir('b'); open('a/f', "
    "'w').write('x'); os.rename('a/f', 'b/f'); result = open('b/f').read() == 'x'",
    "time zones": "from zoneinfo import ZoneInfo; result = str(ZoneInfo('Europe/Paris')) == "
    "'Europe/Paris'",
    "end own processes": "import subprocess; p = subprocess.Popen(['sleep', '100']); "
    "p.terminate(); result = p.wait() == -15",
    "compiled callbacks": "import ctypes; f = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 5); result = "
    "f() == 5",
    "run own program": "import os, subprocess; open('p', 'w').write('#!/bin/sh\\necho 5\\n'); "
    "os.chmod('p', 0o700); result = subprocess.check_output(['./p']) == b'5\\n'",
    "memory map": "import mmap; open('f', 'wb').write(b'x' * 8192); f = open('f', 'r+b'); m = "
    "mmap.mmap(f.fileno(), 0); m[0] = 65; result = m[:2] == b'Ax'",
    "home": "import os, pathlib; p = pathlib.Path.home() / '.thing'; p.write_text('x'); result = "
    "p.exists() and os.listdir('.') == []",
    "output file": "(outbox / 'result').write_bytes(b'x'); result = True",
    "plots": "import matplotlib; matplotlib.use('agg')\nimport matplotlib.pyplot as p; p.plot([1, "
    "2]); p.title('$x^2$'); p.savefig('f.png'); p.savefig('f.svg'); p.savefig('f.pdf'); result = "
    "True",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    preload = ("numpy", "scipy.integrate", "matplotlib.pyplot")
    async with Pool(
        options(tmp_path_factory.mktemp("stack"), sandbox="strict", preload=preload)
    ) as pool:
        yield pool


@pytest.mark.parametrize("name", CODE)
async def test_works_inside(stack, name):
    """It works in a child as it does outside."""
    assert (await run(stack, CODE[name])).result is True


async def test_zygote_is_single_threaded(stack):
    """With the scientific stack imported the zygote still has one thread, while its children
    compute with as many as the machine has.
    """
    assert stack.report.threads == 1
    code = """
import os, threading, numpy as np
a = np.random.rand(1500, 1500)
a @ a
result = len(os.listdir('/proc/self/task'))
"""
    assert (await run(stack, code)).result >= min(2, len(__import__("os").sched_getaffinity(0)))
    assert stack.report.packages["numpy"]
