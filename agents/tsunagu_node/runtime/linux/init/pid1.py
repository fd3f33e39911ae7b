"""PID 1 of one task: starts its processes, reaps them, writes their logs, remembers how they ended.

Rule: it decides nothing. The node agent requests over `init.sock` what to start and to signal; when it dies, the next one
learns here what happened meanwhile. When this process dies the kernel ends the whole task. Standard library only, since
each task starts one.

The protocol, JSON in SOCK_SEQPACKET messages: a request has an `id` that its answer repeats; events have none.
  start   name argv env cwd user(app|root) log(bool) keep(bool) tty(bool) [+ 3 file descriptors]  ->  pid
  signal  name signal group(bool)
  state   ->  processes {name: {pid, code, started, ended}}
  keep    name [+ 1 file descriptor]  the init keeps it open, for the node agent that comes next
  kept    name  ->  kept(bool) [+ the file descriptor]
  end     this process ends, and with it the task
  event: exited, name pid code
"""

import contextlib
import errno
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn

from tsunagu_node.runtime.linux.init import mesh_directory, syscalls
from tsunagu_node.runtime.linux.init.log_writer import Writer
from tsunagu_node.runtime.linux.init.spawn import Spawn, spawn

if TYPE_CHECKING:
    from collections.abc import Callable

SOCKET: Final = "init.sock"
STATE: Final = "state.json"
_MESSAGE: Final = 1 << 20
_NAMESPACES: Final = (
    syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC
)
Message = dict[str, Any]


def main(arguments: list[str]) -> None:
    """`DIRECTORY HOME HOSTNAME READY_FD` (HOME: the mesh's directory): make the task's namespaces and leave its PID 1 behind in them.

    A line with the pid of PID 1 is written to READY_FD, then `ready` when it listens, or why it does not.
    """
    directory, home, hostname, ready = arguments[0], arguments[1], arguments[2], int(arguments[3])
    os.chdir(directory)
    os.setsid()
    try:
        syscalls.unshare(_NAMESPACES)
        pid = os.fork()
    except OSError as error:
        os.write(ready, f"0\n{error.strerror} {error.filename or ''}\n".encode())
        sys.exit(1)
    if pid == 0:
        _first(directory, home, hostname, ready)
    os.write(ready, f"{pid}\n".encode())


def _first(directory: str, home: str, hostname: str, ready: int) -> NoReturn:
    try:
        _prepare(directory, home, hostname)
        init = _Init(directory, home)
        os.write(ready, b"ready\n")
        os.close(ready)
        init.run()
    except OSError as error:
        os.write(ready, f"{error.strerror} {error.filename or ''}\n".encode())
    os._exit(1)


def _prepare(directory: str, home: str, hostname: str) -> None:
    syscalls.set_name("tsunagu-init")
    syscalls.set_hostname(hostname)
    syscalls.private_mounts()
    syscalls.mount_proc()
    for name in ("hosts", "resolv.conf", "nsswitch.conf"):
        target = f"/etc/{name}"
        if os.access(target, os.F_OK):
            syscalls.bind(name, target)
    mesh_directory.show_task(home, directory)
    # Apps run as an ordinary user and may still listen at port 80.
    syscalls.write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")


class _Process:
    """A process that was started, and how it ended. `keep`: it is part of `state` and state.json."""

    def __init__(self, pid: int, keep: bool) -> None:
        self.pid = pid
        self.keep = keep
        self.code: int | None = None
        self.started = time.time()
        self.ended: float | None = None

    def state(self) -> Message:
        return {"pid": self.pid, "code": self.code, "started": self.started, "ended": self.ended}


