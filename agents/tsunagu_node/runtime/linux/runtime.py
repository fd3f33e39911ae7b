"""The runtime of plain Linux: each task in namespaces of its own, inside the sandbox; neither root nor Docker.

Rule: what a task needs to live is in the kernel and in its own init; this object can be made again at any time (`start`
adopts). Processes go first, the network after them: a caller of a dying task gets a reset, never silence.
"""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from tsunagu_node.runtime.contract import Process, ProcessExited, ProcessState, RuntimeFailed, TaskGone
from tsunagu_node.runtime.linux import network, processes
from tsunagu_node.runtime.linux.addresses import AddressPool
from tsunagu_node.runtime.linux.host_helper import HostHelper
from tsunagu_node.runtime.linux.hosts_file import HostsFile
from tsunagu_node.runtime.linux.init.pid1 import STATE
from tsunagu_node.runtime.linux.init_client import InitClient, InitGone
from tsunagu_node.runtime.linux.nft import Capture, NatRefused, Redirect

RECORD: Final = "task.json"
AS_ROOT: Final = "WARNING: it was started by root, so apps may read and change every file that root owns"
_REASON: Final = "user namespaces with their own network are to be had here"
_LAST: Final = "last-address"
_LISTEN: Final = "0A"
_RESOLV: Final = "# No DNS here: short names are in /etc/hosts.\noptions timeout:1 attempts:1\n"


