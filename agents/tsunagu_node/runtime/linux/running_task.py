"""One task of the linux runtime: its namespaces, its init, and the files that it shows to its processes.

Rule: everything that the task needs to live is in the kernel and in its init; this object holds descriptors only, so that
another node agent can make it again from the task's directory.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Final

from tsunagu_node.runtime import config_file, listener, proc_net
from tsunagu_node.runtime.contract import (
    AdminEndpoint,
    CannotStart,
    Event,
    Image,
    Listening,
    Network,
    Process,
    ProcessState,
    PublishedPort,
    RuntimeFailed,
)
from tsunagu_node.runtime.hosts_file import HostsFile
from tsunagu_node.runtime.linux import network, usage
from tsunagu_node.runtime.linux.host_client import HostClient
from tsunagu_node.runtime.linux.init.pid1 import STATE
from tsunagu_node.runtime.linux.init_client import InitClient, InitGone, start_request
from tsunagu_node.runtime.linux.published_ports import LinuxRelay, start_relay

RECORD: Final = "task.json"
_ADMIN: Final = "admin.sock"


@dataclass(frozen=True, slots=True)
class Record:
    """What another node agent must know of a task beside its name."""

    ip: str
    published: tuple[PublishedPort, ...] = ()

    def write(self, directory: Path) -> None:
        (directory / RECORD).write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, directory: Path) -> "Record":
        """Raises OSError or ValueError when there is none."""
        fields = json.loads((directory / RECORD).read_text())
        try:
            return cls(fields["ip"], tuple(PublishedPort(**port) for port in fields.get("published", ())))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{directory / RECORD} is no record of a task") from error


class LinuxTask:
    """A RunningTask. `mesh`: the mesh's directory. It owns the connection `init`, also when it cannot be made (OSError). `gone` is called by `remove`."""

    def __init__(self, directory: Path, mesh: Path, record: Record, init: InitClient, helper: HostClient) -> None:
        self.id = directory.name
        self.ip = record.ip
        self.directory = directory
        self._mesh = mesh
        self.gone: Callable[[LinuxTask], None] = lambda _: None
        self._published = record.published
        self._init = init
        self._helper = helper
        with ExitStack() as held:
            held.callback(init.close)
            self._process = os.pidfd_open(init.pid)
            held.callback(os.close, self._process)
            self._netns = os.open(f"/proc/{init.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            held.callback(os.close, self._netns)
            folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            held.callback(os.close, folder)
            self._hosts = HostsFile(directory / "hosts", own_lines(self.id, self.ip))
            held.callback(self._hosts.close)
            self._held = held.pop_all()
        # A path of any length: Envoy starts in the directory and binds a relative one, and we go through a descriptor.
        self.admin_endpoint = AdminEndpoint(_ADMIN, f"/proc/self/fd/{folder}/{_ADMIN}")

    def processes(self) -> Mapping[str, ProcessState]:
        return self._init.processes

    def events(self) -> AsyncIterator[Event]:
        return self._init.events()

    async def start(self, process: Process) -> None:
        if isinstance(process.run, Image) and Path(process.cwd or "/").is_relative_to(self._mesh):
            what = f"its working directory {process.cwd} lies in the mesh's own directory {self._mesh}, which apps do not see"
            raise CannotStart(f"{what}; choose another --home")
        await self._init.start(start_request(process, str(self.directory)))

    async def signal(self, name: str, number: int, *, group: bool = False) -> None:
        with suppress(InitGone):
            await self._init.signal(name, number, group=group)

    async def host_pid(self, name: str) -> int:
        return (await self._helper.pids(self._init.pid)).get(self._init.pids.get(name, 0), 0)

    def config_path(self, name: str) -> str:
        return str(self.directory / name)

    def write_config(self, name: str, text: str) -> None:
        config_file.write(self.directory / name, text)

    def read_config(self, name: str) -> str:
        return (self.directory / name).read_text()

    async def set_hosts(self, names: Mapping[str, str]) -> None:
        self._hosts.set(names)

    def hosts(self) -> Mapping[str, str]:
        return self._hosts.shown()

    async def listening(self) -> frozenset[Listening]:
        return proc_net.listening(proc_net.tables(self._init.pid))

    async def listen(self, port: int) -> socket.socket:
        return await self._kept_socket("tcp", port)

    async def datagrams(self, port: int) -> socket.socket:
        return await self._kept_socket("udp", port)

    async def _kept_socket(self, protocol: str, port: int) -> socket.socket:
        """Return a socket inside. Its init keeps it: while no node agent is there what comes waits, and is not refused."""
        name = f"{protocol}:{port}"
        try:
            if (found := await self._init.kept(name)) >= 0:
                return socket.socket(fileno=found)
            bound = partial(listener.bound, "127.0.0.1", port, protocol)
            opened = await asyncio.to_thread(network.in_namespace, self._netns, bound)
            await self._init.keep(name, opened.fileno())
        except OSError as error:
            raise RuntimeFailed(f"cannot listen at 127.0.0.1:{port} of {self.id}: {error.strerror}") from error
        return opened

    async def outgoing(self) -> socket.socket:
        try:
            return await asyncio.to_thread(network.in_namespace, self._netns, _tcp_socket)
        except OSError as error:
            raise RuntimeFailed(f"cannot make a socket in {self.id}: {error.strerror}") from error

    async def stats(self, name: str) -> Mapping[str, Any] | None:
        state, first = self._init.processes.get(name), self._init.pids.get(name, 0)
        if state is None or state.code is not None or not first:
            return None
        return await asyncio.to_thread(usage.stats, Path(f"/proc/{self._init.pid}/root/proc"), first, name)

    async def start_relay(self) -> LinuxRelay:
        return await start_relay(self._init.start, self.directory, self._published, self._helper)

    async def join_network(self, cidr: IPv4Network, wanted: Network) -> None:
        """Link its network namespace to the sandbox's, and make the nat rules. Raises OSError or NatRefused."""
        await asyncio.to_thread(network.attach, self._netns, self._init.pid, self.ip, cidr)
        if wanted.nat:
            await asyncio.to_thread(network.nat, self._netns, wanted.nat)

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._process, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._process)

    async def remove(self) -> None:
        await asyncio.to_thread(network.detach, self.ip)
        self.release()
        clean(self.directory)
        self.gone(self)

    def release(self) -> None:
        """Let go of it without touching it."""
        self._held.close()


def own_lines(task_id: str, ip: str) -> tuple[str, ...]:
    """Return the lines with which /etc/hosts of a task begins."""
    return ("127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback", f"{ip} {task_id}")


def _tcp_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def clean(directory: Path) -> None:
    """Take away everything of a dead task but its logs and the record of how its processes ended."""
    for path in directory.iterdir():
        if path.name not in ("log", STATE):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
