"""What a task must not be able to do: each row's code ends with an OSError when it is stopped.

`hold` in the names the code sees: `worker`, `zygote` and `neighbour` are pids, `theirs` the
neighbour's folder, `calls` numbers of system calls.
"""

from __future__ import annotations

from mecapy_worker.sandbox import call_numbers
from mecapy_worker.shared import libc

WHICH = {"x86_64": 0, "aarch64": 1}.get(libc.MACHINE, 0)
CALLS = {name: number[WHICH] for name, number in call_numbers.NUMBERS.items()} | {
    "pidfd_open": 434,
    "clone": (56, 220)[WHICH],
}

# What the attacks are written with.
TOOLS = """
import ctypes, errno, os, resource, signal, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    "A raw system call; OSError when the kernel says no."
    padded = [ctypes.c_long(a) if isinstance(a, int) else a
              for a in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
    ctypes.set_errno(0)
    answer = libc.syscall(ctypes.c_long(calls[name]), *padded)
    if answer < 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer
"""

FILES = {
    "worker's environment": "assert open(f'/proc/{worker}/environ', 'rb').read()",
    "worker's memory": "open(f'/proc/{worker}/mem', 'rb')",
    "worker's memory map": "open(f'/proc/{worker}/maps').read()",
    "worker's descriptors": "os.readlink(f'/proc/{worker}/fd/0')",
    "worker's root": "os.listdir(f'/proc/{worker}/root')",
    "zygote's environment": "open(f'/proc/{zygote}/environ', 'rb').read()",
    "zygote's memory": "open(f'/proc/{zygote}/mem', 'rb')",
    "neighbour's environment": "open(f'/proc/{neighbour}/environ', 'rb').read()",
    "neighbour's memory": "open(f'/proc/{neighbour}/mem', 'rb')",
    "neighbour's descriptors": "os.readlink(f'/proc/{neighbour}/fd/1')",
    "neighbour's working directory": "os.listdir(f'/proc/{neighbour}/cwd/')",
    "neighbour's folder, listed": "os.listdir(theirs)",
    "neighbour's folder, read": "open(theirs + '/mine').read()",
    "neighbour's folder, written": "open(theirs + '/planted', 'w'); os.unlink(theirs + '/planted')",
    "scratch of all, listed": "os.listdir(os.path.dirname(os.path.dirname(theirs)))",
    "symlink out": "os.symlink(theirs + '/mine', f'link-{os.getpid()}'); "
                   "open(f'link-{os.getpid()}').read()",
    "symlink out, written": "os.symlink(theirs + '/x', f'to-{os.getpid()}'); "
                            "open(f'to-{os.getpid()}', 'w'); os.unlink(theirs + '/x')",
    "hard link out": "os.link(theirs + '/mine', f'hard-{os.getpid()}'); "
                     "open(f'hard-{os.getpid()}').read()",
    "path out by dots": "open('../' * 40 + theirs.lstrip('/') + '/mine').read()",
    "path out by /proc/self/root": "open(f'/proc/self/root{theirs}/mine').read()",
    "rename out": "open('x', 'w'); os.rename('x', theirs + '/renamed'); os.unlink(theirs + "
                  "'/renamed')",
    "truncate outside": "os.truncate(theirs + '/mine', 16)",
    "neighbour's folder, looked at": "os.stat(theirs)",
    "neighbour's file, looked at": "os.stat(theirs + '/mine')",
    "neighbour's folder, entered": "os.chdir(theirs)",
    "object store, looked at": "os.stat(blobs)",
    "object store, entered": "os.chdir(blobs)",
    "worker's log, looked at": "os.stat(os.path.dirname(blobs) + '/worker.log')",
    "files of the machine, looked at": "os.stat('/etc/shadow')",
    "object store, read": "os.listdir(blobs)",
    "object store, written": "open(blobs + '/planted', 'w'); os.unlink(blobs + '/planted')",
    "scratch of all, closed": "p = os.path.dirname(os.path.dirname(theirs)); os.chmod(p, "
                              "os.stat(p).st_mode & 0o7777)",
    "neighbour's folder, closed": "os.chmod(theirs, os.stat(theirs).st_mode & 0o7777)",
    "object store, closed": "os.chmod(blobs, os.stat(blobs).st_mode & 0o7777)",
    "object store, closed by /proc/self/root": "os.chmod(f'/proc/self/root{blobs}', "
                                               "os.stat(blobs).st_mode & 0o7777)",
    "object store, dated": "os.utime(blobs)",
    "object store, given away": "os.chown(blobs, os.stat(blobs).st_uid, -1)",
    "object store, marked": "os.setxattr(blobs, 'user.attack', b'x'); os.removexattr(blobs, "
                            "'user.attack')",
    "root folder, listed": "os.listdir('/')",
    "/tmp, written": "p = f'/tmp/mecapy-attack-{os.getpid()}'; open(p, 'w'); os.unlink(p)",
    "standard library, written": "open(os.__file__, 'a')",
    "mecapy's code, written": "import mecapy_worker.child.child as c; open(c.__file__, 'a')",
    "zygote's home, written": "open(shared + '/planted', 'w'); os.unlink(shared + '/planted')",
    "shadow passwords": "open('/etc/shadow').read()",
    "kernel's settings, written": "p = '/proc/sys/kernel/hostname'; open(p, 'a')",
    "control groups, written": (
        "os.mkdir(f'/sys/fs/cgroup/memory/attack-{os.getpid()}')\n"
        "os.rmdir(f'/sys/fs/cgroup/memory/attack-{os.getpid()}')"
    ),
    "own oom score, lowered": "open('/proc/self/oom_score_adj', 'w').write('-900')",
    "a device, made": "os.mknod(f'dev-{os.getpid()}', 0o600 | 0o020000, os.makedev(1, 1))",
    "kernel's messages": "open('/proc/kmsg', 'rb')",
}  # fmt: skip