class LinuxTask:
    """A RunningTask of this runtime. It takes over the connection `init`, also when it cannot be made (OSError)."""

    def __init__(self, directory: Path, ip: str, init: InitClient, runtime: "LinuxRuntime") -> None:
        self.id = directory.name
        self.ip = ip
        self.directory = directory
        self._init = init
        self._runtime = runtime
        with ExitStack() as held:
            held.callback(init.close)
            self._process = os.pidfd_open(init.pid)
            held.callback(os.close, self._process)
            self._netns = os.open(f"/proc/{init.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            held.callback(os.close, self._netns)
            self._hosts = HostsFile(directory / "hosts", own_lines(self.id, ip))
            held.callback(self._hosts.close)
            self._held = held.pop_all()

    def processes(self) -> Mapping[str, ProcessState]:
        return self._init.processes

    def events(self) -> AsyncIterator[ProcessExited | TaskGone]:
        return self._init.events()

    async def start(self, process: Process, streams: Sequence[int] = ()) -> int:
        return await self._init.start(process, streams)

    async def signal(self, name: str, number: int, *, group: bool = False) -> None:
        with suppress(InitGone):
            await self._init.signal(name, number, group=group)

    async def host_pid(self, pid: int) -> int:
        return (await self._runtime.helper.pids(self._init.pid)).get(pid, 0)

    async def nat(self, rules: Sequence[Redirect | Capture]) -> None:
        try:
            await asyncio.to_thread(network.nat, self._netns, tuple(rules))
        except (NatRefused, OSError) as error:
            raise RuntimeFailed(str(error)) from error

    def set_hosts(self, names: Mapping[str, str]) -> None:
        self._hosts.set(names)

    def listening(self) -> frozenset[int]:
        return listening(self._init.pid)

    async def attach(self, cidr: IPv4Network) -> None:
        """Links its network to the sandbox's."""
        await asyncio.to_thread(network.attach, self._netns, self._init.pid, self.ip, cidr)

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._process, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(self._process)

    async def remove(self) -> None:
        await asyncio.to_thread(network.detach, self.ip)
        self.release()
        clean(self.directory)
        self._runtime.forget(self)

    def release(self) -> None:
        """Lets go of it without touching it."""
        self._held.close()


class LinuxRuntime:
    """Tasks under `home`/tasks, with addresses of `cidr`, which exists only inside the sandbox."""

    kind = "linux"

    def __init__(self, home: Path, helper: HostHelper, cidr: str = "10.88.0.0/16") -> None:
        self.helper = helper
        self._tasks = home / "tasks"
        self._last = home / _LAST
        self._network = IPv4Network(cidr)
        self._pool = AddressPool(self._network)
        self._running: set[LinuxTask] = set()

    @property
    def reason(self) -> str:
        return f"{_REASON}; {AS_ROOT}" if started_by_root() else _REASON

    @property
    def task_cidr(self) -> str:
        return str(self._network)

    async def start(self) -> Sequence[LinuxTask]:
        await asyncio.to_thread(network.prepare, self._network)
        adopted = [task for path in sorted(self._tasks.glob(f"*/{RECORD}")) if (task := await self._adopt(path.parent))]
        self._running.update(adopted)
        last = self._last.read_text() if self._last.exists() else None
        self._pool = AddressPool(self._network, [task.ip for task in adopted], last)
        return adopted

    def remembered(self, task_id: str) -> Mapping[str, ProcessState]:
        try:
            states = json.loads((self._tasks / task_id / STATE).read_text())
        except (OSError, ValueError):
            return {}
        return {name: ProcessState(**state) for name, state in states.items()}

    async def create(self, task_id: str) -> LinuxTask:
        directory = self._tasks / task_id
        ip = self._pool.take()
        try:
            task = await self._create(directory, ip)
        except OSError as error:
            self._pool.give_back(ip)
            raise RuntimeFailed(f"{error.strerror}: {error.filename or task_id}") from error
        except RuntimeFailed:
            self._pool.give_back(ip)
            raise
        self._running.add(task)
        return task

    async def listen(self, host: str, port: int) -> socket.socket:
        return await self.helper.listen(host, port)

    async def close(self) -> None:
        for task in self._running:
            task.release()
        self._running.clear()

    def forget(self, task: LinuxTask) -> None:
        """`task` is no more; its address may be used again, after all others."""
        self._running.discard(task)
        self._pool.give_back(task.ip)

    async def _create(self, directory: Path, ip: str) -> LinuxTask:
        self._last.write_text(self._pool.last)
        (directory / "log").mkdir(parents=True, exist_ok=True, mode=0o700)
        (directory / "resolv.conf").write_text(_RESOLV)
        (directory / RECORD).write_text(json.dumps({"ip": ip}))
        HostsFile(directory / "hosts", own_lines(directory.name, ip)).close()
        init = await asyncio.to_thread(launch, directory)
        # The link goes with the network namespace, and that with its last process and descriptor.
        with ExitStack() as undo:
            undo.callback(clean, directory)
            undo.callback(end, init)
            task = LinuxTask(directory, ip, await InitClient.connect(directory), self)
            undo.callback(task.release)
            await task.attach(self._network)
            undo.pop_all()
        return task

    async def _adopt(self, directory: Path) -> LinuxTask | None:
        try:
            ip = json.loads((directory / RECORD).read_text())["ip"]
            return LinuxTask(directory, ip, await InitClient.connect(directory), self)
        except (InitGone, ValueError, OSError):
            clean(directory)
            return None


def launch(directory: Path) -> int:
    """Starts the init of the task in `directory`; it outlives this process. Its pid. Raises RuntimeFailed."""
    read, write = os.pipe2(os.O_CLOEXEC)
    command = processes.python("tsunagu_node.runtime.linux.init.pid1", str(directory), directory.name, str(write))
    with open(read, encoding="utf-8") as said:  # noqa: PTH123 - a file descriptor
        try:
            with (directory / "log" / "init.log").open("ab") as log:
                # Its first process only makes the namespaces and leaves the init behind, which the sandbox's PID 1 adopts.
                started = subprocess.Popen(command, pass_fds=(write,), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        finally:
            os.close(write)
        lines = [said.readline().strip() for _ in range(2)]
    started.wait()
    pids = [int(line) for line in lines if line.isdecimal()]
    if "ready" not in lines or not pids:
        raise RuntimeFailed(f"the task's init did not start: {' '.join(lines).strip('0 ') or 'it died'}")
    return pids[0]


def end(init: int) -> None:
    """Kills the init that was just launched, and with it all of its task."""
    with suppress(ProcessLookupError):
        os.kill(init, signal.SIGKILL)


def started_by_root(uid_map: Path = Path("/proc/self/uid_map")) -> bool:
    """Inside the sandbox: whether its one user is root outside. Apps are uid 1000 in there and to each other, but to the
    machine's files they are whoever started the mesh: no other id is mapped.
    """
    _inside, outside, _count = uid_map.read_text().split()
    return outside == "0"


def own_lines(task_id: str, ip: str) -> tuple[str, ...]:
    """What /etc/hosts of a task begins with."""
    return ("127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback", f"{ip} {task_id}")


def listening(pid: int) -> frozenset[int]:
    """TCP ports that somebody listens at in the network namespace of process `pid`."""
    ports = set()
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN:
                    ports.add(int(fields[1].rpartition(":")[2], 16))
    return frozenset(ports)


def clean(directory: Path) -> None:
    """Takes away everything of a dead task but its logs and what became of its processes."""
    for path in directory.iterdir():
        if path.name not in ("log", STATE):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
