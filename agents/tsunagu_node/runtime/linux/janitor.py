"""Makes the sandbox and holds it: the janitor is a process outside, its child PID 1 inside. When PID 1 dies, the kernel ends
everything in the sandbox.

Rule: when the life pipe ends, nothing is left. The janitor, PID 1 and the node agent's outer process each watch the pipe, so
that it does not matter which of them is killed or stopped. With PID 1 every process, namespace and mount goes; then the
sockets of the mesh directory are unlinked. Standard library only: it lives as long as the mesh.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import time
from typing import Final, NoReturn

from tsunagu_node.runtime.linux import processes, sweep
from tsunagu_node.runtime.linux.init import syscalls

_NAMESPACES: Final = (
    syscalls.CLONE_NEWUSER
    | syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
)
_LOCK_TIMEOUT: Final = 10.0
_GRACE: Final = 0.5


def main(arguments: list[str]) -> None:
    """`HOME FOLDER LIFE_FD READY_FD` (HOME: the mesh's directory, FOLDER: the node's): write one line to READY_FD, `ready` or why there is no sandbox."""
    places, life, ready = sweep.Places(*arguments[:2]), int(arguments[2]), int(arguments[3])
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)  # ends the wait below, as the life pipe's end does
    wakeup, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    syscalls.set_name("tsunagu-janitor")
    syscalls.adopt_orphans()
    _woken_by(life)
    try:
        lock = _lock(places.node)
        sandbox = _Sandbox(life, places)
    except OSError as error:
        os.write(ready, f"{error.strerror or error} {error.filename or ''}\n".encode())
        sys.exit(1)
    _record(places.node, sandbox.pid)
    os.write(ready, b"ready\n")
    os.close(ready)
    ended = sandbox.wait(life, wakeup)
    sweep.mesh(places, end_agent=ended)
    os.close(lock)


def _woken_by(life: int) -> None:
    """Have the kernel continue this process, should it be stopped, at the end of `life` (a pipe or a socket).

    The open file is shared with other processes and has one owner; that is this one, which ends the others.
    """
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGCONT)
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)


class _Sandbox:
    """The new namespaces. `pid`: that of their PID 1, a child of this process, as seen from here."""

    def __init__(self, life: int, places: sweep.Places) -> None:
        self._places = places
        self._go_read, self._go = os.pipe2(os.O_CLOEXEC)
        answer, reply = os.pipe2(os.O_CLOEXEC)
        middle = os.fork()
        if middle == 0:
            os.close(self._go)
            os.close(answer)
            _middle(self._go_read, reply, life, places)
        os.close(reply)
        os.close(self._go_read)
        self.pid = int(_line(answer))
        os.waitpid(middle, 0)
        # Only now: PID 1 asks to die with its parent, and that must be this process, not the one in between.
        os.write(self._go, b"go")
        if (line := _line(answer)) != "ready":
            raise OSError(0, line)
        os.close(answer)

    def wait(self, life: int, wakeup: int) -> bool:
        """Wait until everything inside is dead; return whether the mesh has ended, and not only the sandbox."""
        gone = os.pidfd_open(self.pid)
        readable, _, _ = select.select([life, gone, wakeup], [], [])
        while readable == [wakeup] and b"\x0f" not in os.read(wakeup, 64):  # 15: SIGTERM
            readable, _, _ = select.select([life, gone, wakeup], [], [])
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        sweep.wake_agent(self._places.node)
        if not select.select([gone], [], [], _GRACE)[0]:
            # PID 1 is gone only when every process inside is reaped, and the agent's parent, outside, reaps the agent.
            sweep.agent(self._places.node)
        os.waitpid(self.pid, 0)
        return readable != [gone]


def _middle(go: int, reply: int, life: int, places: sweep.Places) -> NoReturn:
    """Make the namespaces; the child is the first process in them."""
    try:
        uid, gid = os.getuid(), os.getgid()
        syscalls.unshare(_NAMESPACES)
        syscalls.map_user(0, uid, gid)
        pid = os.fork()
    except OSError as error:
        os.write(reply, f"0\n{error.strerror or error}\n".encode())
        os._exit(1)
    if pid == 0:
        _first(go, reply, life, places)
    os.write(reply, f"{pid}\n".encode())
    os._exit(0)


def _first(go: int, reply: int, life: int, places: sweep.Places) -> NoReturn:
    """Be PID 1: reap, and end, with everything inside, when the janitor or the mesh does."""
    try:
        if not os.read(go, 2):
            os._exit(1)
        _close_all_but(go, reply, life)
        syscalls.die_with_parent(signal.SIGKILL)
        syscalls.dumpable()
        syscalls.set_name("tsunagu-sandbox")
        syscalls.private_mounts()
        syscalls.mount_proc()
        os.write(reply, b"ready\n")
    except OSError as error:
        os.write(reply, f"{error.strerror or error}\n".encode())
        os._exit(1)
    os.close(reply)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    wakeup, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    while select.select([go, life, wakeup], [], [])[0] == [wakeup]:
        os.read(wakeup, 4096)
        _reap()
    sweep.sockets(places)
    os._exit(0)


def _close_all_but(*kept: int) -> None:
    for fd in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208
        if fd > 2 and fd not in kept:
            with contextlib.suppress(OSError):
                os.close(fd)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _lock(folder: str) -> int:
    """Take the lock of the node's sandbox; a new janitor waits until the old one has swept."""
    fd = os.open(f"{folder}/{sweep.LOCK}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise OSError(0, "another sandbox holds this folder:", folder) from None
            time.sleep(0.02)
        else:
            return fd


def _record(folder: str, pid: int) -> None:
    me = os.getpid()
    record = {
        "janitor": {"pid": me, "begun": processes.begun(me)},
        "first": {"pid": pid, "begun": processes.begun(pid)},
    }
    aside = f"{folder}/{sweep.SANDBOX}.new"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(fd, json.dumps(record).encode())
    os.close(fd)
    os.rename(aside, f"{folder}/{sweep.SANDBOX}")  # noqa: PTH104


def _line(fd: int) -> str:
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(fd, 1)):
        line += byte
    return line.decode().strip()
