"""`python -m tsunagu_node --home HOME [--name NAME]`: the node agent's outer process.

Rule: it makes or finds the sandbox, starts the agent proper inside, and does for it what can only be done outside. It is
one thread and never joins a namespace itself. It ends when the agent does, with its exit code, or when the mesh does.
"""

import argparse
import contextlib
import json
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from tsunagu.kit.lockfile import LockedError, LockFile
from tsunagu_node.runtime.linux import host_helper, processes, sandbox, sweep
from tsunagu_node.runtime.linux.init import syscalls
from tsunagu_node.runtime.linux.janitor import LIFE

_SOCKET_PATH: Final = 107


class Refused(Exception):
    """The node agent cannot run like this. The message says what would be right."""


def main(arguments: list[str] | None = None) -> None:
    """The command. Exit code 2: it cannot run here, and why is on stderr."""
    options = _options(arguments)
    try:
        sys.exit(_run(options.home.absolute(), options.name))
    except (Refused, sandbox.SandboxFailed) as error:
        print(f"tsunagu node: {error}", file=sys.stderr)
        sys.exit(2)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tsunagu node", description="Runs the tasks of this machine.")
    parser.add_argument("--home", type=Path, required=True, help="the mesh directory")
    parser.add_argument("--name", default="laptop", help="the name of this node (default: laptop)")
    return parser.parse_args(arguments)


def _run(home: Path, name: str) -> int:
    _prepare(home)
    lock = _lock(home)
    life = _life()
    box = sandbox.find(home) or sandbox.create(home, life)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-P", "-m", "tsunagu_node.main", str(home), name, str(theirs.fileno())]
    agent = sandbox.spawn(box, command, (theirs.fileno(),))
    theirs.close()
    me = os.getpid()
    record = home / sweep.AGENT
    record.write_text(json.dumps({"pid": me, "begun": processes.begun(me)}))
    try:
        return attend(agent, box, ours, life)
    finally:
        record.unlink(missing_ok=True)
        lock.release()


def attend(agent: int, box: sandbox.Sandbox, channel: socket.socket, life: int) -> int:
    """Until the agent or the mesh ends; the exit code."""
    wakeup, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    gone = os.pidfd_open(agent)
    sources = [channel.fileno(), gone, life, wakeup]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if life in ready:
            # First the agent, our child: while it is not reaped, the kernel does not let its namespace's PID 1 go.
            os.kill(agent, signal.SIGKILL)
            _code(agent)
            processes.kill(box.first, box.first_begun, 1.0)
            return 0
        if gone in ready:
            return _code(agent)
        if wakeup in ready:
            _pass_on(os.read(wakeup, 64), agent)
        if channel.fileno() in ready and not host_helper.answer(channel, box.first, agent):
            sources.remove(channel.fileno())


def _pass_on(signals: bytes, agent: int) -> None:
    for number in signals:
        with contextlib.suppress(ProcessLookupError):
            os.kill(agent, number)


def _code(agent: int) -> int:
    _, status = os.waitpid(agent, 0)
    return syscalls.exit_code(status)


def _prepare(home: Path) -> None:
    for directory in (home, home / "tasks", home / "log"):
        directory.mkdir(mode=0o711 if directory == home else 0o700, parents=True, exist_ok=True)
    longest = home / "node.sock"
    if len(os.fsencode(longest)) > _SOCKET_PATH:
        raise Refused(f"{longest} is longer than the {_SOCKET_PATH} bytes of a socket's path; choose a shorter --home")


def _lock(home: Path) -> LockFile:
    lock = LockFile(home / "node.lock")
    try:
        lock.acquire()
    except LockedError as error:
        raise Refused(f"another node agent runs in {home}; there is one per mesh directory") from error
    return lock


def _life() -> int:
    """The read end of the mesh's life pipe; without one, of a pipe that ends with this process."""
    text = os.environ.get(LIFE)
    if text is None:
        read, write = os.pipe2(os.O_CLOEXEC)
        del write  # a number: open until this process ends
        return read
    try:
        fd = int(text)
        os.fstat(fd)
    except (ValueError, OSError) as error:
        raise Refused(f"{LIFE}={text} is not the number of an open file descriptor") from error
    return fd
