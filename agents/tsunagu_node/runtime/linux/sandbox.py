"""Finds or makes the sandbox from outside, and starts processes in it.

Rule: one sandbox per node, held by its janitor. A restarted node agent joins the one that exists, so that its
tasks notice nothing. The process that joins has one thread: the kernel allows it to no other.
"""

import contextlib
import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from tsunagu_node.runtime.contract import RuntimeUnavailable
from tsunagu_node.runtime.folders import Folders
from tsunagu_node.runtime.linux import processes, sweep
from tsunagu_node.runtime.linux.init import syscalls

_JOINED: Final = (
    syscalls.CLONE_NEWUSER
    | syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWNET
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
)


class SandboxFailed(RuntimeUnavailable):
    """The sandbox cannot be made or joined. The message says why; `tsunagu doctor` knows remedies."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The pids of its PID 1 and of its janitor as seen from outside, with the time at which each process began."""

    first: int
    first_begun: int
    janitor: int
    janitor_begun: int

    def alive(self) -> bool:
        return processes.same(self.first, self.first_begun) and processes.same(self.janitor, self.janitor_begun)


def find(folder: Path) -> Sandbox | None:
    """Return the sandbox of the node whose folder this is, or None when there is none alive."""
    try:
        record = json.loads((folder / sweep.SANDBOX).read_text())
    except (FileNotFoundError, ValueError):
        return None
    first, janitor = record["first"], record["janitor"]
    sandbox = Sandbox(first["pid"], first["begun"], janitor["pid"], janitor["begun"])
    return sandbox if sandbox.alive() else None


def create(folders: Folders, life: int) -> Sandbox:
    """Make a sandbox that lives until the end of the pipe `life`, given by its read end. Raises SandboxFailed."""
    ready, reply = os.pipe2(os.O_CLOEXEC)
    places = (str(folders.mesh), str(folders.node))
    with (folders.logs / "janitor.log").open("ab") as log:
        subprocess.Popen(  # its own session; it outlives this process
            processes.python("tsunagu_node.runtime.linux.janitor", *places, str(life), str(reply)),
            pass_fds=(life, reply),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
        )
    os.close(reply)
    with open(ready, encoding="utf-8") as answer:  # noqa: PTH123 - a file descriptor
        line = answer.readline().strip()
    sandbox = find(folders.node)
    if line != "ready" or sandbox is None:
        raise SandboxFailed(f"no user namespace with its own network here: {line or 'the janitor died'}")
    return sandbox


def spawn(sandbox: Sandbox, argv: list[str], pass_fds: tuple[int, ...]) -> int:
    """Start `argv` in the sandbox as a child that dies with this process; return its pid. Raises SandboxFailed."""
    syscalls.adopt_orphans()
    go_read, go = os.pipe2(os.O_CLOEXEC)
    read, reply = os.pipe2(os.O_CLOEXEC)
    middle = os.fork()
    if middle == 0:
        os.close(go)
        _join(sandbox, argv, pass_fds, (go_read, reply))
    os.close(reply)
    os.close(go_read)
    with open(read, encoding="utf-8") as answer:  # noqa: PTH123
        pid = answer.readline().strip()
        os.waitpid(middle, 0)
        with contextlib.suppress(BrokenPipeError):  # it failed, and the reason follows
            os.write(go, b"go")
        os.close(go)
        failure = answer.readline().strip()
    if failure or not pid.isdigit():
        raise SandboxFailed(f"cannot start {argv[0]} in the sandbox: {failure or pid}")
    return int(pid)


def _join(sandbox: Sandbox, argv: list[str], pass_fds: tuple[int, ...], pipes: tuple[int, int]) -> NoReturn:
    go, reply = pipes
    try:
        target = os.pidfd_open(sandbox.first)
        syscalls.setns(target, _JOINED)
        pid = os.fork()
        if pid == 0:
            os.read(go, 2)
            _become(argv, pass_fds)
        os.write(reply, f"{pid}\n".encode())
    except OSError as error:
        os.write(reply, f"{error.strerror} {error.filename or ''}\n".encode())
    finally:
        os._exit(0)


def _become(argv: list[str], pass_fds: tuple[int, ...]) -> NoReturn:
    # Only now: the process in between has ended, and the change of credentials, which clears the request, is done.
    syscalls.die_with_parent(signal.SIGKILL)
    syscalls.dumpable()
    for fd in pass_fds:
        os.set_inheritable(fd, True)
    os.execv(argv[0], argv)  # noqa: S606
