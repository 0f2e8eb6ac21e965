# ruff: noqa: E501 (a line of code to run stands better on one line)
"""What a child must not be able to do, tried for real against targets that are really there."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import run, serves

from mecapy_worker import libc, seccomp

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Each ends with an OSError when it is stopped.
ATTACKS = {
    "tcp": "import socket; socket.create_connection(('127.0.0.1', port), 2)",
    "udp": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', port))",
    "unix_socket": "import socket; socket.socket(socket.AF_UNIX).connect(unix)",
    "datagram_pair": "import socket; a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); a.sendto(b'x', unix_datagram)",
    "netlink": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "read_file": "open(secret).read()",
    "read_through_link": "import os; os.symlink(secret, 'link' + str(os.getpid())); open('link' + str(os.getpid())).read()",
    "write_file": "open(secret, 'a').write('')",
    "list_folder": "import os; os.listdir(os.path.dirname(secret))",
    "list_root": "import os; os.listdir('/')",
    "write_standard_library": "import os; open(os.__file__, 'a')",
    "write_tmp": "import os; p = '/tmp/mecapy-attack-' + str(os.getpid()); open(p, 'w'); os.unlink(p)",
    "environment": "assert b'canary' in open(f'/proc/{victim}/environ', 'rb').read()",
    "memory": "open(f'/proc/{victim}/mem', 'rb')",
    "descriptors": "import os; os.readlink(f'/proc/{victim}/fd/0')",
    "signal": "import os; os.kill(victim, 0)",
    "limits": "import resource; resource.prlimit(victim, resource.RLIMIT_CORE, (0, 0))",
    "affinity": "import os; os.sched_setaffinity(victim, os.sched_getaffinity(0))",
    "priority": "import os; os.setpriority(os.PRIO_PROCESS, victim, 1)",
    "shared_memory": "import ctypes; c = ctypes.CDLL(None, use_errno=True)\nif c.shmget(0, 4096, 0o1600) < 0: raise OSError(ctypes.get_errno())",
    "ptrace": "import ctypes; c = ctypes.CDLL(None, use_errno=True)\n"
    "if c.ptrace(16, victim, 0, 0) < 0: raise OSError(ctypes.get_errno())\nc.ptrace(17, victim, 0, 0)",
    "namespace": "import ctypes; c = ctypes.CDLL(None, use_errno=True)\nif c.unshare(0x20000000 | 0x400) < 0: raise OSError(ctypes.get_errno())",
}


@pytest.fixture(scope="module")
def targets() -> Iterator[dict[str, Any]]:
    """A listening TCP socket, unix sockets, a readable file and a process of our own user: all within reach of an unconfined process."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        secret = Path(folder, "secret")
        secret.write_text("canary")
        tcp.bind(("127.0.0.1", 0))
        unix.bind(f"{folder}/unix")
        datagram.bind(f"{folder}/datagram")
        tcp.listen(64)
        unix.listen(64)
        victim = subprocess.Popen([sys.executable, "-c", "input()"], env={"SECRET": "canary"}, stdin=subprocess.PIPE)
        places = {"secret": str(secret), "port": tcp.getsockname()[1], "unix": f"{folder}/unix", "unix_datagram": f"{folder}/datagram"}
        yield places | {"victim": victim.pid}
        victim.kill()
        victim.communicate()
        datagram.close()


@pytest.mark.parametrize("name", ATTACKS)
async def test_attack_is_stopped(pool, targets, name):
    """The attack ends with an error of the kernel, its target lives, and the next task is served."""
    ran = await run(pool, ATTACKS[name], **targets)
    assert ran.error in ("PermissionError", "OSError"), ran.frames
    assert await serves(pool)


async def test_attacks_are_real(targets):
    """Without confinement every one of these attacks succeeds, so that being stopped means something."""
    if os.geteuid() != 0:
        pytest.skip("some need root to succeed")
    for name, code in ATTACKS.items():
        script = f"globals().update({targets!r})\n{code}"
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True, cwd=tempfile.gettempdir()
        )
        assert done.returncode == 0, (name, done.stderr)


async def test_every_refused_call(pool):
    """Every call of the table is refused by the filter, whatever its arguments."""
    which = {"x86_64": 0, "aarch64": 1}[libc.MACHINE]
    numbers = {name: number[which] for name, number in seccomp.NUMBERS.items() if number[which] is not None}
    code = """
import ctypes
c = ctypes.CDLL(None, use_errno=True)
result = {}
for name, number in numbers.items():
    if c.syscall(number, 0, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() not in (1, 38):
        result[name] = ctypes.get_errno()
"""
    assert (await run(pool, code, numbers=numbers)).result == {}


@pytest.mark.skipif(libc.MACHINE != "x86_64", reason="only x86_64 has a second table of calls")
async def test_second_table_of_calls_kills(pool):
    """A call by the x32 numbers, which no rule names, ends the child."""
    ran = await run(pool, "import ctypes; ctypes.CDLL(None).syscall(0x40000000 + 39)")
    assert ran.exit == {"signal": signal.SIGSYS}
    assert await serves(pool)


async def test_other_childs_folder(pool):
    """A child can neither read nor write in the folder of another that runs beside it."""
    async with pool.child() as neighbour:
        code = "import os\ntry: open(os.path.join(other, 'f'), 'w')\nexcept OSError: pass\nresult = os.listdir(other)"
        assert (await run(pool, code, other=str(neighbour.folder))).error == "PermissionError"
        assert list(neighbour.folder.iterdir()) == []


async def test_no_secret_in_the_environment(pool, monkeypatch):
    """Neither environment, nor what the kernel shows of it, holds anything of the worker's; and no capability is left but to look into folders."""
    code = """
import os
result = [open('/proc/self/environ').read(), dict(os.environ), [l for l in open('/proc/self/status') if l.startswith('Cap')]]
"""
    shown, environment, capabilities = (await run(pool, code)).result
    assert "MECAPY" not in shown + str(environment) and "PYTEST" not in shown + str(environment)
    assert all(int(line.split()[1], 16) in (0, 1 << libc.CAP_DAC_READ_SEARCH) for line in capabilities)


async def test_no_descriptor_is_inherited(pool):
    """A child has its null input, two outputs and its channel, and nothing else open."""
    assert (await run(pool, "import os; result = sorted(int(n) for n in os.listdir('/proc/self/fd'))")).result[:4] == [0, 1, 2, 3]
    assert len((await run(pool, "import os; result = os.listdir('/proc/self/fd')")).result) == 5  # the fifth lists