NETWORK = {
    "store's port": "socket.create_connection(('127.0.0.1', store), 2)",
    "Redis's port": "socket.create_connection(('127.0.0.1', redis), 2)",
    "gateway's port": "socket.create_connection(('127.0.0.1', gateway), 2)",
    "metadata address": "s = socket.socket(); s.setblocking(False)\ntry: "
                        "s.connect(('169.254.169.254', 80))\nexcept BlockingIOError: pass",
    "TCP over IPv6": "socket.socket(socket.AF_INET6).close()",
    "TCP fast open": "s = socket.socket(); s.setblocking(False)\ntry: s.sendto(b'x', 0x20000000, "
                     "('127.0.0.1', redis))\nexcept BlockingIOError: pass",
    "ports of others, listed": "if f':{gateway:04X} ' not in open('/proc/net/tcp').read(): raise "
                               "PermissionError(errno.EPERM, '')",
    "unix sockets of others, listed": "if unix not in open('/proc/net/unix').read(): raise "
                                      "PermissionError(errno.EPERM, '')",
    "listening": "socket.create_server(('127.0.0.1', 0))",
    "UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', redis))",
    "raw packets": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "packet socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "vsock": "socket.socket(40, socket.SOCK_STREAM)",
    "crypto socket": "socket.socket(38, socket.SOCK_SEQPACKET)",
    "unix socket": "socket.socket(socket.AF_UNIX).connect(unix)",
    "abstract unix socket": "socket.socket(socket.AF_UNIX).connect(chr(0) + abstract)",
    "datagram pair to elsewhere": "a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); "
                                  "a.sendto(b'x', datagram)",
}  # fmt: skip