class _Init:
    """One loop over requests, the ends of processes, and their output. `_saved`: state.json holds the present state."""

    def __init__(self, directory: str, home: str) -> None:
        self._directory = directory
        self._home = home
        self._selector = selectors.DefaultSelector()
        self._processes: dict[str, _Process] = {}
        self._clients: list[socket.socket] = []
        self._kept_fds: dict[str, int] = {}
        self._saved = True
        self._listen()
        self._watch_children()

    def run(self) -> NoReturn:
        while True:
            for key, _ in self._selector.select():
                ready: Callable[[], None] = key.data
                # This process must not die: a full disk may cost lines of a log, but not the task.
                with contextlib.suppress(OSError):
                    ready()

    def _listen(self) -> None:
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET)  # noqa: PTH108 - pathlib is slow to import
        os.umask(0o177)
        self._server.bind(SOCKET)
        os.umask(0o077)
        self._server.listen(8)
        self._selector.register(self._server, selectors.EVENT_READ, self._accept)

    def _watch_children(self) -> None:
        wakeup, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

        def reap() -> None:
            os.read(wakeup, 4096)
            self._reap()

        self._selector.register(wakeup, selectors.EVENT_READ, reap)

    def _accept(self) -> None:
        client, _ = self._server.accept()
        if _is_of_this_task(client):
            client.close()
            return
        self._clients.append(client)
        self._selector.register(client, selectors.EVENT_READ, lambda: self._receive(client))

    def _receive(self, client: socket.socket) -> None:
        try:
            raw, fds, _, _ = socket.recv_fds(client, _MESSAGE, 3)
        except OSError:
            raw, fds = b"", []
        try:
            if raw:
                self._answer(client, raw, fds)
            else:
                self._drop(client)
        finally:
            for fd in fds:
                os.close(fd)

    def _answer(self, client: socket.socket, raw: bytes, fds: list[int]) -> None:
        request: Message = {}
        try:
            request = json.loads(raw)
            answer = self._do(request, fds)
        except (OSError, KeyError, ValueError) as error:
            text = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else repr(error)
            answer = {"error": text}
        self._send(client, {"id": request.get("id"), **answer}, self._handed(request, answer))
        # A process that ended at once is reaped here, so that the event of its end follows the answer to its start.
        self._reap()

    def _do(self, request: Message, fds: list[int]) -> Message:
        match request["op"]:
            case "start":
                return self._start(request, fds)
            case "signal":
                return self._signal(request)
            case "state":
                return {"processes": {name: process.state() for name, process in self._kept()}}
            case "keep":
                return self._keep(request["name"], fds)
            case "kept":
                return {"kept": request["name"] in self._kept_fds}
            case "end":
                os._exit(0)
        raise ValueError(f"no such request: {request['op']}")

    def _start(self, request: Message, fds: list[int]) -> Message:
        name = request["name"]
        before = self._processes.get(name)
        if before and before.code is None:
            raise ValueError(f"{name} is running, with pid {before.pid}")
        pipes = self._log(name) if request["log"] else ()
        try:
            streams = tuple(fds) or (-1, *(pipes or (-1, -1)))
            asked = (request["argv"], request["env"], request["cwd"], request["user"])
            wanted = Spawn(*asked, self._home, self._directory, request["tty"])
            pid = spawn(wanted, streams)
        finally:
            for fd in pipes:
                os.close(fd)
        self._processes[name] = _Process(pid, request["keep"])
        self._save()
        return {"pid": pid}

    def _keep(self, name: str, fds: list[int]) -> Message:
        if (before := self._kept_fds.pop(name, -1)) >= 0:
            os.close(before)
        self._kept_fds[name] = os.dup(fds[0])
        return {}

    def _handed(self, request: Message, answer: Message) -> tuple[int, ...]:
        """Return the file descriptor that goes with an answer, if one does."""
        return (self._kept_fds[request["name"]],) if answer.get("kept") else ()

    def _log(self, name: str) -> tuple[int, int]:
        """Return the write ends of two pipes into the log of `name`."""
        writer, streams = Writer(f"log/{name}.log"), {"stdout", "stderr"}
        return self._pipe(writer, "stdout", streams), self._pipe(writer, "stderr", streams)

    def _pipe(self, writer: Writer, stream: str, streams: set[str]) -> int:
        """Return the write end of a pipe into the log; the last of the open `streams` closes the log."""
        read, write = os.pipe2(os.O_CLOEXEC)

        def ready() -> None:
            if piece := os.read(read, 65536):
                writer.write(stream, piece)
                return
            self._selector.unregister(read)
            os.close(read)
            streams.discard(stream)
            try:
                writer.end(stream)
            finally:
                if not streams:
                    writer.close()

        self._selector.register(read, selectors.EVENT_READ, ready)
        return write

    def _signal(self, request: Message) -> Message:
        process = self._processes[request["name"]]
        if process.code is None:
            (os.killpg if request["group"] else os.kill)(process.pid, request["signal"])
        return {}

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (reaped := os.waitpid(-1, os.WNOHANG))[0]:
                self._ended(*reaped)

    def _ended(self, pid: int, status: int) -> None:
        found = [(name, process) for name, process in self._processes.items() if process.pid == pid]
        for name, process in found:
            if process.code is not None:
                continue
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # a container ends with its first process
            process.code, process.ended = syscalls.exit_code(status), time.time()
            if not process.keep:
                del self._processes[name]
            self._save()  # before the event, whose receiver may look there
            for client in self._clients[:]:
                self._send(client, {"event": "exited", "name": name, "pid": pid, "code": process.code})

    def _kept(self) -> list[tuple[str, _Process]]:
        return [(name, process) for name, process in self._processes.items() if process.keep]

    def _save(self) -> None:
        """Write state.json, for an agent that starts after this process has died. On a full disk the old file stays, which
        must not fail the start or the end of a process.
        """
        text = json.dumps({name: process.state() for name, process in self._kept()})
        try:
            _replace(STATE, text.encode())
        except OSError as error:
            if self._saved:
                self._saved = False
                _log(f"{STATE} is not kept: {error.strerror}")
        else:
            self._saved = True

    def _send(self, client: socket.socket, message: Message, fds: tuple[int, ...] = ()) -> None:
        # Never blocks: a client that does not read is dropped, and learns the state when it connects again.
        try:
            socket.send_fds(client, [json.dumps(message).encode()], fds, socket.MSG_DONTWAIT)
        except OSError:
            self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        if client in self._clients:
            self._clients.remove(client)
            self._selector.unregister(client)
            client.close()


def _is_of_this_task(client: socket.socket) -> bool:
    """Return whether a process of this task has connected, which must not start others as root of the sandbox. The node agent
    is outside of this pid namespace, and the kernel gives 0 as the pid of a peer that is not visible in it (unix(7), SO_PEERCRED).
    """
    pid: int = struct.unpack("=iII", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    return pid != 0


def _replace(path: str, raw: bytes) -> None:
    """Write the file whole or not at all. Raises OSError."""
    fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        if os.write(fd, raw) < len(raw):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    finally:
        os.close(fd)
    os.rename(f"{path}.new", path)  # noqa: PTH104 - pathlib is slow to import


def _log(words: str) -> None:
    with contextlib.suppress(OSError):  # its log is on the same disk
        os.write(2, f"{words}\n".encode())
