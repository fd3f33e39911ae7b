"""The process that carries what tasks send out of the mesh: `main([FOLDER, LIFE_FD])`, in the machine's own network.

It is a process of the node, beside the node agent, so that connections outlive the agent; the agent tells it what to do. Rule: it ends
with the mesh's life, and leaves no socket behind. While it is dead, connections wait at the listeners, which the agent keeps and hands
over again. Standard library only.

The protocol, JSON in SOCK_SEQPACKET messages at FOLDER/SOCKET: a request, its answer, `{}` where nothing else stands.
  listen  name task [+ 1 file descriptor]  takes connections there; `task`: of that task, empty: `tasks` knows by their address
  knock   [+ 1 file descriptor]            connects first, to what this queue tells of (`knock`); `kept` with the name KNOCK
  kept    name  ->  {} [+ the file descriptor, if there is one]
  forget  name                             takes no more there
  tasks   tasks {address: task}            all that there are; what was counted of others is forgotten
  places  places [[address, port, host]]   all registered places, see `destinations.lead`
  policy  task policy(allow|deny|names)    for tasks that the kernel does not judge
  admit   task addresses {address: seconds}
  counts  places(bool)  ->  began counts {task: {opened active sent received refused {reason: n} places [[address, port, reason, n]]}}
                                           `began`: when the relay was started, in seconds since the epoch; `places` only if asked for
"""

import contextlib
import json
import os
import resource
import signal
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from tsunagu_node.outside.relay import destinations
from tsunagu_node.outside.relay.carrier import Carrier, Listener
from tsunagu_node.outside.relay.destinations import Machine, Policy, Rights
from tsunagu_node.outside.relay.loop import READ, Loop
from tsunagu_node.outside.relay.own_ports import OwnPorts
from tsunagu_node.runtime.linux.init import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable

SOCKET: Final = "outside.sock"
MESSAGE: Final = 1 << 20
KNOCK: Final = "knock"
Message = dict[str, Any]


def main(arguments: list[str]) -> None:
    """Run until the mesh ends."""
    folder, life = arguments[0], int(arguments[1])
    syscalls.set_name("tsunagu-outside")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.chdir(folder)  # the path of a socket may be long
    loop = Loop()
    carrier = Carrier(loop, Machine(destinations.owns, OwnPorts().has))
    control = Control(carrier, loop)
    loop.watch(life, READ, lambda _: loop.end())
    with _listening() as server:
        loop.watch(server.fileno(), READ, lambda _: control.accept(server))
        os.write(1, b"ready\n")
        try:
            loop.run()
        finally:
            carrier.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(SOCKET)  # noqa: PTH108 - pathlib is slow to import


def _listening() -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(SOCKET)  # noqa: PTH108
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    os.umask(0o177)
    server.bind(SOCKET)
    os.umask(0o077)
    server.listen(8)
    return server


class Control:
    """Does what node agents ask for. There is one at a time; while another one starts there may be two."""

    def __init__(self, carrier: Carrier, loop: Loop) -> None:
        self._carrier = carrier
        self._loop = loop
        self._began = time.time()
        self._requests: dict[str, Callable[[Message, list[int]], Message | None]] = {
            "listen": self._listen,
            "knock": lambda _, fds: carrier.knock(socket.socket(fileno=fds[0])),
            "forget": lambda request, _: carrier.forget(request["name"]),
            "tasks": self._tasks,
            "places": self._places,
            "policy": self._policy,
            "admit": self._admit,
            "counts": self._counts,
        }

    def accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            channel, _ = server.accept()
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MESSAGE)
            self._loop.watch(channel.fileno(), READ, lambda _: self._receive(channel))

    def _receive(self, channel: socket.socket) -> None:
        try:
            raw, fds, _, _ = socket.recv_fds(channel, MESSAGE, 1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            raw, fds = b"", []
        if not raw:
            self._loop.forget(channel.fileno())
            channel.close()
            return
        request, carrier = json.loads(raw), self._carrier
        with contextlib.suppress(OSError):  # whoever asked is gone
            if request["op"] == "kept":
                name = request["name"]
                socket.send_fds(channel, [b"{}"], carrier.knocked() if name == KNOCK else carrier.listening(name))
                return
            answer = self._requests[request["op"]](request, fds) or {}
            channel.send(json.dumps(answer).encode())

    def _listen(self, request: Message, fds: list[int]) -> None:
        self._carrier.listen(request["name"], Listener(socket.socket(fileno=fds[0]), request["task"]))

    def _tasks(self, request: Message, _fds: list[int]) -> None:
        self._carrier.tasks = request["tasks"]
        self._carrier.keep(set(request["tasks"].values()))

    def _places(self, request: Message, _fds: list[int]) -> None:
        self._carrier.places = {(ip, port): host for ip, port, host in request["places"]}

    def _counts(self, request: Message, _fds: list[int]) -> Message:
        told = {task: counts.told(places=request["places"]) for task, counts in self._carrier.counts.items()}
        return {"began": self._began, "counts": told}

    def _policy(self, request: Message, _fds: list[int]) -> None:
        self._carrier.rights.setdefault(request["task"], Rights()).policy = Policy(request["policy"])

    def _admit(self, request: Message, _fds: list[int]) -> None:
        rights, now = self._carrier.rights.setdefault(request["task"], Rights()), time.monotonic()
        rights.admitted = {ip: until for ip, until in rights.admitted.items() if until >= now}
        rights.admitted.update({ip: now + seconds for ip, seconds in request["addresses"].items()})