PROCESSES = {
    "processes of others, listed": "if not {worker, zygote, neighbour} & {int(name) for name in "
                                   "os.listdir('/proc') if name.isdigit()}: raise "
                                   "ProcessLookupError(errno.ESRCH, '')",
    "its own init, signalled": "os.kill(1, 0)",
    "signal to the worker": "os.kill(worker, 0)",
    "signal to the zygote": "os.kill(zygote, 0)",
    "signal to the neighbour": "os.kill(neighbour, 0)",
    "signal to the neighbour's group": "os.killpg(neighbour, 0)",
    "signal to a thread of the worker": "call('tgkill', worker, worker, 0)",
    "signal by pidfd": "fd = os.pidfd_open(worker); signal.pidfd_send_signal(fd, 0)",
    "queued signal": "call('rt_sigqueueinfo', worker, 0, "
                     "ctypes.create_string_buffer(struct.pack('iii', 0, 0, -1), 128))",
    "a descriptor's signals to the worker": "import fcntl\nfcntl.fcntl(os.pipe()[0], 8, worker)",
    "a descriptor's signals to a thread of the worker": "import fcntl\nfcntl.fcntl(os.pipe()[0], "
                                                        "15, struct.pack('ii', 0, worker))",
    "a descriptor's signals, chosen": "import fcntl\nfcntl.fcntl(os.pipe()[0], 10, 9)",
    "a descriptor's signals, by ioctl": "import fcntl\nfcntl.ioctl(socket.socketpair()[0], "
                                        "0x8901, struct.pack('i', worker))",
    "a descriptor's signals, by a socket's ioctl": (
        "import fcntl\nfcntl.ioctl(socket.socketpair()[0], 0x8902, struct.pack('i', worker))"
    ),
    "a lease on a file": "import fcntl\nfcntl.fcntl(os.open('leased', os.O_CREAT | os.O_RDONLY), "
                         "1024, 0)",
    "ptrace of the worker": "call('ptrace', 16, worker)\nos.waitpid(worker, "
                            "0x40000000)\ncall('ptrace', 17, worker)",
    "ptrace of the neighbour": "call('ptrace', 16, neighbour)\nos.waitpid(neighbour, "
                               "0x40000000)\ncall('ptrace', 17, neighbour)",
    "process_vm_readv": "b = ctypes.create_string_buffer(8); v = (ctypes.c_void_p * "
                        "2)(ctypes.addressof(b), 8); call('process_vm_readv', neighbour, v, 1, v, "
                        "1)",
    "descriptor of the worker by pidfd": "call('pidfd_getfd', call('pidfd_open', worker), 0)",
    "limits of the worker": "resource.prlimit(worker, resource.RLIMIT_CORE, "
                            "resource.prlimit(worker, resource.RLIMIT_CORE))",
    "processors of the worker": "os.sched_setaffinity(worker, os.sched_getaffinity(worker))",
    "scheduling of the worker": "os.sched_setscheduler(worker, os.SCHED_OTHER, os.sched_param(0))",
    "priority of the worker": "os.setpriority(os.PRIO_PROCESS, worker, 0)",
    "priority of all the user's": "os.setpriority(os.PRIO_USER, os.getuid(), 0)",
    "input priority of the worker": "call('ioprio_set', 1, worker, 0)",
    "pages of the worker": "call('move_pages', worker, 0, 0, 0, 0, 0)",
    "comparing descriptors": "call('kcmp', worker, zygote, 0, 0, 0)",
}  # fmt: skip

# getpid by the old gate, where the filter's numbers mean other calls.
INT80 = (
    "import mmap\nm = mmap.mmap(-1, 4096, prot=7); "
    "m.write(bytes.fromhex('b814000000cd80c3')); "
    "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()"
)

KERNEL = {
    "setuid(0)": "assert os.getuid(), 'is root'\ntry: os.setuid(0)\nexcept OSError as why: raise "
                 "PermissionError(errno.EPERM, str(why))",
    "set-user-ID program": (
        "import subprocess\n"
        "p = subprocess.Popen(['/bin/su'], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)\n"
        "uids = open(f'/proc/{p.pid}/status').read().split('Uid:')[1].split()[:4]\n"
        "p.stdin.close(); p.wait()\n"
        "if '0' not in uids: raise PermissionError(errno.EPERM, str(uids))"
    ),
    "raising limits": "try: resource.setrlimit(resource.RLIMIT_NPROC, (-1, -1))\nexcept "
                      "ValueError as why: raise PermissionError(errno.EPERM, str(why))",
    "user namespace": "call('unshare', 0x10000000)",
    "mount namespace": "call('unshare', 0x20000)",
    "network namespace": "call('unshare', 0x40000000)",
    "PID namespace": "call('unshare', 0x20000000)",
    "clone into namespaces": "if (pid := call('clone', 0x10000000 | 17)) == 0: "
                             "os._exit(0)\nos.waitpid(pid, 0)",
    "setns": "call('setns', os.open('/proc/self/ns/uts', 0), 0)",
    "mount": "call('mount', b'none', b'/proc', b'tmpfs', -1, 0)",
    "new mount calls": "call('fsopen', b'tmpfs', -1)",
    "chroot": "call('chroot', b'/nowhere-at-all')",
    "file by handle": "call('open_by_handle_at', -1, 0, 0)",
    "bpf": "call('bpf', 0, 0, 0)",
    "keyctl": "call('keyctl', 0, -3, 0)",
    "io_uring": "call('io_uring_setup', 8, ctypes.create_string_buffer(120))",
    "userfaultfd": "os.close(call('userfaultfd', 0))",
    "perf events": "call('perf_event_open', 0, 0, -1, -1, 0)",
    "memfd, run": "fd = call('memfd_create', b'x', 0)\nos.write(fd, open('/bin/true', "
                  "'rb').read())\nassert os.spawnv(os.P_WAIT, f'/proc/self/fd/{fd}', ['x']) == 0",
    "secret memfd": "os.close(call('memfd_secret', 0))",
    "SysV shared memory": "n = call('shmget', 0, 4096, 0o1600); call('shmctl', n, 0, 0)",
    "SysV message queue": "n = call('msgget', 0, 0o1600); call('msgctl', n, 0, 0)",
    "SysV semaphores": "n = call('semget', 0, 1, 0o1600); call('semctl', n, 0, 0)",
    "POSIX message queue": "call('mq_open', b'attack', 0o102, 0o600, 0); call('mq_unlink', "
                           "b'attack')",
    "another seccomp listener": "call('seccomp', 3, 0, 0)",
    "typing into a terminal": "import fcntl\nm, s = os.openpty()\nfcntl.ioctl(s, 0x5412, b'x')",
    "kernel module": "call('finit_module', -1, b'', 0)",
    "kernel log": "call('syslog', 10, 0, 0)",
    "reboot": "call('reboot', 1, 2, 3, 0)",
    "clock": "call('clock_settime', 0, 0)",
    "host name": "call('sethostname', 0, -1)",
    "swap": "call('swapon', 0, 0)",
    "files of others, watched by inotify": "os.close(call('inotify_init1', 0))",
    "files of others, watched by fanotify": "os.close(call('fanotify_init', 0x200, 0))",
    "a folder's changes, signalled": (
        "import fcntl\nfcntl.fcntl(os.open('.', os.O_RDONLY), 1026, 2)"
    ),
    "pages lent to a pipe": "call('vmsplice', os.pipe()[1], 0, 0, 0)",
    "Landlock domains of its own": "call('landlock_create_ruleset', 0, 0, 1)",
    "another table of calls": "libc.syscall(ctypes.c_long(0x40000000 + 39))",
    "calls of 32 bits": INT80,
}  # fmt: skip

TABLE = {**FILES, **NETWORK, **PROCESSES, **KERNEL}

# Each in a process of its own, which says by its end what became of it.
CALLS |= {
    "tgkill": (234, 131)[WHICH],
    "rt_sigqueueinfo": (129, 138)[WHICH],
    "ioprio_set": (251, 30)[WHICH],
}
RUN = (
    TOOLS
    + """
def tried(code):
    if (pid := os.fork()) == 0:
        how = 255
        try:
            exec(code, globals())
            how = 0
        except OSError as error:
            how = error.errno or 255
        except BaseException:
            import traceback; traceback.print_exc()
        finally:
            os._exit(how)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if ended < 0: return signal.Signals(-ended).name
    return errno.errorcode.get(ended, str(ended)) if ended else "succeeded"
said = {name: tried(code) for name, code in attacks.items()}
"""
)
# No proof: root is root, may itself not raise limits in a container, and the last two would end any
# process.
NOT_FOR_ROOT = {
    "setuid(0)",
    "raising limits",
    "limits of the worker",
    "another table of calls",
    "calls of 32 bits",
}
# Said by the confinement. ESRCH: the process may not be seen at all.
STOPPED = {"EPERM", "EACCES", "ENOSYS", "EAFNOSUPPORT", "ESRCH", "EXDEV", "EROFS", "SIGSYS"}
